"""Hierarchical clustering on the CPU, by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import one_blas_thread
from uicgpu.errors import InputError, OutOfResourcesError

LINKAGES = ("ward", "average", "complete", "single")


def agglomerative(points: NDArray[Any], clusters: int, linkage: str, memory: int) -> NDArray[np.int32]:
    """See :meth:`uicgpu.backends.interface.Backend.agglomerative`.

    Raises
    ------
    OutOfResourcesError
        When the n x n distances do not fit into ``memory``: cluster centroids or a sample instead.
    InputError
        For an unknown linkage or an impossible number of clusters.
    """
    n = len(points)
    check_hierarchy(n, clusters, linkage, memory)
    if n == 1:
        return np.zeros(1, np.int32)
    from sklearn.cluster import AgglomerativeClustering

    x = np.ascontiguousarray(points, dtype=np.float64)
    with one_blas_thread():
        model = AgglomerativeClustering(n_clusters=clusters, linkage=linkage).fit(x)
    return np.asarray(model.labels_, np.int32)


def check_hierarchy(n: int, clusters: int, linkage: str, memory: int) -> None:
    """Raise unless the linkage is known, 1 <= clusters <= n, and the distances fit into ``memory`` bytes."""
    if linkage not in LINKAGES:
        raise InputError(f"unknown linkage {linkage!r}", fix=f"use one of {', '.join(LINKAGES)}")
    if not 1 <= clusters <= n:
        raise InputError(f"{clusters} clusters of {n} points", fix=f"ask for 1 to {n}")
    # condensed float64 distances and SciPy's copy of them; single linkage grows a spanning tree without them
    need = 0 if linkage == "single" else 8 * n * n
    if need > memory:
        raise OutOfResourcesError(
            f"hierarchical clustering of {n} points needs {need / 2**30:.1f} GiB, allowed are {memory / 2**30:.1f} GiB",
            fix="cluster centroids or a sample, or raise --memory",
        )
