"""Density clustering on the CPU: HDBSCAN on an exact spanning tree, DBSCAN by scikit-learn's radius search.

``min_samples`` counts the point itself here, in scikit-learn and in every DBSCAN; the HDBSCAN of cuML and of the
package hdbscan does not count it, so our k is k - 1 there.

The spanning tree is the product's own in any dimension (:mod:`uicgpu.kernels.spanning_tree`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import DensityFit, RadiusFit
from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree import spanning_tree
from uicgpu.kernels.spanning_tree.clusters import cut_tree

BLOCK = 1024
"""Points per radius search, at most."""


def hdbscan(points: NDArray[Any], min_cluster_size: int, min_samples: int, threads: int) -> DensityFit:
    """See :meth:`uicgpu.backends.interface.Backend.hdbscan`.

    Raises
    ------
    InputError
        For ``min_samples`` or ``min_cluster_size`` below 2, or NaN or infinity.
    """
    x = check_hdbscan(points, min_cluster_size, min_samples)
    if len(x) < max(min_samples, min_cluster_size):
        return all_noise(len(x))
    tree = spanning_tree(x, min_samples, run=lambda part, parts: run_in_order(part, parts, threads))
    return DensityFit(*cut_tree(tree, min_cluster_size), tree)


def all_noise(n: int) -> DensityFit:
    """Return the fit of too few points for any cluster."""
    return DensityFit(np.full(n, -1, np.int32), np.zeros(n, np.float32), None)


def dbscan(points: NDArray[Any], eps: float, min_samples: int, threads: int, memory: int) -> RadiusFit:
    """See :meth:`uicgpu.backends.interface.Backend.dbscan`.

    The labels are those of scikit-learn's DBSCAN: clusters are numbered by their lowest core point, and a border point
    goes to the lowest-numbered cluster in reach. scikit-learn itself keeps the neighbours of all points at once, which
    a large ``eps`` makes n x n. Here they are found twice, in blocks that fit into ``memory``.

    Raises
    ------
    InputError
        For ``eps`` not above 0, ``min_samples`` below 2, or NaN or infinity.
    """
    x = check_dbscan(points, eps, min_samples).astype(np.float64)
    n = len(x)
    labels = np.full(n, -1, np.int32)
    if n == 0:
        return RadiusFit(labels, np.zeros(0, bool))
    everything = _Balls(x, eps, threads, memory)
    counts = run_in_order(
        lambda rows: [len(found) for found in everything.search(x[rows])], everything.blocks(n), threads
    )
    is_core = np.concatenate(counts) >= min_samples
    core = x[is_core]
    if len(core) == 0:
        return RadiusFit(labels, is_core)
    balls = _Balls(core, eps, threads, memory)
    parents = np.arange(len(core))
    blocks = balls.blocks(len(core))
    for start in range(0, len(blocks), threads):
        group = blocks[start : start + threads]
        for rows, found in zip(group, run_in_order(lambda rows: balls.search(core[rows]), group, threads), strict=True):
            for row, near in zip(range(rows.start, rows.stop), found, strict=True):
                _join(parents, row, near)
    roots = _roots(parents)
    # the root of a cluster is its lowest core point, so ascending roots number the clusters
    labels[is_core] = np.unique(roots, return_inverse=True)[1]
    labels[~is_core] = lowest_within(points[~is_core], points[is_core], labels[is_core], eps, threads, memory)
    return RadiusFit(labels, is_core)


def lowest_within(
    queries: NDArray[Any], core: NDArray[Any], labels: NDArray[np.int32], eps: float, threads: int, memory: int
) -> NDArray[np.int32]:
    """Return the lowest label among the core points within ``eps`` of each query, int32; -1 where there is none."""
    x = queries.astype(np.float64)
    if len(core) == 0 or len(x) == 0:
        return np.full(len(x), -1, np.int32)
    balls = _Balls(core.astype(np.float64), eps, threads, memory)

    def lowest(rows: slice) -> list[int]:
        return [int(labels[near].min()) if len(near) else -1 for near in balls.search(x[rows])]

    return np.concatenate([np.asarray(part, np.int32) for part in run_in_order(lowest, balls.blocks(len(x)), threads)])


class _Balls:
    """All points within a radius, block by block so that the answers fit into ``memory``.

    The k-d tree is named, not left to scikit-learn: its other way takes differences of products, whose last bits
    depend on the block, and a point on the rim would be in reach in one call and out of it in the next.
    """

    def __init__(self, points: NDArray[np.float64], eps: float, threads: int, memory: int) -> None:
        from sklearn.neighbors import NearestNeighbors

        self._tree = NearestNeighbors(radius=eps, algorithm="kd_tree", n_jobs=1).fit(points)
        # scikit-learn holds int64 rows and float64 distances of a block; each worker searches one
        self._block = max(1, min(BLOCK, memory // (32 * len(points) * threads)))

    def search(self, queries: NDArray[np.float64]) -> NDArray[Any]:
        found: NDArray[Any] = self._tree.radius_neighbors(queries, return_distance=False)
        return found

    def blocks(self, n: int) -> list[slice]:
        return [slice(start, min(start + self._block, n)) for start in range(0, n, self._block)]


@compiled
def _find(parents: Any, node: Any) -> Any:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def _join(parents: Any, row: int, near: Any) -> None:
    for other in near:
        a = _find(parents, row)
        b = _find(parents, other)
        if a < b:
            parents[b] = a
        elif b < a:
            parents[a] = b


@compiled
def _roots(parents: Any) -> Any:
    out = np.empty_like(parents)
    for node in range(parents.shape[0]):
        out[node] = _find(parents, node)
    return out


def check_hdbscan(points: NDArray[Any], min_cluster_size: int, min_samples: int) -> NDArray[np.float32]:
    """Return the points as contiguous float32, or raise InputError."""
    if min_cluster_size < 2:
        raise InputError(f"min_cluster_size must be 2 or more: got {min_cluster_size}")
    return _check_points(points, min_samples)


def check_dbscan(points: NDArray[Any], eps: float, min_samples: int) -> NDArray[np.float32]:
    """Return the points as contiguous float32, or raise InputError."""
    if not 0 < eps < np.inf:
        raise InputError(f"eps must be above 0 and finite: got {eps}")
    return _check_points(points, min_samples)


def _check_points(points: NDArray[Any], min_samples: int) -> NDArray[np.float32]:
    if min_samples < 2:
        raise InputError(f"min_samples counts the point itself, so it must be 2 or more: got {min_samples}")
    x = np.ascontiguousarray(points, dtype=np.float32)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise InputError(f"row {int(np.flatnonzero(bad)[0])} holds NaN or infinity", fix="remove such rows")
    return x
