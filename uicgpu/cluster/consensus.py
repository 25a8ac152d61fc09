"""Clusters that come back: centres of fits on many resamples are merged, and the merged centres start the final fit.

KMeans ends in one of many local optima, and which one depends on the start and on who happens to be in the sample. This
is bagged clustering (Leisch 1999): KMeans on bootstrap resamples, Ward's tree over all their centres, cut at the wanted
number of groups; each group's mean, weighted by the users behind every centre, is a centre that most resamples agree
on. Lloyd's iteration over everybody from there makes it an optimum again, so that every user is in the cluster with the
nearest centre, as without consensus. The users are never compared with each other: memory grows with
``runs * clusters``, not with the square of the users.

References
----------
F. Leisch, "Bagged clustering", Working Paper 51, SFB Adaptive Information Systems, WU Vienna (1999).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.directions import unit_means
from uicgpu.cluster.hierarchy import hierarchical_labels
from uicgpu.cluster.lloyd import Advance, Lloyd, lloyd
from uicgpu.cluster.starts import FINAL_ITERATIONS, START_ITERATIONS, START_SAMPLE, Fit, drop_empty, fit_kmeans
from uicgpu.randomness import generator, seed_of


def fit_consensus(
    points: NDArray[np.float32],
    clusters: int,
    seed: int,
    backend: Backend,
    runs: int,
    *,
    weights: NDArray[np.float64] | None = None,
    init: str = "k-means++",
    directions: bool = False,
    advance: Advance | None = None,
) -> Fit:
    """Cluster ``points`` [n, d] into at most ``clusters`` groups by the consensus of ``runs`` fits.

    Parameters
    ----------
    runs
        Resamples, 0 or more; none, or one cluster, is :func:`uicgpu.cluster.starts.fit_kmeans`. Each draws as many
        points as there are (at most 10,000), with replacement, in proportion to their weights.
    weights
        float64 [n], 0 or more, not all 0.
    init, directions
        As in :func:`uicgpu.cluster.starts.fit_kmeans`.
    advance
        Called with the number of points after each pass.
    """
    if runs == 0 or clusters == 1:
        return fit_kmeans(
            points, clusters, seed, backend, weights=weights, init=init, directions=directions, advance=advance
        )
    centres, masses, drawn = [], [], 0
    for run in range(runs):
        counts = _resample(points.shape[0], weights, seed_of(seed, f"cluster/consensus/{run}"))
        rows = np.flatnonzero(counts)
        mass = counts[rows].astype(np.float64)
        fit = fit_kmeans(
            points[rows],
            min(clusters, rows.size),
            seed_of(seed, f"cluster/consensus/{run}/fit"),
            backend,
            weights=mass,
            init=init,
            starts=1,
            iterations=START_ITERATIONS,
            directions=directions,
            advance=advance,
        )
        centres.append(fit.lloyd.centroids)
        masses.append(np.bincount(fit.labels, weights=mass, minlength=fit.lloyd.centroids.shape[0]))
        drawn = max(drawn, rows.size)

    def refine(start: NDArray[np.float32]) -> Lloyd:
        return lloyd(
            points, start, backend, weights=weights, max_iter=FINAL_ITERATIONS, directions=directions, advance=advance
        )

    start = merge_centres(np.concatenate(centres), np.concatenate(masses), clusters, seed, backend)
    if directions:  # a group whose centres cancel out starts from any point
        start = unit_means(start.astype(np.float64), points[: len(start)]).astype(np.float32)
    return Fit(drop_empty(refine(start), refine), runs, drawn)


def merge_centres(
    centres: NDArray[np.float32], masses: NDArray[np.float64], clusters: int, seed: int, backend: Backend
) -> NDArray[np.float32]:
    """Merge ``centres`` [m, d] by Ward's method into at most ``clusters`` means weighted by ``masses`` [m]."""
    groups, _ = hierarchical_labels(centres, min(clusters, centres.shape[0]), "ward", seed, backend)
    count = int(groups.max()) + 1
    sums = np.zeros((count, centres.shape[1]))
    np.add.at(sums, groups, centres.astype(np.float64) * masses[:, None])
    totals = np.bincount(groups, weights=masses, minlength=count)
    return (sums / totals[:, None]).astype(np.float32)


def _resample(rows: int, weights: NDArray[np.float64] | None, seed: int) -> NDArray[np.int64]:
    """How often each row is drawn, int64 [rows]."""
    share = None if weights is None else weights / weights.sum()
    drawn = generator(seed, "resample").choice(rows, min(rows, START_SAMPLE), p=share)
    return np.bincount(drawn, minlength=rows)
