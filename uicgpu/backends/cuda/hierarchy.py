"""Hierarchical clustering: cuML knows single linkage only, every other linkage runs on the host and says so.

Not executed on a GPU.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu import hierarchy as host
from uicgpu.backends.cuda.arrays import to_device
from uicgpu.backends.probe import library_failure

_log = logging.getLogger(__name__)
HOST = "scikit-learn"
"""Engine of every other linkage."""


def agglomerative(
    points: NDArray[Any], clusters: int, linkage: str, number: int, memory: int, said: bool = False
) -> tuple[NDArray[np.int32], str]:
    """Return labels and the engine that ran: ``cuml`` or ``scikit-learn``.

    See :meth:`uicgpu.backends.interface.Backend.agglomerative`. ``said``: the user was told already that other linkages
    run on the CPU; resamples ask many times.
    """
    n = len(points)
    host.check_hierarchy(n, clusters, linkage, memory)
    # cuML's exact form holds the n x n distances
    fits = n > 1 and 8 * n * n <= memory
    if linkage != "single" or not fits or library_failure("cuml", number):
        if not said:
            _log.warning("hierarchical clustering with %s linkage runs on the CPU: cuML offers single linkage", linkage)
        return host.agglomerative(points, clusters, linkage, memory), HOST
    from cuml.cluster import AgglomerativeClustering

    model = AgglomerativeClustering(
        n_clusters=clusters,
        metric="euclidean",
        connectivity="pairwise",  # "knn" is approximate
        linkage="single",
        output_type="numpy",
    ).fit(to_device(np.ascontiguousarray(points, dtype=np.float32)))
    return np.asarray(model.labels_, np.int32), "cuml"
