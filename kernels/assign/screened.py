"""The same points assigned again and again while centroids move: bounds spare most of the work, labels stay exact.

Group bounds in the manner of Yinyang KMeans (Ding et al. 2015), with the exact distances inside a group replaced by
the cheap bound of :mod:`.projection`. Between calls each point keeps its label, an upper bound ``upper`` on the
distance to its own centroid and per group of centroids a lower bound ``lower`` on the distance to every other centroid
of the group. When centroids move, ``upper`` grows by the own centroid's move and ``lower`` shrinks by the group's
largest move (kept as one sum per group, ``travelled``, that is subtracted when the bound is read). A group whose bound
lies above ``upper`` cannot hold the nearest centroid.
"""

from __future__ import annotations

import queue
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.assign import tiles
from uicgpu.kernels.assign.cpu import Run, check_centroids
from uicgpu.kernels.assign.cpu import assign as assign_plainly
from uicgpu.kernels.assign.projection import (
    EXTRA,
    bisect,
    choose_axes,
    finish_points,
    margins,
    short_centroids,
)
from uicgpu.kernels.dot import squared_norms

PART: Final = 8 * tiles.TILE
"""Rows per part of a parallel run."""
FEWEST_CENTROIDS: Final = 32
LEAST_WORK: Final = 10**8
"""Products ``n * k * d`` below which setting up bounds costs more than it saves."""
GROUP: Final = ((256, 16), (1024, 32), (4096, 64))
"""Centroids per group, by the largest number of centroids that it suits; beyond: the last."""
SAFE: Final = (1e-12, 1e12)
"""Norms between which float32 products neither overflow nor vanish."""
USELESS: Final = 0.7
"""Share of all pairs that one call may look at before bounds are given up."""

Labels = NDArray[np.int32]


