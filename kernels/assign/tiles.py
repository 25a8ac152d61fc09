"""The loops of a screened assignment over tiles of rows; what the arrays mean stands in :mod:`.screened`.

Everything that a BLAS product says is a bound with a margin. Only :func:`uicgpu.kernels.dot.dot` decides: among the
centroids that the bounds leave, the largest score in float64 wins, and of equal ones the lowest original id.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from uicgpu.kernels.compilation import compiled, compiled_maximum
from uicgpu.kernels.dot import dot_of_rows, float32_dot_of_rows
from uicgpu.kernels.lanes import copy_row
from uicgpu.kernels.prefetch import prefetch_row

TILE: Final = 512
"""Rows whose products are taken together: 512 x 1024 float32 are 2 MB."""
DOWN: Final = 1.0 - 2.0**-22
UP: Final = 1.0 + 2.0**-22
NARROW: Final = np.float32(1.0 - 2.0**-22)
"""Factors that make rounding a positive float64 to float32 safe in one direction."""
DENSE: Final = 0.16
"""Share of a group's centroids to verify, per row with any, from which a product over all dimensions is cheaper."""
AHEAD: Final = 8
"""Rows of which the points are asked for ahead of the one that is read."""
PAIRS, SURVIVORS, DENSE_ROWS, ACTIVE = range(4)
"""Counters of :func:`follow`: pairs screened, scores verified, rows that needed all dimensions, rows looked at."""


@compiled_maximum
def _top(products: Any, r: Any) -> Any:
    best = np.float32(-np.inf)
    for j in range(products.shape[1]):
        value = products[r, j]
        best = value if value > best else best
    return best


@compiled_maximum
def _top_score(products: Any, r: Any, half: Any, first: Any, stop: Any) -> Any:
    best = np.float32(-np.inf)
    for j in range(first, stop):
        value = products[r, j] - half[j]
        best = value if value > best else best
    return best


@compiled_maximum
def _count(products: Any, r: Any, threshold: Any) -> Any:
    found = 0
    for j in range(products.shape[1]):
        found += products[r, j] >= threshold
    return found


@compiled_maximum
def _limits(lower: Any, travelled: Any, limits: Any) -> None:
    """Per row the least bound of a group, as far as the groups travelled since."""
    for r in range(limits.shape[0]):
        limits[r] = np.inf
    for g in range(lower.shape[0]):
        bounds = lower[g]
        for r in range(limits.shape[0]):
            value = bounds[r] - travelled[g]
            limits[r] = value if value < limits[r] else limits[r]


@compiled
def _least_distance(square: Any, score: Any, slack: Any) -> Any:
    """Lower bound on a distance, from an upper bound on the score."""
    return np.sqrt(max(square - 2.0 * score - slack, 0.0))


@compiled
def _most_distance(square: Any, score: Any, slack: Any) -> Any:
    return np.float32(np.sqrt(max(square - 2.0 * score, 0.0) + slack) * UP)


