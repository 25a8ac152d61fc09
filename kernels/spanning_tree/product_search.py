"""The nearest points by products: shortened points exclude pairs, float32 squares what is left, float64 squares decide.

A float64 square takes five times as long as a float32 one, so it is computed at the end and only of what may still be a
neighbour: each point keeps the smallest float32 squares it has met in a heap, whose largest bounds the square of the
last neighbour, and a list of all that lay below the bound when they were met.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.lanes import LANES, lowest_bit, may_reach
from uicgpu.kernels.spanning_tree.square import FLOOR, rough_square, slack_of, square_between

SPARE: Final = 128
"""Entries of a list beyond four times the number of neighbours."""
LARGEST: Final = 1e38
"""Squares above are too near to the end of float32 to bound anything."""


@compiled
def _replace_largest(heap: Any, value: Any) -> None:
    """Put a smaller value into the place of the largest, which stands at 0."""
    place, count = 0, heap.shape[0]
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = value


@compiled
def _bound_of_opening(products: Any, half: Any, itself: Any, own: Any, margin: Any, heap: Any) -> Any:
    """Return a bound on the square of the last neighbour, from the products of one block with all columns."""
    heap[:] = np.inf
    for p in range(products.shape[0]):
        value = half[p] - products[p]
        if value < heap[0] and p != itself:
            _replace_largest(heap, value)
    bound = own + 2 * np.float64(heap[0]) + margin
    return bound if bound < LARGEST else np.inf


@compiled
def _decide(point: Any, near: Any, order: Any, kept: Any, space: Any, squares: Any, rows: Any, places: Any) -> None:
    """Fill ``squares``, ``rows`` and ``places`` with the nearest of the points at ``kept``, nearest first."""
    squares[:], rows[:], places[:] = np.inf, -1, -1
    for candidate in kept:
        square, row = square_between(point, near[candidate], space), order[candidate]
        place = squares.shape[0] - 1
        if square > squares[place] or (square == squares[place] and 0 <= rows[place] < row):
            continue
        while place > 0 and (squares[place - 1] > square or (squares[place - 1] == square and rows[place - 1] > row)):
            squares[place], rows[place], places[place] = squares[place - 1], rows[place - 1], places[place - 1]
            place -= 1
        squares[place], rows[place], places[place] = square, row, candidate


@compiled
def _thin(kept: Any, rough: Any, size: Any, most: Any) -> Any:
    """Drop all entries of a list above ``most``; returns how many are left."""
    left = 0
    for entry in range(size):
        if rough[entry] <= most:
            kept[left], rough[left] = kept[entry], rough[entry]
            left += 1
    return left


@compiled
def _bits(products: Any, first: Any, half: Any, first_half: Any, count: Any, limit: Any) -> Any:
    """Bits of up to 16 columns that may hold a neighbour."""
    if count == LANES:
        return may_reach(products, first, half, first_half, limit)
    bits = 0
    for bit in range(count):
        if not products[first + bit] - half[first_half + bit] < limit:
            bits |= 1 << bit
    return bits


@compiled
def nearest_by_products(
    near: Any,
    order: Any,
    short: Any,
    norms: Any,
    half: Any,
    error: float,
    points: Any,
    points_short: Any,
    points_norms: Any,
    first: int,
    plan: Any,
    opening: Any,
    opening_error: float,
    block_size: int,
    work: Any,
    squares: Any,
    rows: Any,
) -> None:
    """Fill ``squares`` and ``rows`` with the nearest points of a cloud for one tile of points.

    Parameters
    ----------
    near, order, short, norms, half, error
        The cloud's arrays.
    points, points_short, points_norms
        The tile, in the forms of ``near``, ``short`` and ``norms``.
    first
        Where the tile stands in the cloud; -1 if it is not of it.
    plan
        int64, numbers of all blocks in the order in which they are visited.
    opening, opening_error
        Products of all columns with the first block of the plan, and their error factor.
    work
        float32, space for the products of a tile and a block.
    squares, rows
        float64 and int32 [tile, count]: what is found, nearest first.
    """
    n, count, tile = near.shape[0], squares.shape[1], points.shape[0]
    space, slack = np.empty(near.shape[1]), slack_of(near.shape[1])
    room = 4 * count + SPARE
    kept, rough, sizes = np.empty((tile, room), np.int32), np.empty((tile, room), np.float32), np.zeros(tile, np.int64)
    heaps, places = np.full((tile, count), np.float32(np.inf)), np.empty(count, np.int32)
    most = np.full(tile, np.inf)  # bounds on the squares of the last neighbours
    for step in range(plan.shape[0]):
        block = plan[step] * block_size
        end = min(block + block_size, n)
        width = end - block
        if step == 0:
            products, unit = opening, opening_error
        else:
            products, unit = work[: tile * width].reshape(tile, width), error
            np.dot(points_short, short[block:end].T, products)
        longest = norms[block:end].max()
        for r in range(tile):
            own = points_norms[r] * points_norms[r]
            margin = unit * (points_norms[r] + longest) ** 2 + FLOOR
            itself = first + r if first >= 0 else -1
            if step == 0:
                most[r] = _bound_of_opening(products[r], half[block:end], itself - block, own, margin, heaps[r])
                heaps[r] = np.inf
            for start in range(0, width, LANES):
                limit = np.float32((own - most[r] - margin) / 2)
                bits = _bits(products[r], start, half, block + start, min(LANES, width - start), limit)
                while bits:
                    p = start + lowest_bit(bits)
                    bits &= bits - 1
                    if block + p == itself:
                        continue
                    square = rough_square(points[r], near[block + p])
                    if square > most[r] * slack + FLOOR:
                        continue
                    if sizes[r] == room:
                        sizes[r] = _thin(kept[r], rough[r], room, most[r] * slack + FLOOR)
                        if sizes[r] > room // 2:  # many as near as the last neighbour
                            _decide(points[r], near, order, kept[r, : sizes[r]], space, squares[r], rows[r], places)
                            sizes[r] = count
                            for entry in range(count):
                                kept[r, entry], rough[r, entry] = places[entry], squares[r, entry]
                    kept[r, sizes[r]], rough[r, sizes[r]] = block + p, square
                    sizes[r] += 1
                    if square < heaps[r, 0]:
                        _replace_largest(heaps[r], square)
                        most[r] = min(most[r], heaps[r, 0] * slack + FLOOR)
    for r in range(tile):
        sizes[r] = _thin(kept[r], rough[r], sizes[r], most[r] * slack + FLOOR)
        _decide(points[r], near, order, kept[r, : sizes[r]], space, squares[r], rows[r], places)
