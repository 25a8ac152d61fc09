"""Density clustering on a GPU: cuML finds the spanning tree and the core points, the host decides labels exactly.

cuML's HDBSCAN does not count the point itself in ``min_samples``, its DBSCAN does. It works in float32 and leaves ties
open; with weights recomputed in float64 and one rule for ties, labels follow the CPU's as far as the trees agree.

Not executed on a GPU.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu.density import all_noise, check_dbscan, check_hdbscan, lowest_within
from uicgpu.backends.cuda.arrays import to_device
from uicgpu.backends.interface import DensityFit, RadiusFit
from uicgpu.backends.probe import need_library
from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.spanning_tree import Tree, spanning_tree, weigh
from uicgpu.kernels.spanning_tree.clusters import cut_tree

MAX_COLUMNS = 30
"""The host takes part: beyond so many columns its share would be the larger one."""

_log = logging.getLogger(__name__)


def hdbscan(points: NDArray[Any], min_cluster_size: int, min_samples: int, number: int, threads: int) -> DensityFit:
    """See :meth:`uicgpu.backends.interface.Backend.hdbscan`; up to 30 columns.

    Raises
    ------
    InputError
        As on the CPU, and for more than 30 columns.
    """
    x = check_hdbscan(points, min_cluster_size, min_samples)
    if x.shape[1] > MAX_COLUMNS:
        raise InputError(
            f"HDBSCAN on a GPU takes up to {MAX_COLUMNS} columns here, the points have {x.shape[1]}",
            fix="reduce them first, for example by principal_axes, or use --device cpu",
        )
    if len(x) < max(min_samples, min_cluster_size):
        return all_noise(len(x))
    need_library("cuml", number)
    tree = _tree(x, min_cluster_size, min_samples, threads)
    return DensityFit(*cut_tree(tree, min_cluster_size), tree)


def _tree(x: NDArray[np.float32], min_cluster_size: int, min_samples: int, threads: int) -> Tree:
    from cuml.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_samples - 1,
        metric="euclidean",
        cluster_selection_method="eom",
        build_algo="brute_force",  # the other one is approximate
        gen_min_span_tree=True,
        output_type="numpy",
    ).fit(to_device(x))

    def run(part: Any, parts: Any) -> Any:
        return run_in_order(part, parts, threads)

    # the public attribute wraps the same array in a class of another package, which need not be installed
    edges = getattr(model, "_min_spanning_tree", None)
    if edges is None or np.shape(edges) != (len(x) - 1, 3):
        _log.warning("this cuML keeps no spanning tree: HDBSCAN runs on the CPU")
        return spanning_tree(x, min_samples, run=run)
    ends = np.sort(np.asarray(edges)[:, :2].astype(np.int32), axis=1)
    low, high = (np.ascontiguousarray(column) for column in ends.T)
    return weigh(x, low, high, min_samples, run=run)


def dbscan(points: NDArray[Any], eps: float, min_samples: int, number: int, threads: int, memory: int) -> RadiusFit:
    """See :meth:`uicgpu.backends.interface.Backend.dbscan`."""
    x = check_dbscan(points, eps, min_samples)
    if len(x) == 0:
        return RadiusFit(np.empty(0, np.int32), np.empty(0, bool))
    need_library("cuml", number)
    from cuml.cluster import DBSCAN

    model = DBSCAN(
        eps=eps,
        min_samples=min_samples,
        metric="euclidean",
        algorithm="brute",
        max_mbytes_per_batch=max(1, memory // 2**20),
        calc_core_sample_indices=True,
        output_type="numpy",
    ).fit(to_device(x), out_dtype="int32")
    core = np.zeros(len(x), bool)
    core[np.asarray(model.core_sample_indices_)] = True
    labels = np.full(len(x), -1, np.int32)
    labels[core] = number_by_first_member(np.asarray(model.labels_)[core])
    # which of several clusters in reach gets a border point is a race on the device
    labels[~core] = lowest_within(x[~core], x[core], labels[core], eps, threads, memory)
    return RadiusFit(labels, core)


def number_by_first_member(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Renumber clusters by their first member.

    >>> number_by_first_member(np.array([5, 2, 5])).tolist()
    [0, 1, 0]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    new = np.empty(len(first), np.int32)
    new[np.argsort(first)] = np.arange(len(first))
    return new[inverse]
