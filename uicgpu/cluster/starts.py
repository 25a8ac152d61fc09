"""KMeans for the pipeline: several starts compared on a sample, the best one refined on everybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import squared_distances
from uicgpu.cluster.lloyd import Advance, Lloyd, lloyd
from uicgpu.cluster.oversampling import oversampled
from uicgpu.cluster.seeding import plus_plus
from uicgpu.randomness import generator

SEEDINGS: Final = {"k-means++": plus_plus, "k-means||": oversampled}
STARTS: Final = 5
"""Starts that are compared."""
START_SAMPLE: Final = 10_000
"""Rows on which the starts are compared."""
START_ITERATIONS: Final = 50
FINAL_ITERATIONS: Final = 300


@dataclass(frozen=True)
class Fit:
    """Best of several starts; ``centroids`` and ``labels`` have no empty cluster."""

    lloyd: Lloyd
    starts: int
    sample: int

    @property
    def labels(self) -> NDArray[np.int32]:
        """int32 [n]."""
        return self.lloyd.labels


def fit_kmeans(
    points: NDArray[np.float32],
    clusters: int,
    seed: int,
    backend: Backend,
    *,
    weights: NDArray[np.float64] | None = None,
    init: str = "k-means++",
    starts: int = STARTS,
    iterations: int = FINAL_ITERATIONS,
    directions: bool = False,
    advance: Advance | None = None,
) -> Fit:
    """Cluster ``points`` [n, d] into at most ``clusters`` groups, 1 <= clusters <= n.

    Starts are compared by inertia on a random sample of at most 10,000 rows (the earlier start wins a tie); the
    winner's centroids start the run over all rows, which ends when no label changes any more (or after
    ``iterations``). With ``init="k-means||"`` starts are drawn from all rows and compared by their own inertia over all
    rows, because a sample would not value a group that it misses. Clusters that stay empty because fewer than
    ``clusters`` points are distinct are dropped. With ``directions`` the points are unit vectors, and every centre is
    the direction of its members' mean.
    """

    def refine(start: NDArray[np.float32]) -> Lloyd:
        return lloyd(
            points, start, backend, weights=weights, max_iter=iterations, directions=directions, advance=advance
        )

    count = 1 if clusters == 1 else starts
    if init == "k-means||":
        begin = _best_of_all_rows(points, clusters, seed, backend, weights, count)
        return Fit(drop_empty(refine(begin), refine), count, points.shape[0])
    rows = points.shape[0]
    chosen = np.arange(rows)
    if rows > START_SAMPLE:
        chosen = np.sort(generator(seed, "cluster/kmeans/sample").choice(rows, START_SAMPLE, replace=False))
        if weights is not None and (weights[chosen] > 0).sum() < clusters:
            chosen = np.arange(rows)
    sample = points if chosen.size == rows else points[chosen]
    mass = None if weights is None else weights[chosen]
    found: Lloyd | None = None
    for start in range(count):
        rng = generator(seed, f"cluster/kmeans/start/{start}")
        seeds = plus_plus(sample, clusters, rng, backend, mass)
        limit = min(START_ITERATIONS, iterations)
        run = lloyd(
            sample, sample[seeds], backend, weights=mass, max_iter=limit, directions=directions, advance=advance
        )
        if found is None or run.inertia < found.inertia:
            found = run
    assert found is not None
    if chosen.size < rows or not found.converged:
        found = refine(found.centroids)
    return Fit(drop_empty(found, refine), count, int(chosen.size))


def _best_of_all_rows(
    points: NDArray[np.float32],
    clusters: int,
    seed: int,
    backend: Backend,
    weights: NDArray[np.float64] | None,
    starts: int,
) -> NDArray[np.float32]:
    """Of several k-means‖ starts the one with the smallest inertia over all rows, the earlier one on ties."""
    best, least = None, np.inf
    for start in range(starts):
        rng = generator(seed, f"cluster/kmeans/start/{start}")
        begin = points[oversampled(points, clusters, rng, backend, weights)]
        labels = backend.assign(backend.to_device(points), backend.to_device(begin)).labels
        distances = squared_distances(points, begin, labels, backend)
        inertia = float((distances if weights is None else distances * weights).sum())
        if best is None or inertia < least:
            best, least = begin, inertia
    assert best is not None
    return best


def drop_empty(found: Lloyd, refine: Callable[[NDArray[np.float32]], Lloyd]) -> Lloyd:
    """Run on, from the other centroids, without clusters that nobody is in; nothing happens where there are none."""
    filled = np.unique(found.labels)
    return found if filled.size == found.centroids.shape[0] else refine(found.centroids[filled])
