"""Which point of a fitted cloud a new point hangs on: the one it reaches at the lowest level of density.

The level of a pair is its mutual reachability, the core distance of the new point being the distance to its
``min_samples``-th nearest fitted point. Asked for a fitted point itself (which is its own nearest), this is the core
distance of the fit in every bit, the level is that core distance, and the answer the point or an equal one. Hence
labels by attachment repeat those of the fit without a table of known points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree.box_search import attach_in_boxes, summarise
from uicgpu.kernels.spanning_tree.nearest import BLOCK, TILE, Cloud, Map, nearest_of
from uicgpu.kernels.spanning_tree.square import FLOOR, square_between

NEIGHBOURS = 24
"""Neighbours looked at first, at least: most points need no more."""


def attach(
    cloud: Cloud, cores: NDArray[np.float64], points: NDArray[np.float32], min_samples: int, run: Map | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return for each point the row of ``cloud`` with the least mutual reachability, and its square.

    Equal levels go to the nearest of these rows, equal distances to the lowest row.

    Parameters
    ----------
    cloud
        The fitted points, at least ``min_samples`` of them.
    cores
        float64 [n], squared core distances of the fitted points.
    points
        float32 [m, d], finite.
    min_samples
        That of the fit, the point itself included.
    """
    x = np.ascontiguousarray(points, np.float32)
    rows, levels = np.empty(len(x), np.int32), np.empty(len(x))
    count = min(len(cloud.x), max(NEIGHBOURS, min_samples + 1))

    boxes = cloud.boxes
    least = None if boxes is None else summarise(boxes.arrays, cores, np.zeros(len(cores), np.int32))[0]

    def part(start: int) -> None:
        tile = slice(start, min(start + TILE, len(x)))
        own = x[tile]
        squares, near = np.full((len(own), count), np.inf), np.full((len(own), count), -1, np.int32)
        nearest_of(cloud, own, squares, near)
        core, gap = squares[:, min_samples - 1].copy(), np.empty(len(own))
        _from_list(squares, near, cores, core, rows[tile], levels[tile], gap)
        # beyond the list everything is at least as far as its last entry
        unsure = np.flatnonzero(levels[tile] >= squares[:, -1]) if count < len(cloud.x) else np.empty(0, np.int64)
        if boxes is not None:
            held = rows[tile], levels[tile], gap
            attach_in_boxes(cloud.x, boxes.arrays, own, cores, least, core, unsure, *held)
        elif unsure.size:
            held = rows[tile][unsure], levels[tile][unsure], gap[unsure]
            short, norms = cloud.shorten(own[unsure])
            _from_all(
                cloud.near,
                cloud.order,
                cloud.short,
                cloud.norms,
                cloud.half,
                cloud.error,
                cores,
                own[unsure],
                short,
                norms,
                core[unsure],
                BLOCK,
                np.empty(TILE * BLOCK, np.float32),
                *held,
            )
            rows[start + unsure], levels[start + unsure] = held[:2]

    starts = range(0, len(x), TILE)
    if run is None:
        for start in starts:
            part(start)
    else:
        run(part, starts)
    return rows, levels


@compiled
def _better(level: Any, gap: Any, row: Any, level2: Any, gap2: Any, row2: Any) -> Any:
    if level != level2:
        return level < level2
    return gap < gap2 or (gap == gap2 and row < row2)


@compiled
def _from_list(squares: Any, near: Any, cores: Any, core: Any, rows: Any, levels: Any, gaps: Any) -> None:
    for i in range(near.shape[0]):
        rows[i], levels[i], gaps[i] = near[i, 0], np.inf, np.inf
        for place in range(near.shape[1]):
            square, j = squares[i, place], near[i, place]
            level = max(square, core[i], cores[j])
            if _better(level, square, j, levels[i], gaps[i], rows[i]):
                rows[i], levels[i], gaps[i] = j, level, square


@compiled
def _from_all(
    x: Any,
    order: Any,
    short: Any,
    norms: Any,
    half: Any,
    error: float,
    cores: Any,
    points: Any,
    points_short: Any,
    points_norms: Any,
    core: Any,
    block_size: int,
    work: Any,
    rows: Any,
    levels: Any,
    gaps: Any,
) -> None:
    n, count = x.shape[0], points.shape[0]
    space = np.empty(x.shape[1])
    for block in range(0, n, block_size):
        stop = min(block + block_size, n)
        width = stop - block
        products = work[: count * width].reshape(count, width)
        np.dot(points_short, short[block:stop].T, products)
        longest = norms[block:stop].max()
        for i in range(count):
            base = points_norms[i] * points_norms[i] - error * (points_norms[i] + longest) ** 2 - FLOOR
            for p in range(width):
                j = order[block + p]
                if products[i, p] - half[block + p] < (base - levels[i]) / 2 or cores[j] > levels[i]:
                    continue
                square = square_between(points[i], x[block + p], space)
                level = max(square, core[i], cores[j])
                if _better(level, square, j, levels[i], gaps[i], rows[i]):
                    rows[i], levels[i], gaps[i] = j, level, square
