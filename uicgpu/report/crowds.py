"""How can a map show where users lie without showing where any user lies? Points are drawn anew within crowds of k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uicgpu.randomness import generator
from uicgpu.report.data_map import DataMap


def crowds_of(points: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Split points into crowds of neighbours: int32 [points], each crowd of k to 2k - 1 (all, for fewer than k).

    Halves along the wider axis, equal coordinates by row, while both halves keep k points.
    """
    crowds = np.zeros(len(points), np.int32)
    waiting, number = [np.arange(len(points))], 0
    while waiting:
        rows = waiting.pop()
        if rows.size < 2 * max(k, 1):
            crowds[rows] = number
            number += 1
            continue
        own = points[rows]
        axis = int(np.argmax(own.max(axis=0) - own.min(axis=0)))
        order = rows[np.argsort(own[:, axis], kind="stable")]
        waiting += [order[rows.size // 2 :], order[: rows.size // 2]]
    return crowds


def hide_points(data: DataMap, k: int, seed: int) -> tuple[DataMap, NDArray[np.int32]]:
    """Draw every point anew from its crowd's mean and spread, within the crowd's box; k of 1 changes nothing.

    Within a crowd the places do not depend on which member they belong to: whoever places a person on the map, however
    well, finds a crowd of at least ``k``.

    Returns
    -------
    tuple
        The map, and int32 [sample], the crowd of each user.
    """
    crowds = crowds_of(data.points, k)
    if k <= 1 or not data.rows.size:
        return data, crowds
    points = data.points.astype(np.float64)
    order = np.argsort(crowds, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(crowds[order]) > 0])
    sizes = np.diff(np.r_[starts, order.size])[:, None]
    own = points[order]
    mean = np.add.reduceat(own, starts) / sizes
    spread = np.sqrt((np.add.reduceat(own**2, starts) / sizes - mean**2).clip(min=0))
    low, high = np.minimum.reduceat(own, starts), np.maximum.reduceat(own, starts)
    drawn = mean[crowds] + generator(seed, "report map crowds").normal(size=points.shape) * spread[crowds]
    placed = np.round(np.clip(drawn, low[crowds], high[crowds]), 4).astype(np.float32)
    return DataMap(placed, data.rows, data.explained), crowds
