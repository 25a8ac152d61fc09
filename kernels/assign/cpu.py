"""assign on the CPU: one BLAS product per tile of rows bounds the scores, the canonical dot decides.

A centroid whose BLAS score is below the second-best by more than twice the rigorous rounding error of the product can
be neither first nor second; the few others are scored again with :func:`uicgpu.kernels.dot.dot`. Labels and scores
therefore do not depend on the tile, on the BLAS library or on threads, and equal centroids tie exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.dot import dot, squared_norms

TILE = 512
"""Rows per tile: 512 x 1024 float32 products are 2 MB."""
TILE_ENTRIES = TILE * 4096
"""Products per tile; with more than 4096 centroids the tiles get shorter."""

Labels = NDArray[np.int32]
Scores = NDArray[np.float32]
Run = Callable[[Callable[[tuple[int, int]], None], Iterable[tuple[int, int]]], object]


def assign(
    points: NDArray[Any], centroids: NDArray[Any], run: Run | None = None, tile: int | None = None
) -> tuple[Labels, Scores, Labels, Scores]:
    """Return labels, scores, second labels, second scores (see the package's docstring).

    Parameters
    ----------
    points
        [n, d], any float or integer dtype, any strides; used as float32.
    centroids
        [k, d], k >= 1, used as float32.
    run
        Applies a function to every tile, for example :meth:`uicgpu.backends.interface.Backend.map`; BLAS should be held
        to one thread there. Default: one tile after the other.
    tile
        Rows per tile. The result does not depend on it.

    Raises
    ------
    InputError
        For no centroid, a centroid that is not finite, or another number of columns than the points have.
    """
    n, k = len(points), len(centroids)
    c = np.ascontiguousarray(centroids, dtype=np.float32)
    check_centroids(points.shape, c.shape, bool(np.isfinite(c).all()))
    norms = squared_norms(c)
    labels, second_labels = np.empty(n, np.int32), np.empty(n, np.int32)
    scores, second_scores = np.empty(n, np.float32), np.empty(n, np.float32)
    half_norms, largest = norms / 2, float(np.sqrt(norms.max()))
    rows = tile or max(16, min(TILE, TILE_ENTRIES // k // 16 * 16))

    def assign_tile(part: tuple[int, int]) -> None:
        start, stop = part
        x = np.ascontiguousarray(points[start:stop], dtype=np.float32)
        with np.errstate(all="ignore"):  # rows with NaN or infinity are handled by the kernel
            products = x @ c.T
        _decide(
            x,
            c,
            products,
            half_norms,
            largest,
            labels[start:stop],
            scores[start:stop],
            second_labels[start:stop],
            second_scores[start:stop],
        )

    parts = [(start, min(start + rows, n)) for start in range(0, n, rows)]
    if run is None:
        for part in parts:
            assign_tile(part)
    else:
        run(assign_tile, parts)
    return labels, scores, second_labels, second_scores


def check_centroids(points: tuple[int, ...], centroids: tuple[int, ...], finite: bool) -> None:
    """Raise InputError unless the shapes fit, there is a centroid and all are finite."""
    if len(points) != 2 or len(centroids) != 2 or centroids[0] == 0 or points[1] != centroids[1]:
        raise InputError(
            f"centroids have shape {centroids}, points have shape {points}",
            fix="pass [n, d] points and at least one centroid with the same number of columns",
        )
    if not finite:
        raise InputError("a centroid holds NaN or infinity", fix="remove such rows before the centroids are computed")


@compiled
def _decide(
    x: Any,
    c: Any,
    products: Any,
    half_norms: Any,
    largest: Any,
    labels: Any,
    scores: Any,
    second_labels: Any,
    second_scores: Any,
) -> None:
    n, d = x.shape
    k = c.shape[0]
    half = half_norms.astype(np.float32)
    for i in range(n):
        norm = dot(x[i], x[i])
        labels[i] = -1
        second_labels[i] = -1
        scores[i] = -np.inf
        second_scores[i] = -np.inf
        if not np.isfinite(norm):
            continue
        top = np.float32(-np.inf)
        runner_up = np.float32(-np.inf)
        sound = True
        for j in range(k):
            value = products[i, j] - half[j]
            products[i, j] = value
            if value > runner_up:
                if value > top:
                    runner_up = top
                    top = value
                else:
                    runner_up = value
            elif not value <= runner_up:
                sound = False
        # |float32 dot - exact| <= d u |x||c|, one more u for the subtraction and one for rounding |c|^2 / 2; doubled
        error = (d + 2) * 2.0**-23 * (np.sqrt(norm) * largest + largest * largest)
        threshold = np.float64(runner_up) - 2.0 * error
        if not sound or not np.isfinite(top) or not np.isfinite(np.float32(largest * largest)):
            threshold = -np.inf
        first = -1
        second = -1
        first_score = -np.inf
        second_score = -np.inf
        for j in range(k):
            if products[i, j] < threshold:
                continue
            score = dot(x[i], c[j]) - half_norms[j]
            if first < 0 or score > first_score:
                second = first
                second_score = first_score
                first = j
                first_score = score
            elif second < 0 or score > second_score:
                second = j
                second_score = score
        labels[i] = first
        scores[i] = first_score
        second_labels[i] = first if k == 1 else second
        second_scores[i] = second_score
