"""Density clustering on a GPU, by cuML.

cuML's HDBSCAN does not count the point itself in ``min_samples``, its DBSCAN does.

Not executed on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu.density import check_dbscan, check_hdbscan
from uicgpu.backends.cuda.arrays import to_device
from uicgpu.backends.probe import need_library


def hdbscan(
    points: NDArray[Any], min_cluster_size: int, min_samples: int, number: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """See :meth:`uicgpu.backends.interface.Backend.hdbscan`; the same limits as on the CPU."""
    x = check_hdbscan(points, min_cluster_size, min_samples)
    if len(x) < max(min_samples, min_cluster_size):
        return np.full(len(x), -1, np.int32), np.zeros(len(x), np.float32)
    need_library("cuml", number)
    from cuml.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_samples - 1,
        metric="euclidean",
        cluster_selection_method="eom",
        build_algo="brute_force",  # the other one is approximate
        output_type="numpy",
    ).fit(to_device(x))
    return number_by_first_member(model.labels_), np.asarray(model.probabilities_, np.float32)


def dbscan(points: NDArray[Any], eps: float, min_samples: int, number: int, memory: int) -> NDArray[np.int32]:
    """See :meth:`uicgpu.backends.interface.Backend.dbscan`; a border point may go to another cluster in reach."""
    x = check_dbscan(points, eps, min_samples)
    if len(x) == 0:
        return np.empty(0, np.int32)
    need_library("cuml", number)
    from cuml.cluster import DBSCAN

    model = DBSCAN(
        eps=eps,
        min_samples=min_samples,
        metric="euclidean",
        algorithm="brute",
        max_mbytes_per_batch=max(1, memory // 2**20),
        calc_core_sample_indices=False,
        output_type="numpy",
    ).fit(to_device(x), out_dtype="int32")
    return number_by_first_member(model.labels_)


def number_by_first_member(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Renumber clusters by their first member, noise stays -1.

    >>> number_by_first_member(np.array([5, -1, 2, 5])).tolist()
    [0, -1, 1, 0]
    """
    found, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    clusters = found >= 0
    new = np.full(len(found), -1, np.int32)
    new[np.flatnonzero(clusters)[np.argsort(first[clusters])]] = np.arange(clusters.sum())
    return new[inverse]
