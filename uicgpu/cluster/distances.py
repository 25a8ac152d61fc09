"""Exact distances between points and centroids, float64, in chunks that never depend on the machine."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from uicgpu.backends.interface import Backend
from uicgpu.kernels import distance as kernel

CHUNK: Final = 4096
"""Rows per chunk: float64 work of 12 MB at 384 dimensions."""


def chunks(rows: int, size: int = CHUNK) -> list[slice]:
    """Cut ``rows`` into slices of fixed size."""
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def squared_distances(
    points: NDArray[Any], centroids: NDArray[Any], labels: NDArray[np.int32], backend: Backend
) -> NDArray[np.float64]:
    """Squared distance of each point to the centroid that ``labels`` names, float64 [n].

    Differences are taken before squaring: unlike ``|x|^2 - 2 <x, c> + |c|^2`` this loses no digits when the points lie
    far from the origin.
    """
    wide = centroids.astype(np.float64)

    def part(rows: slice) -> NDArray[np.float64]:
        return kernel.squared_distances(points[rows], wide, labels[rows])

    return _joined(backend.map(part, chunks(points.shape[0])), 0)


def distance_matrix(points: NDArray[Any], centroids: NDArray[Any], backend: Backend) -> NDArray[np.float64]:
    """Euclidean distance of each point to each centroid, float64 [n, k]."""
    wide = centroids.astype(np.float64)

    def part(rows: slice) -> NDArray[np.float64]:
        return np.asarray(cdist(points[rows].astype(np.float64), wide))

    return _joined(backend.map(part, chunks(points.shape[0])), centroids.shape[0])


def mean_variance(points: NDArray[Any]) -> float:
    """Mean over the columns of their population variance: the scale that a relative tolerance refers to."""
    rows = points.shape[0]
    mean = sum_rows(points) / max(rows, 1)
    total = np.zeros(points.shape[1], np.float64)
    for part in chunks(rows):
        total += ((points[part] - mean) ** 2).sum(axis=0)
    return float(np.mean(total) / max(rows, 1))


def sum_rows(points: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of the rows in float64, chunk by chunk, float64 [d]."""
    total = np.zeros(points.shape[1], np.float64)
    for part in chunks(points.shape[0]):
        total += points[part].sum(axis=0, dtype=np.float64)
    return total


def cluster_means(
    points: NDArray[np.float32], labels: NDArray[np.int32], clusters: int, backend: Backend
) -> NDArray[np.float64]:
    """Mean of the members of each cluster, float64 [clusters, d]; labels below 0 belong to none; empty gives zero."""
    members = np.flatnonzero(labels >= 0).astype(np.int32)
    order = members[np.argsort(labels[members], kind="stable")]
    counts = np.bincount(labels[members], minlength=clusters)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    sums = backend.segment_sum(offsets, order, np.ones(order.size, np.float32), backend.to_device(points))
    return np.asarray(sums / np.maximum(counts, 1)[:, None])


def _joined(parts: list[NDArray[np.float64]], columns: int) -> NDArray[np.float64]:
    if parts:
        return np.concatenate(parts)
    return np.empty((0, columns) if columns else 0, np.float64)
