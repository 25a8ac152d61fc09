"""The points of a repeated assignment: what is computed of them once, and how work is spread over their rows."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.assign import tiles
from uicgpu.kernels.assign.cpu import Run
from uicgpu.kernels.assign.projection import EXTRA, Margins, Widths, choose_axes, finish_points, margins
from uicgpu.kernels.dot import squared_norms

PART: Final = 8 * tiles.TILE
"""Rows per part of a parallel run."""

Space = dict[str, NDArray[np.float32]]


class Points:
    """Points that are assigned again and again.

    Attributes
    ----------
    x
        float32 [n, d], C-contiguous; not copied if they were given so.
    squares
        float64 [n], squared norms; not finite for rows with NaN or infinity.
    longest
        Largest norm of a finite row.
    axes, projected, margins
        Main directions, the short points (see :mod:`.projection`) and the error factors; without :meth:`project` no
        directions, no columns, and factors for full products only.
    """

    def __init__(self, points: NDArray[Any], run: Run | None) -> None:
        self.x = np.ascontiguousarray(points, dtype=np.float32)
        self._run: Run = run or _one_after_the_other
        n, dim = self.x.shape
        self._parts = [(start, min(start + PART, n)) for start in range(0, n, PART)]
        self.squares = np.empty(n)
        self._finite = np.empty(n, np.bool_)
        self.map(lambda rows: np.copyto(self.squares[rows], squared_norms(self.x[rows])))
        np.isfinite(self.squares, out=self._finite)
        self.longest = float(np.sqrt(self.squares[self._finite].max(initial=0.0)))
        self.axes: NDArray[np.float32] = np.empty((dim, 0), np.float32)
        self.projected = np.empty((n, 0), np.float32)
        self.margins: Margins = margins(dim, 0)
        self._found: dict[Widths, NDArray[np.float32] | None] = {}
        self._spaces: queue.SimpleQueue[Space] = queue.SimpleQueue()

    def width(self, widths: Widths) -> int:
        """Columns that :meth:`project` will make; 0 if the points are too flat for any of ``widths``."""
        if widths not in self._found:
            self._found[widths] = choose_axes(self.x, self._finite, widths)
        axes = self._found[widths]
        return 0 if axes is None else axes.shape[1] + EXTRA

    def project(self, widths: Widths) -> None:
        """Fill ``axes``, ``projected`` and ``margins``; only for widths that :meth:`width` accepts."""
        axes = self._found[widths]
        assert axes is not None
        if self.axes.shape == axes.shape and self.projected.shape[1]:
            return
        width = axes.shape[1] + EXTRA
        self.axes, self.margins = axes, margins(len(axes), width)
        self.projected = np.empty((len(self.x), width), np.float32)
        padded = np.zeros((len(axes), width), np.float32)
        padded[:, :-EXTRA] = axes

        def part(rows: slice) -> None:
            with np.errstate(all="ignore"):  # rows with NaN or infinity are never looked at
                np.matmul(self.x[rows], padded, out=self.projected[rows])
            finish_points(self.projected[rows], self.squares[rows], self.margins.point)

        self.map(part)

    def map(self, part: Callable[[slice], Any]) -> Any:
        """Apply ``part`` to slices of rows; they begin at multiples of every tile."""
        return self._run(lambda bounds: part(slice(*bounds)), self._parts)

    def borrow(self, room: dict[str, int]) -> Space:
        """Work space of one running part; kept from call to call, because fresh pages cost more than the part."""
        try:
            space = self._spaces.get_nowait()
        except queue.Empty:
            space = {}
        for name, size in room.items():
            if name not in space or space[name].size < size:
                space[name] = np.empty(size, np.float32)
        return space

    def give_back(self, space: Space) -> None:
        """Return what was borrowed."""
        self._spaces.put(space)


def _one_after_the_other(function: Any, parts: Any) -> Any:
    return [function(part) for part in parts]
