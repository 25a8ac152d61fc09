"""Density clustering on the CPU: HDBSCAN on an exact spanning tree, DBSCAN by scikit-learn's radius search.

``min_samples`` counts the point itself here, in scikit-learn and in every DBSCAN; the HDBSCAN of fast_hdbscan, hdbscan
and cuML does not count it, so our k is k - 1 there.

The spanning tree is the product's own in any dimension (:mod:`uicgpu.kernels.spanning_tree`). It compares all pairs, so
for many points with few columns fast_hdbscan, which searches a k-d tree, takes over if it is installed.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import one_blas_thread, run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree import spanning_tree
from uicgpu.kernels.spanning_tree.clusters import cut_tree

MAX_COLUMNS = 30
"""Above 30 columns fast_hdbscan turns to an approximate neighbour graph."""
MANY_POINTS = 50_000
"""Above so many points a k-d tree is faster than all pairs, given few columns."""
BLOCK = 1024
"""Points per radius search, at most."""

_one_at_a_time = threading.Lock()


def hdbscan(
    points: NDArray[Any], min_cluster_size: int, min_samples: int, threads: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """See :meth:`uicgpu.backends.interface.Backend.hdbscan`.

    Raises
    ------
    InputError
        For ``min_samples`` or ``min_cluster_size`` below 2, or NaN or infinity.
    """
    x = check_hdbscan(points, min_cluster_size, min_samples, None)
    if len(x) < max(min_samples, min_cluster_size):
        return np.full(len(x), -1, np.int32), np.zeros(len(x), np.float32)
    if len(x) > MANY_POINTS and x.shape[1] <= MAX_COLUMNS and find_spec("fast_hdbscan") is not None:
        return _by_fast_hdbscan(x, min_cluster_size, min_samples)
    tree = spanning_tree(x, min_samples, run=lambda part, parts: run_in_order(part, parts, threads))
    return cut_tree(*tree, min_cluster_size)


def _by_fast_hdbscan(
    x: NDArray[np.float32], min_cluster_size: int, min_samples: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    import numba
    from fast_hdbscan import HDBSCAN

    # Its search prunes by what it found so far, in blocks sized by the number of threads: with two threads equal
    # distances can end in another tree. And Numba's own pool must not be entered from two threads at once.
    with _one_at_a_time, one_blas_thread():
        before = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            model = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples - 1, reproducible=True).fit(x)
        finally:
            numba.set_num_threads(before)
    return np.asarray(model.labels_, np.int32), np.asarray(model.probabilities_, np.float32)


def dbscan(points: NDArray[Any], eps: float, min_samples: int, threads: int, memory: int) -> NDArray[np.int32]:
    """See :meth:`uicgpu.backends.interface.Backend.dbscan`.

    The labels are those of scikit-learn's DBSCAN: clusters are numbered by their lowest core point, and a border point
    goes to the lowest-numbered cluster in reach. scikit-learn itself keeps the neighbours of all points at once, which
    a large ``eps`` makes n x n. Here they are found twice, in blocks that fit into ``memory``.

    Raises
    ------
    InputError
        For ``eps`` not above 0, ``min_samples`` below 2, or NaN or infinity.
    """
    from sklearn.neighbors import NearestNeighbors

    x = check_dbscan(points, eps, min_samples).astype(np.float64)
    n = len(x)
    labels = np.full(n, -1, np.int32)
    if n == 0:
        return labels
    # scikit-learn holds int64 rows and float64 distances of a block; each worker searches one
    block = max(1, min(BLOCK, memory // (32 * n * threads)))

    def search(tree: Any, rows: NDArray[np.int64]) -> NDArray[Any]:
        found: NDArray[Any] = tree.radius_neighbors(x[rows], return_distance=False)
        return found

    def blocks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [rows[start : start + block] for start in range(0, len(rows), block)]

    everything = NearestNeighbors(radius=eps, n_jobs=1).fit(x)
    counts = run_in_order(
        lambda rows: [len(found) for found in search(everything, rows)], blocks(np.arange(n)), threads
    )
    is_core = np.concatenate(counts) >= min_samples
    core = np.flatnonzero(is_core)
    if core.size == 0:
        return labels
    cores = NearestNeighbors(radius=eps, n_jobs=1).fit(x[core])
    parents = np.arange(len(core))
    core_blocks = blocks(core)
    for start in range(0, len(core_blocks), threads):
        group = core_blocks[start : start + threads]
        for rows, found in zip(group, run_in_order(lambda part: search(cores, part), group, threads), strict=True):
            for row, near in zip(np.searchsorted(core, rows), found, strict=True):
                _join(parents, row, near)
    roots = _roots(parents)
    # the root of a cluster is its lowest core point, so ascending roots number the clusters
    _, cluster_of = np.unique(roots, return_inverse=True)
    labels[core] = cluster_of
    border = np.flatnonzero(~is_core)

    def lowest(rows: NDArray[np.int64]) -> list[int]:
        return [int(cluster_of[near].min()) if len(near) else -1 for near in search(cores, rows)]

    reached = run_in_order(lowest, blocks(border), threads)
    labels[border] = np.concatenate([np.asarray(part, np.int32) for part in [*reached, []]])
    return labels


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


def check_hdbscan(
    points: NDArray[Any], min_cluster_size: int, min_samples: int, columns: int | None = MAX_COLUMNS
) -> NDArray[np.float32]:
    """Return the points as contiguous float32, or raise InputError; ``columns`` is the most a library takes."""
    if min_cluster_size < 2:
        raise InputError(f"min_cluster_size must be 2 or more: got {min_cluster_size}")
    if columns is not None and points.shape[1] > columns:
        raise InputError(
            f"HDBSCAN is exact up to {columns} columns here, the points have {points.shape[1]}",
            fix="reduce them first, for example by principal_axes",
        )
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
