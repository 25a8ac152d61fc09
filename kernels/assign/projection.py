"""Where a screened assignment looks first: a few directions that hold most of the energy, and groups of centroids.

With orthonormal columns ``V`` of the points' second moment, ``x = V V'x + rest``, and Cauchy-Schwarz on the rests gives

    <x, c> - |c|^2 / 2  <=  <V'x, V'c> - |c|^2 / 2 + |rest of x| |rest of c|.

The right side is one product of short vectors ``(V'x, 1, |rest of x|)`` and ``(V'c, -|c|^2 / 2, |rest of c|)``. A
centroid is a mean, so its rest is short and the bound is tight. The moment is not centred: the common mean of text
embeddings is then simply one of the directions. ``V`` only has to be orthonormal, so a sample of the points and float32
are enough; every rounding is covered by the margins of :func:`margins`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from uicgpu.kernels.compilation import compiled

SAMPLE: Final = 3072
EXTRA: Final = 2
"""Columns beside the projection: 1 and the rest's length for points, ``-|c|^2 / 2`` and the rest's for centroids."""
Widths = tuple[tuple[int, float], ...]
WIDTHS: Final[Widths] = ((64, 0.5), (128, 0.6))
"""Columns in all, and the share of the energy below which so many directions do not pay."""
FEWER_WIDTHS: Final[Widths] = ((32, 0.75), *WIDTHS)
"""The same where remainders are remembered: they need less from the directions."""
LEAST_DIMENSIONS: Final = 128
POWER_STEPS: Final = 8
UNIT: Final = 2.0**-24
"""Relative rounding error of one float32 operation."""


@dataclass(frozen=True)
class Margins:
    """Factors of rigorous error bounds; ``a`` and ``b`` are the norm of the point and the largest norm of a centroid.

    Attributes
    ----------
    screen
        ``screen * (a * b + b * b)``: error of the short product with everything that led to it.
    full
        ``full * (a * b + b * b)``: error of a float32 product over all dimensions, minus the rounded ``|c|^2 / 2``.
    exact
        ``exact * (a + b)**2``: rounding of the float64 sums that decide, and of all that is computed from them.
    rest
        ``rest * (a * b + b * b)``: error of two short products, without what lies outside the main directions.
    turn
        ``turn * a * m``: error of the projections in how much a move of length ``m`` changes the remainder of a score.
    point, centroid
        Relative error of the projection of a point (float32 product) and of a centroid (float64 product, rounded).
    """

    screen: float
    full: float
    exact: float
    rest: float
    turn: float
    point: float
    centroid: float


def margins(dim: int, width: int) -> Margins:
    """Return the error factors for ``dim`` dimensions and a projection of ``width`` columns.

    A float32 sum of d products in any order is off by at most ``d u |x||c|``; in each of m columns of the projection
    that makes ``sqrt(m) d u |x|`` for the vector. Rounding ``V`` itself adds at most ``2 sqrt(m) u``.
    """
    root = float(np.sqrt(max(width, 1)))
    point = root * (dim + 4) * UNIT
    centroid = 4 * root * UNIT
    screen = 1.02 * (point + centroid) + 4 * (width + 4) * UNIT
    exact = 8 * (dim + 16) * 2.0**-53
    return Margins(screen, (dim + 8) * UNIT, exact, 4 * (width + 12) * UNIT, 2 * (point + centroid), point, centroid)


def choose_axes(
    points: NDArray[np.float32], finite: NDArray[np.bool_], widths: Widths = WIDTHS
) -> NDArray[np.float32] | None:
    """Return the main directions of (a fixed sample of) the points, float32 [d, width - 2], or None when it is flat.

    A width of at least half the dimensions saves nothing and is not considered.
    """
    rows = np.flatnonzero(finite)
    dim = points.shape[1]
    if dim < LEAST_DIMENSIONS or rows.size == 0:
        return None
    chosen = rows[np.unique(np.linspace(0, rows.size - 1, min(SAMPLE, rows.size)).astype(np.int64))]
    sample = points[chosen]
    # float32 is enough to find the directions; they are then made orthonormal in float64
    moment = sample.T @ sample
    energy = float(np.trace(moment, dtype=np.float64))
    if not 0 < energy < np.inf:
        return None
    solved = 0
    for width, share in widths:
        if dim < 2 * width:
            break
        count = width - EXTRA
        if count > solved:  # the first two widths take one solution
            solved = max(count, WIDTHS[0][0] - EXTRA)
            values, axes = linalg.eigh(moment, subset_by_index=(dim - solved, dim - 1))
        if values[-count:].sum(dtype=np.float64) >= share * energy:
            chosen_axes = axes[:, : -count - 1 : -1].astype(np.float64)
            return np.ascontiguousarray(np.linalg.qr(chosen_axes)[0], np.float32)
    return None


@compiled
def finish_points(projected: Any, squares: Any, error: float) -> None:
    """Fill the two extra columns of ``projected`` [n, width]: 1 and the length of the rest, rounded up."""
    width = projected.shape[1]
    for i in range(projected.shape[0]):
        inside = 0.0
        for j in range(width - 2):
            inside += np.float64(projected[i, j]) * np.float64(projected[i, j])
        short = max(np.sqrt(inside) - error * np.sqrt(squares[i]), 0.0)
        rest = np.sqrt(max(squares[i] - short * short, 0.0))
        projected[i, width - 2] = 1.0
        projected[i, width - 1] = rest * (1 + 1e-6)


def short_centroids(
    centroids: NDArray[np.floating[Any]], squares: NDArray[np.float64], axes: NDArray[np.float32], error: float
) -> NDArray[np.float32]:
    """Return the projection, ``-|c|^2 / 2`` and the rest's length (rounded up) of each centroid, [k, width]."""
    inside = centroids.astype(np.float64) @ axes.astype(np.float64)
    short = np.maximum(np.sqrt((inside * inside).sum(axis=1)) - error * np.sqrt(squares), 0.0)
    rest = np.sqrt(np.maximum(squares - short * short, 0.0)) * (1 + 1e-6)
    return np.column_stack((inside, -squares / 2, rest)).astype(np.float32)


def bisect(vectors: NDArray[np.float32], groups: int) -> list[NDArray[np.int64]]:
    """Divide the rows into ``groups`` groups of nearly equal size, near ones together, each in ascending order.

    Recursive: a set is cut in the middle of its order along its first principal direction.
    """
    pending, done = [(np.arange(vectors.shape[0]), groups)], []
    while pending:
        rows, parts = pending.pop()
        if parts <= 1 or rows.size < 2:
            done.append(np.sort(rows))
            continue
        centred = vectors[rows].astype(np.float64)
        centred -= centred.mean(axis=0)
        direction = centred[int(np.einsum("ij,ij->i", centred, centred).argmax())]
        for _ in range(POWER_STEPS):
            direction = centred.T @ (centred @ direction)
            direction /= float(np.linalg.norm(direction)) or 1.0
        order = rows[np.argsort(centred @ direction, kind="stable")]
        left = parts // 2
        cut = rows.size * left // parts
        pending += [(order[cut:], parts - left), (order[:cut], left)]
    return done
