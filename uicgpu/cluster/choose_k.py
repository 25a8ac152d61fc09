"""How many clusters? As many as are well separated and come back when the data are halved.

For each ``k`` of a grid, on one random sample: the simplified silhouette of a KMeans fit says how separated the
clusters are; the adjusted Rand index between the labels that fits on two random halves give to the whole sample says
how reproducible they are (prediction across halves: Tibshirani and Walther 2005; Ben-Hur et al. 2002). The score is
their product (negative values count 0), the best score wins, and equal scores go to the smaller ``k``.

Any continuum can be cut in two or three with some repeatability, and interests mostly are a continuum: two or three
groups stand only when they are beyond doubt (silhouette at least 0.25 and stability at least 0.9) or nothing finer
was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import cluster_means
from uicgpu.cluster.lloyd import Advance
from uicgpu.cluster.quality import simplified_silhouettes
from uicgpu.cluster.starts import Fit, fit_kmeans
from uicgpu.randomness import generator, seed_of

GRID: Final = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
USERS_PER_CLUSTER: Final = 25
"""The grid ends where clusters would have fewer users on average."""
SAMPLE: Final = 5000
FEW: Final = 3
CLEAR_SILHOUETTE: Final = 0.25
CLEAR_STABILITY: Final = 0.9
"""What a division into two or three groups must reach to compete."""
HALVINGS: Final = 2
STARTS: Final = 2
ITERATIONS: Final = 30

Fitting = Callable[[NDArray[np.float32], int, int], Fit]


def choose_k(
    points: NDArray[np.float32],
    seed: int,
    backend: Backend,
    advance: Advance | None = None,
    *,
    directions: bool = False,
) -> tuple[int, list[dict[str, Any]]]:
    """Choose the number of clusters of ``points`` [n, d].

    Parameters
    ----------
    directions
        Whether the points are unit vectors for spherical KMeans.

    Returns
    -------
    k
        1 for fewer than 50 points or when all points coincide.
    table
        ``k``, ``silhouette``, ``stability``, ``score`` and ``competes`` of every ``k`` tried.
    """
    rows = points.shape[0]
    sample = points
    if rows > SAMPLE:
        chosen = np.sort(generator(seed, "cluster/choose-k/sample").choice(rows, SAMPLE, replace=False))
        sample = points[chosen]

    def fit(part: NDArray[np.float32], k: int, seed: int) -> Fit:
        return fit_kmeans(
            part, k, seed, backend, starts=STARTS, iterations=ITERATIONS, directions=directions, advance=advance
        )

    table: list[dict[str, Any]] = []
    if (sample == sample[0]).all():
        return 1, table
    for k in GRID:
        if k * USERS_PER_CLUSTER > rows or k * 2 > sample.shape[0]:
            break
        separation = _separation(sample, k, seed_of(seed, f"cluster/choose-k/{k}"), backend, fit)
        reproducibility = _reproducibility(sample, k, seed_of(seed, f"cluster/choose-k/{k}/halves"), backend, fit)
        score = max(separation, 0.0) * max(reproducibility, 0.0)
        clear = separation >= CLEAR_SILHOUETTE and reproducibility >= CLEAR_STABILITY
        table.append(
            {
                "k": k,
                "competes": k > FEW or clear,
                "silhouette": round(separation, 6),
                "stability": round(reproducibility, 6),
                "score": round(score, 6),
            }
        )
    if not table:
        return 1, table
    best = max([row for row in table if row["competes"]] or table, key=lambda row: (row["score"], -row["k"]))
    return int(best["k"]), table


def _separation(sample: NDArray[np.float32], k: int, seed: int, backend: Backend, fit: Fitting) -> float:
    found = fit(sample, k, seed)
    clusters = found.lloyd.centroids.shape[0]
    if clusters < 2:
        return 0.0
    means = cluster_means(sample, found.labels, clusters, backend)
    return float(simplified_silhouettes(sample, found.labels, means, backend).mean())


def _reproducibility(sample: NDArray[np.float32], k: int, seed: int, backend: Backend, fit: Fitting) -> float:
    from sklearn.metrics import adjusted_rand_score

    device_sample = backend.to_device(sample)
    agreements = []
    for halving in range(HALVINGS):
        order = generator(seed, f"halving/{halving}").permutation(sample.shape[0])
        labels = []
        for number, half in enumerate((order[::2], order[1::2])):
            found = fit(sample[np.sort(half)], k, seed_of(seed, f"halving/{halving}/{number}"))
            labels.append(backend.assign(device_sample, backend.to_device(found.lloyd.centroids)).labels)
        agreements.append(adjusted_rand_score(*labels))
    return float(np.mean(agreements))
