"""The same points assigned again and again while centroids move: bounds spare most of the work, labels stay exact.

Two ways to keep bounds between the calls: :mod:`.remembered` for few centroids, :mod:`.grouped` for many. Neither where
it cannot pay: then every call is an assignment from nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.assign import remainders
from uicgpu.kernels.assign.cpu import Run, check_centroids
from uicgpu.kernels.assign.cpu import assign as assign_plainly
from uicgpu.kernels.assign.grouped import Groups, count_groups
from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.assign.projection import FEWER_WIDTHS, WIDTHS
from uicgpu.kernels.assign.remembered import Remembered
from uicgpu.kernels.dot import squared_norms

FEWEST_CENTROIDS: Final = 32
MOST_REMEMBERED: Final = 256
"""Largest number of centroids that are all screened by one product; more are put in groups."""
LEAST_WORK: Final = 10**8
"""Products ``n * k * d`` below which setting up bounds costs more than it saves."""
SAFE: Final = (1e-12, 1e12)
"""Norms between which float32 products neither overflow nor vanish."""
USELESS: Final = 1.4
"""Pairs looked at plus pairs looked at over all dimensions, per pair, from which a call gained nothing by bounds."""
PATIENCE: Final = 3
"""Such calls in a row after which bounds are given up: the first ones after a bad start prove nothing."""

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
    Beside the points it holds ``4 * (width + 2 + 2 * SLOTS)`` bytes per point for few centroids and ``4 * (width +
    groups + 4)`` for many. The result does not depend on ``run``, ``memory`` or ``least_work``.
    """

    def __init__(
        self, points: NDArray[Any], run: Run | None = None, memory: int | None = None, least_work: int = LEAST_WORK
    ) -> None:
        self._points = Points(points, run)
        self._run = run
        self._memory = memory
        self._least_work = least_work
        self._bounds: Remembered | Groups | None = None
        self._shape: tuple[int, ...] | None = None
        self._useless = 0
        self.facts = {"screened": 0, "plain": 0, "pairs": 0, "looked": 0, "verified": 0, "width": 0}

    def __call__(self, centroids: NDArray[Any]) -> Labels:
        """Return the label of each point, int32 [n]; ties go to the lowest id, rows with NaN or infinity get -1.

        Raises
        ------
        InputError
            As :func:`uicgpu.kernels.assign.assign`.
        """
        given = np.ascontiguousarray(centroids, dtype=np.float32)
        check_centroids(self._points.x.shape, given.shape, bool(np.isfinite(given).all()))
        squares = squared_norms(given)
        largest = float(np.sqrt(squares.max()))
        if not (SAFE[0] < largest < SAFE[1] and self._points.longest < SAFE[1]):
            self._bounds = self._shape = None
            self.facts["plain"] += 1
            return assign_plainly(self._points.x, given, self._run)[0]
        if self._bounds is not None and self._shape == given.shape:
            self.facts["screened"] += 1
            return self._follow(self._bounds, given, squares)
        self.facts["plain"] += 1
        return self._begin(given, squares)

    def _begin(self, given: NDArray[np.float32], squares: NDArray[np.float64]) -> Labels:
        """Assign from nothing; keep bounds unless they were given up for as many centroids before."""
        few = len(given) <= MOST_REMEMBERED
        widths = FEWER_WIDTHS if few else WIDTHS
        bounds = self._shape != given.shape and self._worthwhile(len(given))
        if bounds:
            self._points.project(widths)
            self.facts["width"] = self._points.projected.shape[1]
        begun = Groups(self._points, given, squares, bounds and not few)
        self._shape, self._useless = given.shape, 0
        self._bounds = None
        if bounds:
            self._bounds = Remembered(self._points, begun.labels, given, squares) if few else begun
        return begun.labels

    def _worthwhile(self, clusters: int) -> bool:
        n, dim = self._points.x.shape
        if clusters < FEWEST_CENTROIDS or n * clusters * dim < self._least_work:
            return False
        few = clusters <= MOST_REMEMBERED
        width = self._points.width(FEWER_WIDTHS if few else WIDTHS)
        need = 4 * n * (width + (2 + 2 * remainders.SLOTS if few else count_groups(clusters) + 4))
        return width > 0 and (self._memory is None or need <= self._memory)

    def _follow(self, bounds: Remembered | Groups, given: NDArray[np.float32], squares: NDArray[np.float64]) -> Labels:
        looked, verified, fully = bounds.follow(given, squares)
        labels = bounds.labels
        pairs = len(labels) * len(given)
        self.facts["pairs"] += pairs
        self.facts["looked"] += looked
        self.facts["verified"] += verified
        # nearly every pair looked at, and much of it a second time over all dimensions: a plain pass is cheaper
        self._useless = self._useless + 1 if looked + fully > USELESS * pairs else 0
        if self._useless == PATIENCE:
            self._bounds = None
        return labels.copy() if isinstance(bounds, Remembered) else labels
