"""Many centroids: bounds per point and group of centroids, in the manner of Yinyang KMeans (Ding et al. 2015).

The exact distances inside a group are replaced by the cheap bound of :mod:`.projection`. Between calls each point keeps
its label, an upper bound ``upper`` on the distance to its own centroid and per group of centroids a lower bound
``lower`` on the distance to every other centroid of the group. When centroids move, ``upper`` grows by the own
centroid's move and ``lower`` shrinks by the group's largest move (kept as one sum per group, ``travelled``, that is
subtracted when the bound is read). A group whose bound lies above ``upper`` cannot hold the nearest centroid.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.assign import tiles
from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.assign.projection import bisect, short_centroids

GROUP: Final = ((1024, 32), (4096, 64))
"""Centroids per group, by the largest number of centroids that it suits; beyond: the last."""

Labels = NDArray[np.int32]


def count_groups(clusters: int) -> int:
    """Return the number of groups for so many centroids."""
    size = next((size for most, size in GROUP if clusters <= most), GROUP[-1][1])
    return -(-clusters // size)


class Groups:
    """Labels and bounds of all points; ``4 * (groups + 2)`` bytes per point.

    Attributes
    ----------
    ids, starts
        Centroids in the order of the groups, int32 [k], and where each group starts, int64 [groups + 1].
    positions
        int32 [n], the nearest centroid as a place in ``ids``; -1 for rows that are not finite.
    upper, lower, travelled
        float32 [n], float32 [tiles, groups, TILE], float64 [groups].
    """

    def __init__(
        self, points: Points, centroids: NDArray[np.float32], squares: NDArray[np.float64], bounds: bool
    ) -> None:
        """Assign the points from nothing; without ``bounds`` nothing is kept but the labels."""
        n, k = len(points.x), len(centroids)
        self._points = points
        groups = count_groups(k)
        if bounds:
            members = bisect(short_centroids(centroids, squares, points.axes, points.margins.centroid), groups)
            self.ids = np.concatenate(members).astype(np.int32)
            sizes = [len(each) for each in members]
        else:
            self.ids, sizes = np.arange(k, dtype=np.int32), [len(each) for each in np.array_split(range(k), groups)]
        self.starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        self.lower = np.empty((-(-n // tiles.TILE), groups if bounds else 0, tiles.TILE), np.float32)
        self.upper = np.empty(n if bounds else 0, np.float32)
        self.positions = np.empty(n, np.int32)
        self.travelled = np.zeros(groups)
        self._given = centroids.copy()
        self._begin(squares)

    @property
    def labels(self) -> Labels:
        """int32 [n], the nearest centroid of each point; -1 for rows that are not finite."""
        labels = np.full(len(self.positions), -1, np.int32)
        found = self.positions >= 0
        labels[found] = self.ids[self.positions[found]]
        return labels

    def _begin(self, squares: NDArray[np.float64]) -> None:
        points, m = self._points, self._points.margins
        c, half = np.ascontiguousarray(self._given[self.ids]), squares[self.ids] / 2
        room = {"work": tiles.TILE * len(c)}

        def part(rows: slice) -> None:
            space = points.borrow(room)
            tiles.begin(
                points.x[rows],
                points.squares[rows],
                c,
                half,
                self.ids,
                self.starts,
                float(np.sqrt(squares.max())),
                m.full,
                m.exact,
                self.positions[rows],
                self.upper[rows],
                self.lower[rows.start // tiles.TILE : -(-rows.stop // tiles.TILE)],
                space["work"],
            )
            points.give_back(space)

        points.map(part)

    def follow(self, given: NDArray[np.float32], squares: NDArray[np.float64]) -> tuple[int, int, int]:
        """Assign again; return how many pairs were bounded, exact scores taken, and products over all dimensions."""
        points, m = self._points, self._points.margins
        ids, starts = self.ids, self.starts
        c, half = np.ascontiguousarray(given[ids]), squares[ids] / 2
        moves = given.astype(np.float64)[ids] - self._given[ids]
        drift = np.sqrt(np.einsum("ij,ij->i", moves, moves)) * (1 + 1e-9)
        self.travelled += np.maximum.reduceat(drift, starts[:-1])
        short = short_centroids(c, squares[ids], points.axes, m.centroid)
        width, dim = short.shape[1], c.shape[1]
        blocks = np.concatenate([short[a:b].T.ravel() for a, b in pairwise(starts)])
        widest = int(np.diff(starts).max())
        room = {"work": tiles.TILE * widest, "gathered": tiles.TILE * max(width, dim)}

        def part(rows: slice) -> NDArray[np.int64]:
            space = points.borrow(room)
            counts = np.zeros(4, np.int64)
            tiles.follow(
                points.x[rows],
                points.squares[rows],
                points.projected[rows],
                c,
                half,
                ids,
                starts,
                blocks,
                drift,
                self.travelled,
                float(np.sqrt(squares.max())),
                m.screen,
                m.full,
                m.exact,
                self.positions[rows],
                self.upper[rows],
                self.lower[rows.start // tiles.TILE : -(-rows.stop // tiles.TILE)],
                space["work"],
                space["gathered"],
                counts,
            )
            points.give_back(space)
            return counts

        counts = np.sum(points.map(part), axis=0)
        self._given = given.copy()
        dense = int(counts[tiles.DENSE_ROWS]) * widest
        return int(counts[tiles.PAIRS]), int(counts[tiles.SURVIVORS]), dense