class RepeatedAssign:
    """Callable: ``labels = repeated(centroids)``, equal to ``assign(points, centroids)[0]`` for any sequence of calls.

    Parameters
    ----------
    points
        [n, d], any numbers; used as C-contiguous float32 and not copied if they are. Must not change between calls.
    run
        Applies a function to every part, for example :meth:`uicgpu.backends.interface.Backend.map`; BLAS should be held
        to one thread there. Default: one part after the other.
    memory
        Bytes that projection and bounds may take; with less, every call starts from nothing.
    least_work
        Products ``n * k * d`` of one call below which every call starts from nothing.

    Attributes
    ----------
    facts
        ``screened`` (calls that used bounds), ``plain`` (calls that started from nothing), ``pairs`` (pairs of point
        and centroid in the screened calls, all of them), ``looked`` (those that were bounded singly), ``verified``
        (exact scores taken), ``width`` (columns of the projection, 0 without).

    Notes
    -----
    Beside the points it holds ``4 * (width + groups + 4)`` bytes per point. The result does not depend on ``run``,
    ``memory`` or ``least_work``.
    """

    def __init__(
        self, points: NDArray[Any], run: Run | None = None, memory: int | None = None, least_work: int = LEAST_WORK
    ) -> None:
        self._x = np.ascontiguousarray(points, dtype=np.float32)
        self._run: Run = run or _one_after_the_other
        self._memory = memory
        self._least_work = least_work
        self._spaces: queue.SimpleQueue[dict[str, NDArray[np.float32]]] = queue.SimpleQueue()
        n = self._x.shape[0]
        self._parts = [(start, min(start + PART, n)) for start in range(0, n, PART)]
        self._squares = np.empty(n)
        self._map(lambda rows: np.copyto(self._squares[rows], squared_norms(self._x[rows])))
        self._finite = np.isfinite(self._squares)
        self._longest = float(np.sqrt(self._squares[self._finite].max(initial=0.0)))
        self._axes: NDArray[np.float32] | None = None
        self._looked_for_axes = False
        self._projected = np.empty((0, 0), np.float32)
        self._positions: Labels = np.empty(0, np.int32)
        self._forget()
        self.facts = {"screened": 0, "plain": 0, "pairs": 0, "looked": 0, "verified": 0, "width": 0}

    def __call__(self, centroids: NDArray[Any]) -> Labels:
        """Return the label of each point, int32 [n]; ties go to the lowest id, rows with NaN or infinity get -1.

        Raises
        ------
        InputError
            As :func:`uicgpu.kernels.assign.assign`.
        """
        given = np.ascontiguousarray(centroids, dtype=np.float32)
        check_centroids(self._x.shape, given.shape, bool(np.isfinite(given).all()))
        squares = squared_norms(given)
        largest = float(np.sqrt(squares.max()))
        if not (SAFE[0] < largest < SAFE[1] and self._longest < SAFE[1]):
            self._forget()
            self.facts["plain"] += 1
            return assign_plainly(self._x, given, self._run)[0]
        if self._given is None or self._given.shape != given.shape or not self._screening:
            self._plan(given, squares)
            self._begin(given, squares, largest)
            self.facts["plain"] += 1
        else:
            self._follow(given, squares, largest)
            self.facts["screened"] += 1
        labels = np.full(len(self._positions), -1, np.int32)
        found = self._positions >= 0
        labels[found] = self._ids[self._positions[found]]
        return labels

    def _forget(self) -> None:
        self._given: NDArray[np.float32] | None = None
        self._screening = False

    def _plan(self, given: NDArray[np.float32], squares: NDArray[np.float64]) -> None:
        """Decide whether to keep bounds, and divide the centroids into groups."""
        n, dim = self._x.shape
        k = len(given)
        if self._given is None or self._given.shape != given.shape:
            size = next((size for most, size in GROUP if k <= most), GROUP[-1][1])
            wanted = k >= FEWEST_CENTROIDS and n * k * dim >= self._least_work
            if wanted and not self._looked_for_axes:
                self._looked_for_axes = True
                self._axes = choose_axes(self._x, self._finite)
            self._screening = wanted and self._axes is not None
            groups = -(-k // size)
            if self._axes is not None and self._screening:
                width = self._axes.shape[1] + EXTRA
                need = 4 * n * (width + groups + 4)
                self._screening = self._memory is None or need <= self._memory
            self._ids = np.arange(k, dtype=np.int32)
            sizes = np.full(groups, size)
            if self._axes is not None and self._screening:
                self._project()
                self._margins = margins(dim, self._axes.shape[1] + EXTRA)
                members = bisect(short_centroids(given, squares, self._axes, self._margins.centroid), groups)
                self._ids = np.concatenate(members).astype(np.int32)
                sizes = np.array([len(each) for each in members])
            else:
                self._margins = margins(dim, 0)
            self._starts = np.minimum(np.concatenate(([0], np.cumsum(sizes))), k).astype(np.int64)
            self._lower = np.empty((-(-n // tiles.TILE), groups if self._screening else 0, tiles.TILE), np.float32)
            self._upper = np.empty(n, np.float32)
            self._positions = np.empty(n, np.int32)
            self._travelled = np.zeros(groups)

    def _project(self) -> None:
        axes = self._axes
        assert axes is not None
        n, width = len(self._x), axes.shape[1] + EXTRA
        if self._projected.shape == (n, width):
            return
        self._projected = np.empty((n, width), np.float32)
        self.facts["width"] = width
        padded = np.zeros((len(axes), width), np.float32)
        padded[:, :-EXTRA] = axes
        error = margins(len(axes), width).point

        def part(rows: slice) -> None:
            with np.errstate(all="ignore"):  # rows with NaN or infinity are never looked at
                np.matmul(self._x[rows], padded, out=self._projected[rows])
            finish_points(self._projected[rows], self._squares[rows], error)

        self._map(part)

    def _begin(self, given: NDArray[np.float32], squares: NDArray[np.float64], largest: float) -> None:
        c, half = np.ascontiguousarray(given[self._ids]), squares[self._ids] / 2
        room = {"work": tiles.TILE * len(c)}
        m = self._margins

        def part(rows: slice) -> None:
            space = self._borrow(room)
            tiles.begin(
                self._x[rows],
                self._squares[rows],
                c,
                half,
                self._ids,
                self._starts,
                largest,
                m.full,
                m.exact,
                self._positions[rows],
                self._upper[rows],
                self._lower[rows.start // tiles.TILE : -(-rows.stop // tiles.TILE)],
                space["work"],
            )
            self._spaces.put(space)

        self._map(part)
        self._travelled[:] = 0
        self._given = given.copy()

    def _follow(self, given: NDArray[np.float32], squares: NDArray[np.float64], largest: float) -> None:
        assert self._given is not None and self._axes is not None
        ids, starts, m = self._ids, self._starts, self._margins
        c, half = np.ascontiguousarray(given[ids]), squares[ids] / 2
        moves = given.astype(np.float64)[ids] - self._given[ids]
        drift = np.sqrt(np.einsum("ij,ij->i", moves, moves)) * (1 + 1e-9)
        self._travelled += np.maximum.reduceat(drift, starts[:-1])
        short = short_centroids(c, squares[ids], self._axes, m.centroid)
        width, dim = short.shape[1], c.shape[1]
        blocks = np.concatenate([short[a:b].T.ravel() for a, b in pairwise(starts)])
        widest = int(np.diff(starts).max())
        room = {"work": tiles.TILE * widest, "gathered": tiles.TILE * max(width, dim)}

        def part(rows: slice) -> NDArray[np.int64]:
            space = self._borrow(room)
            counts = np.zeros(4, np.int64)
            tiles.follow(
                self._x[rows],
                self._squares[rows],
                self._projected[rows],
                c,
                half,
                ids,
                starts,
                blocks,
                drift,
                self._travelled,
                largest,
                m.screen,
                m.full,
                m.exact,
                self._positions[rows],
                self._upper[rows],
                self._lower[rows.start // tiles.TILE : -(-rows.stop // tiles.TILE)],
                space["work"],
                space["gathered"],
                counts,
            )
            self._spaces.put(space)
            return counts

        counted: list[NDArray[np.int64]] = self._map(part)
        counts = np.sum(counted, axis=0)
        self._given = given.copy()
        pairs = len(self._x) * len(c)
        self.facts["pairs"] += pairs
        self.facts["looked"] += int(counts[tiles.PAIRS])
        self.facts["verified"] += int(counts[tiles.SURVIVORS])
        # nearly every pair looked at, and much of it a second time over all dimensions: a plain pass is cheaper
        dense = int(counts[tiles.DENSE_ROWS]) * int(np.diff(starts).max())
        if counts[tiles.PAIRS] + dense > 2 * USELESS * pairs:
            self._screening = False
            self._lower = np.empty((-(-len(self._x) // tiles.TILE), 0, tiles.TILE), np.float32)

    def _borrow(self, room: dict[str, int]) -> dict[str, NDArray[np.float32]]:
        """Work space of one running part; kept from call to call, because fresh pages cost more than the part."""
        try:
            space = self._spaces.get_nowait()
        except queue.Empty:
            space = {}
        for name, size in room.items():
            if name not in space or space[name].size < size:
                space[name] = np.empty(size, np.float32)
        return space

    def _map(self, part: Any) -> Any:
        return self._run(lambda bounds: part(slice(*bounds)), self._parts)


def _one_after_the_other(function: Any, parts: Any) -> Any:
    return [function(part) for part in parts]
