"""A library's own KMeans on a GPU: cuML. Its sums use atomics, so the same seed may give other last digits.

Not executed on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cuda.arrays import to_float32
from uicgpu.backends.probe import library_failure


def kmeans_engine(
    points: Any, clusters: int, seed: int, iterations: int, number: int, memory: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
    """See :meth:`uicgpu.backends.interface.Backend.kmeans_engine`; None where cuML cannot be used."""
    if library_failure("cuml", number):
        return None
    from cuml.cluster import KMeans

    model = KMeans(
        n_clusters=clusters,
        max_iter=iterations,
        tol=1e-4,
        random_state=seed,
        init="scalable-k-means++",
        n_init=1,
        oversampling_factor=2.0,
        max_samples_per_batch=int(min(32768, max(1, memory // (8 * clusters)))),
        output_type="numpy",
    ).fit(to_float32(points))
    return np.asarray(model.labels_, np.int32), np.asarray(model.cluster_centers_, np.float32)
