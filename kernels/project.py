"""Projection on axes, a row at a time: the same row gives the same bytes whatever rows come with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.dot import dot


@compiled
def project(points: NDArray[np.float32], mean: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(points - mean) @ axes.T`` by canonical dot products.

    Parameters
    ----------
    points, mean, axes
        float32 [n, d], [d] and [c, d], C-contiguous.

    Returns
    -------
    float32 [n, c].
    """
    out = np.empty((points.shape[0], axes.shape[0]), np.float32)
    moved = np.empty(points.shape[1], np.float32)
    for i in range(points.shape[0]):
        for j in range(points.shape[1]):
            moved[j] = points[i, j] - mean[j]
        for axis in range(axes.shape[0]):
            out[i, axis] = dot(moved, axes[axis])
    return out