@compiled
def begin(
    x: Any,
    squares: Any,
    c: Any,
    half: Any,
    ids: Any,
    starts: Any,
    largest: float,
    full: float,
    exact: float,
    labels: Any,
    upper: Any,
    lower: Any,
    work: Any,
) -> None:
    """Assign rows from nothing; set their bounds if ``lower`` [tiles, groups, TILE] has room for them."""
    k, groups = c.shape[0], starts.shape[0] - 1
    half32 = half.astype(np.float32)
    tops = np.empty(groups, np.float32)
    for tile in range(0, x.shape[0], TILE):
        rows = min(TILE, x.shape[0] - tile)
        products = work[: rows * k].reshape(rows, k)
        np.dot(x[tile : tile + rows], c.T, products)
        for r in range(rows):
            i = tile + r
            if not np.isfinite(squares[i]):
                labels[i] = -1
                continue
            norm = np.sqrt(squares[i])
            slack = exact * (norm + largest) ** 2
            margin = full * (norm * largest + largest * largest) + slack
            best_top = np.float32(-np.inf)
            for g in range(groups):
                tops[g] = _top_score(products, r, half32, starts[g], starts[g + 1])
                best_top = max(best_top, tops[g])
            threshold = np.float64(best_top) - 2.0 * margin
            best, own, home = -np.inf, -1, 0
            for g in range(groups):
                if tops[g] < threshold:
                    continue
                for j in range(starts[g], starts[g + 1]):
                    if products[r, j] - half32[j] >= threshold:
                        score = dot_of_rows(x, i, c, j) - half[j]
                        if own < 0 or score > best or (score == best and ids[j] < ids[own]):
                            best, own, home = score, j, g
            labels[i] = own
            if lower.shape[1] == 0:
                continue
            low = lower[tile // TILE]
            upper[i] = _most_distance(squares[i], best, slack)
            products[r, own] = -np.inf
            tops[home] = _top_score(products, r, half32, starts[home], starts[home + 1])
            for g in range(groups):
                bound = _least_distance(squares[i], np.float64(tops[g]) + margin, slack)
                low[g, r] = np.float32(bound * DOWN)


@compiled
def _find_active(
    tile: Any,
    x: Any,
    squares: Any,
    c: Any,
    half: Any,
    drift: Any,
    largest: Any,
    screen: Any,
    full: Any,
    exact: Any,
    labels: Any,
    upper: Any,
    limits: Any,
    active: Any,
    scores: Any,
    known: Any,
    slacks: Any,
    screens: Any,
    fulls: Any,
) -> Any:
    """List the rows of a tile that some group may take away from their centroid; return their number."""
    near = 0
    for r in range(min(TILE, x.shape[0] - tile)):
        i = tile + r
        own = labels[i]
        if own < 0:
            continue
        upper[i] = np.float32((np.float64(upper[i]) + drift[own]) * UP)
        if upper[i] >= limits[r] * NARROW:
            active[near] = i
            near += 1
    count = 0
    for a in range(near):
        if a + AHEAD < near:
            prefetch_row(x, active[a + AHEAD])
        i = active[a]
        own = np.int64(labels[i])
        norm = np.sqrt(squares[i])
        slack = exact * (norm + largest) ** 2
        size = norm * largest + largest * largest
        # at least; exact only where it decides
        score = np.float64(float32_dot_of_rows(x, i, c, own)) - half[own] - full * size - slack
        upper[i] = _most_distance(squares[i], score, slack)
        if upper[i] < limits[i - tile] * NARROW:
            continue
        active[count] = i
        scores[count], slacks[count], known[count] = score, slack, False
        screens[count], fulls[count] = screen * size + slack, full * size + slack
        count += 1
    return count


@compiled
def _sift(
    g: Any,
    first: Any,
    tile: Any,
    n: Any,
    inside: Any,
    active: Any,
    squares: Any,
    products: Any,
    travelled: Any,
    labels: Any,
    low: Any,
    scores: Any,
    slacks: Any,
    screens: Any,
    hot: Any,
) -> Any:
    """Renew the bounds of rows that the group cannot have; list the others, return how many, and their candidates."""
    hots, survivors = 0, 0
    size = products.shape[1]
    for r in range(n):
        a = inside[r]
        i = active[a]
        own = labels[i]
        if first <= own < first + size:
            products[r, own - first] = -np.inf
        top = np.float64(_top(products, r)) + screens[a]
        if top < scores[a]:
            bound = _least_distance(squares[i], top, slacks[a]) + travelled[g]
            low[g, i - tile] = np.float32(bound * DOWN)
        else:
            survivors += _count(products, r, np.float32(scores[a] - screens[a]))
            hot[hots] = r
            hots += 1
    return hots, survivors


@compiled
def _settle(
    g: Any,
    first: Any,
    tile: Any,
    a: Any,
    i: Any,
    products: Any,
    r: Any,
    margin: Any,
    x: Any,
    squares: Any,
    c: Any,
    half: Any,
    ids: Any,
    group_of: Any,
    travelled: Any,
    labels: Any,
    upper: Any,
    low: Any,
    scores: Any,
    known: Any,
    slacks: Any,
    fulls: Any,
) -> Any:
    """Take scores of the centroids of the group that the bounds leave; return how many."""
    second = -np.inf
    changed = False
    taken = 0
    for j in range(products.shape[1]):
        value = np.float64(products[r, j]) + margin
        if value < scores[a]:
            second = max(second, value)
            continue
        taken += 1
        position = first + j
        own = np.int64(labels[i])
        score = np.float64(float32_dot_of_rows(x, i, c, position)) - half[position] + fulls[a]
        if score >= scores[a] and not known[a]:
            known[a] = changed = True
            scores[a] = dot_of_rows(x, i, c, own) - half[own]
        if score < scores[a]:
            second = max(second, score)
            continue
        score = dot_of_rows(x, i, c, position) - half[position]
        if score > scores[a] or (score == scores[a] and ids[position] < ids[own]):
            home = group_of[own]
            if home == g:
                second = max(second, scores[a])
            else:
                bound = _least_distance(squares[i], scores[a], slacks[a]) + travelled[home]
                low[home, i - tile] = min(low[home, i - tile], np.float32(bound * DOWN))
            scores[a] = score
            labels[i] = position
            changed = True
        else:
            second = max(second, score)
    if changed:
        upper[i] = _most_distance(squares[i], scores[a], slacks[a])
    bound = _least_distance(squares[i], second, slacks[a]) + travelled[g]
    low[g, i - tile] = np.float32(bound * DOWN)
    return taken


@compiled
def follow(
    x: Any,
    squares: Any,
    projected: Any,
    c: Any,
    half: Any,
    ids: Any,
    starts: Any,
    blocks: Any,
    drift: Any,
    travelled: Any,
    largest: float,
    screen: float,
    full: float,
    exact: float,
    labels: Any,
    upper: Any,
    lower: Any,
    work: Any,
    gathered: Any,
    counts: Any,
) -> None:
    """Assign rows again after the centroids moved, from the bounds of the last time; update the bounds."""
    groups, width, dim = starts.shape[0] - 1, projected.shape[1], x.shape[1]
    half32 = half.astype(np.float32)
    group_of = np.empty(c.shape[0], np.int32)
    for g in range(groups):
        group_of[starts[g] : starts[g + 1]] = g
    # rounded up; what the subtraction itself rounds is covered by NARROW
    passed = (travelled * UP).astype(np.float32)
    limits = np.empty(TILE, np.float32)
    active, inside, hot = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    known = np.empty(TILE, np.bool_)
    scores, screens, fulls, slacks = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for tile in range(0, x.shape[0], TILE):
        low = lower[tile // TILE]
        _limits(low, passed, limits[: min(TILE, x.shape[0] - tile)])
        count = _find_active(
            tile, x, squares, c, half, drift, largest, screen, full, exact,
            labels, upper, limits, active, scores, known, slacks, screens, fulls,
        )  # fmt: skip
        counts[ACTIVE] += count
        for g in range(groups):
            first, stop = starts[g], starts[g + 1]
            size = stop - first
            n = 0
            for a in range(count):
                i = active[a]
                if upper[i] >= (low[g, i - tile] - passed[g]) * NARROW:
                    inside[n] = a
                    copy_row(projected, i, gathered, n)
                    n += 1
            if n == 0:
                continue
            counts[PAIRS] += n * size
            products = work[: n * size].reshape(n, size)
            np.dot(
                gathered[: n * width].reshape(n, width),
                blocks[width * first : width * stop].reshape(width, size),
                products,
            )
            hots, survivors = _sift(
                g,
                first,
                tile,
                n,
                inside,
                active,
                squares,
                products,
                travelled,
                labels,
                low,
                scores,
                slacks,
                screens,
                hot,
            )
            dense = survivors > DENSE * hots * size
            if dense:
                # many are near: sharper bounds from all dimensions cost less than one exact score after another
                counts[DENSE_ROWS] += hots
                for h in range(hots):
                    copy_row(x, active[inside[hot[h]]], gathered, h)
                products = work[: hots * size].reshape(hots, size)
                np.dot(gathered[: hots * dim].reshape(hots, dim), c[first:stop].T, products)
                for h in range(hots):
                    products[h] -= half32[first:stop]
                    own = labels[active[inside[hot[h]]]]
                    if first <= own < stop:
                        products[h, own - first] = -np.inf
            for h in range(hots):
                if h + AHEAD < hots:
                    prefetch_row(x, active[inside[hot[h + AHEAD]]])
                a = inside[hot[h]]
                margin = fulls[a] if dense else screens[a]
                counts[SURVIVORS] += _settle(
                    g, first, tile, a, active[a], products, h if dense else hot[h], margin, x, squares, c, half, ids,
                    group_of, travelled, labels, upper, low, scores, known, slacks, fulls,
                )  # fmt: skip
