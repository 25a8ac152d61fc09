"""Few centroids: one short product per tile of rows, and what it cannot see of a score remembered.

A score is ``<x, c> - |c|^2 / 2``. The short product of :mod:`.projection` knows the part of ``<x, c>`` inside the main
directions; the remainder is at most the product of the rests' lengths. Once a score was taken exactly its remainder is
known, and when the centroid moves by ``m`` it changes by no more than ``|rest of x| |rest of m|``, soon a small part of
that product. So each point remembers the remainder for its own centroid and for the few others that came near
last, and is read again only where two centroids are nearly equally far.

With float32 rounding: let ``y`` be the stored projection of ``x`` on the stored directions ``V`` and ``r`` the
remainder ``<x, c> - <y, V'c>``. It is linear in ``c``, and ``|r(m)| <= |rest of x| |rest of m| + turn |x| |m|``, where
``turn`` covers that ``V`` and ``y`` are rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.assign import remainders
from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.assign.projection import short_centroids
from uicgpu.kernels.lanes import LANES

Labels = NDArray[np.int32]


class Remembered:
    """What is remembered of all points about k centroids; ``4 * (2 + 2 * SLOTS)`` bytes per point.

    Attributes
    ----------
    labels
        int32 [n], the nearest centroid by the last call; -1 for rows that are not finite.
    own
        float32 [n], lower bound on the own remainder, plus the centroid's way until it was taken.
    slots, others
        int32 and float32 [n, SLOTS]: centroids (-1: none), and upper bounds on their remainders, minus the way.
    aside, moved
        float64 [k], way of each centroid so far outside the main directions, and in all.
    """

    def __init__(
        self, points: Points, labels: Labels, centroids: NDArray[np.float32], squares: NDArray[np.float64]
    ) -> None:
        self._points = points
        self.labels = labels
        self.own = np.full(labels.size, -np.inf, np.float32)
        self.slots = np.full((labels.size, remainders.SLOTS), -1, np.int32)
        self.others = np.zeros((labels.size, remainders.SLOTS), np.float32)
        self.aside, self.moved = np.zeros(len(centroids)), np.zeros(len(centroids))
        self._given = centroids.copy()
        self._peak = float(np.sqrt(squares.max()))

    def follow(self, given: NDArray[np.float32], squares: NDArray[np.float64]) -> tuple[int, int, int]:
        """Assign again; return how many pairs were bounded, exact scores taken, and products over all dimensions."""
        points, m = self._points, self._points.margins
        moves = given.astype(np.float64) - self._given
        lengths = np.einsum("ij,ij->i", moves, moves)
        self.aside += short_centroids(moves, lengths, points.axes, m.centroid)[:, -1]
        self.moved += np.sqrt(lengths) * (1 + 1e-9)
        self._given = given.copy()
        short = short_centroids(given, squares, points.axes, m.centroid)
        rests = short[:, -1].astype(np.float64)
        columns = -(-len(given) // LANES) * LANES
        block = np.zeros((short.shape[1], columns), np.float32)
        block[:, : len(given)] = short.T
        block[-2, len(given) :] = -np.finfo(np.float32).max
        largest = float(np.sqrt(squares.max()))
        self._peak = max(self._peak, largest)
        factors = np.array([largest, self._peak, m.screen, m.full, m.exact, m.rest, m.turn])
        room = {"work": remainders.TILE * columns}

        def part(rows: slice) -> NDArray[np.int64]:
            space, counts = points.borrow(room), np.zeros(2, np.int64)
            remainders.follow(
                points.x[rows],
                points.squares[rows],
                points.projected[rows],
                given,
                squares / 2,
                rests,
                block,
                self.aside,
                self.moved,
                factors,
                self.labels[rows],
                self.own[rows],
                self.slots[rows],
                self.others[rows],
                space["work"],
                counts,
            )
            points.give_back(space)
            return counts

        counts = np.sum(points.map(part), axis=0)
        k = len(given)
        return len(points.x) * k, int(counts[remainders.SCORES]), int(counts[remainders.FULL_ROWS]) * k
