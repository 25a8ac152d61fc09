"""The loops of an assignment that remembers remainders; what the arrays mean stands in :mod:`.remembered`.

Products are bounds with a margin, :func:`uicgpu.kernels.dot.dot` decides, and of equal scores the lowest id wins.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from uicgpu.kernels.compilation import compiled, compiled_maximum
from uicgpu.kernels.dot import dot_of_rows, float32_dot_of_rows
from uicgpu.kernels.lanes import LANES, at_least, lowest_bit
from uicgpu.kernels.prefetch import prefetch_row

TILE: Final = 32
"""Rows whose products are taken together: they stay in the cache until all are looked through."""
SLOTS: Final = 8
"""Centroids beside the own one whose remainder a point remembers."""
FULL: Final = 12
"""One score per so many products of a tile costs as much as a product over all dimensions."""
SHARP: Final = 7
"""Tiles that get such a product at once after one that needed it."""
UP: Final = 1.0 + 2.0**-22
"""What is stored as float32 is off by less than this factor of what is added to it when it is read."""
SCORES, FULL_ROWS = range(2)
"""Counters of :func:`follow`: scores taken, rows that needed a product over all dimensions."""


@compiled_maximum
def _top_between(products: Any, r: Any, first: Any, stop: Any) -> Any:
    best = np.float32(-np.inf)
    for j in range(first, stop):
        value = products[r, j]
        best = value if value > best else best
    return best


@compiled
def _remember(i: Any, slot: Any, centroid: Any, remainder: Any, slots: Any, others: Any) -> None:
    """Put a centroid first; ``slot`` is its old place, or -1: then the last one is forgotten."""
    for z in range(slot if slot >= 0 else slots.shape[1] - 1, 0, -1):
        slots[i, z], others[i, z] = slots[i, z - 1], others[i, z - 1]
    slots[i, 0], others[i, 0] = centroid, np.float32(remainder)


@compiled
def _place(slots: Any, i: Any, centroid: Any) -> Any:
    """Slot of a centroid that a point remembers, -1 if it does not."""
    place = -1
    for z in range(SLOTS):
        place = z if slots[i, z] == centroid else place
    return place


@compiled
def _screen(
    tile: Any,
    rows: Any,
    x: Any,
    squares: Any,
    projected: Any,
    rests: Any,
    aside: Any,
    moved: Any,
    factors: Any,
    labels: Any,
    own: Any,
    slots: Any,
    others: Any,
    products: Any,
    insides: Any,
    pending: Any,
) -> Any:
    """List the rows of a tile whose nearest centroid the bounds leave open, and ask for them; return their number."""
    largest, peak, screen, _, exact, rest_error, turn = factors
    count, columns = 0, products.shape[1]
    for r in range(rows):
        i = tile + r
        mine = labels[i]
        if mine < 0:
            continue
        norm = np.sqrt(squares[i])
        slack = exact * (norm + largest) ** 2
        tight = rest_error * (norm + peak) * peak + slack
        margin = screen * (norm + largest) * largest + slack
        rest = np.float64(projected[i, projected.shape[1] - 1])
        insides[r] = np.float64(products[r, mine]) - rest * rests[mine]
        way = (rest * aside[mine] + turn * norm * moved[mine]) * UP
        best = insides[r] + own[i] - way - tight
        threshold = np.float32(best - margin)
        products[r, mine] = -np.inf
        near = False
        for first in range(0, columns, LANES):
            found = at_least(products, r * columns + first, threshold)
            while found != 0 and not near:
                j = first + lowest_bit(found)
                found &= found - 1
                slot = _place(slots, i, j)
                if slot < 0:
                    near = True
                else:
                    other = np.float64(products[r, j]) - rest * rests[j]
                    reach = (rest * aside[j] + turn * norm * moved[j]) * UP
                    near = other + others[i, slot] + reach + tight >= best
        if near:
            pending[count] = r
            count += 1
            prefetch_row(x, i)
    return count


@compiled
def _settle(
    tile: Any,
    r: Any,
    x: Any,
    squares: Any,
    projected: Any,
    c: Any,
    half: Any,
    rests: Any,
    aside: Any,
    moved: Any,
    factors: Any,
    labels: Any,
    own: Any,
    slots: Any,
    others: Any,
    products: Any,
    inside: Any,
    counts: Any,
) -> None:
    """Find the nearest centroid of a row: read it, and take scores of the centroids that come near."""
    largest, peak, screen, full, exact, rest_error, turn = factors
    i, columns = tile + r, products.shape[1]
    mine = np.int64(labels[i])
    norm = np.sqrt(squares[i])
    slack = exact * (norm + largest) ** 2
    tight = rest_error * (norm + peak) * peak + slack
    margin = screen * (norm + largest) * largest + slack
    error = full * (norm + largest) * largest + slack
    rest = np.float64(projected[i, projected.shape[1] - 1])
    way = (rest * aside[mine] + turn * norm * moved[mine]) * UP
    # float32 first: the exact sum takes twice as long, and is due only where two scores are equal but for rounding
    counts[SCORES] += 1
    best, known = np.float64(float32_dot_of_rows(x, i, c, mine)) - half[mine] - error, False
    own[i] = np.float32(best - inside + way)
    threshold = np.float32(best - margin)
    for first in range(0, columns, LANES):
        found = at_least(products, r * columns + first, threshold)
        while found != 0:
            j = first + lowest_bit(found)
            found &= found - 1
            if products[r, j] < threshold:
                continue
            other = np.float64(products[r, j]) - rest * rests[j]
            reach = (rest * aside[j] + turn * norm * moved[j]) * UP
            slot = _place(slots, i, j)
            if slot >= 0 and other + others[i, slot] + reach + tight < best:
                continue
            counts[SCORES] += 1
            score = np.float64(float32_dot_of_rows(x, i, c, j)) - half[j] + error
            if score >= best and not known:
                known = True
                best = dot_of_rows(x, i, c, mine) - half[mine]
                own[i] = np.float32(best - inside + way)
            if score >= best:
                score = dot_of_rows(x, i, c, j) - half[j]
                if score > best or (score == best and j < mine):
                    _remember(i, slot, mine, best - inside - way, slots, others)
                    mine, best, inside, way = j, score, other, reach
                    own[i] = np.float32(best - inside + way)
                    threshold = np.float32(best - margin)
                    continue
            _remember(i, slot, j, score - other - reach, slots, others)
    labels[i] = mine


@compiled
def _settle_fully(
    start: Any,
    stop: Any,
    x: Any,
    squares: Any,
    c: Any,
    half: Any,
    factors: Any,
    labels: Any,
    own: Any,
    products: Any,
    counts: Any,
) -> None:
    """The same from a product over all dimensions: its bounds are far sharper."""
    largest, full, exact = factors[0], factors[3], factors[4]
    half32 = half.astype(np.float32)
    np.dot(x[start:stop], c.T, products)
    counts[FULL_ROWS] += stop - start
    for r in range(stop - start):
        i = start + r
        before = labels[i]
        if before < 0:
            continue
        norm = np.sqrt(squares[i])
        margin = full * (norm + largest) * largest + exact * (norm + largest) ** 2
        products[r] -= half32
        threshold = np.float32(np.float64(_top_between(products, r, 0, c.shape[0])) - 2.0 * margin)
        best, mine = -np.inf, -1
        for j in range(c.shape[0]):
            if products[r, j] >= threshold:
                score = dot_of_rows(x, i, c, j) - half[j]
                if mine < 0 or score > best:
                    best, mine = score, j
        if mine != before:
            labels[i], own[i] = mine, -np.inf


@compiled
def follow(
    x: Any,
    squares: Any,
    projected: Any,
    c: Any,
    half: Any,
    rests: Any,
    block: Any,
    aside: Any,
    moved: Any,
    factors: Any,
    labels: Any,
    own: Any,
    slots: Any,
    others: Any,
    work: Any,
    counts: Any,
) -> None:
    """Assign rows again after the centroids moved; the columns of ``block`` [width, >= k] are the short centroids."""
    k, columns = c.shape[0], block.shape[1]
    insides, pending = np.empty(TILE), np.empty(TILE, np.int64)
    sharp = 0
    for tile in range(0, x.shape[0], TILE):
        rows = min(TILE, x.shape[0] - tile)
        if sharp == 0:
            products = work[: rows * columns].reshape(rows, columns)
            np.dot(projected[tile : tile + rows], block, products)
            count = _screen(
                tile, rows, x, squares, projected, rests, aside, moved, factors, labels, own, slots, others, products,
                insides, pending,
            )  # fmt: skip
            most = counts[SCORES] + rows * k // FULL
            for p in range(count):
                r = pending[p]
                _settle(
                    tile, r, x, squares, projected, c, half, rests, aside, moved, factors, labels, own, slots, others,
                    products, insides[r], counts,
                )  # fmt: skip
                if counts[SCORES] > most:
                    sharp = SHARP + 1
                    break
        if sharp > 0:
            sharp -= 1
            products = work[: rows * k].reshape(rows, k)
            _settle_fully(tile, tile + rows, x, squares, c, half, factors, labels, own, products, counts)
