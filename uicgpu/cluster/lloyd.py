"""Lloyd's iteration: assign every point to its nearest centroid, move every centroid to the mean of its points.

Labels come from :meth:`Backend.repeated_assign`: those of a plain assignment (ties to the lowest id), though bounds
from one iteration spare most of the next one's work. Sums come from :meth:`Backend.repeated_sum`, which moves only
points with a new label and depends on the labels alone. So the result is the same at any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.directions import unit_means
from uicgpu.cluster.distances import squared_distances

COINCIDENT: Final = 1e-12
"""A point nearer to its centroid than this part of its squared norm cannot found a cluster of its own."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Lloyd:
    """Result of Lloyd's iteration.

    Attributes
    ----------
    centroids
        float32 [k, d].
    labels
        int32 [n], the nearest of these centroids for every point.
    averaged
        int32 [n], the labels whose means the centroids are; the same as ``labels`` when no label changed in the last
        iteration.
    inertia
        Weighted sum of squared distances to the own centroid, from exact differences in float64.
    iterations
        Passes over the points before the final assignment.
    converged
        Whether the labels stopped changing or the centroids moved by no more than the tolerance.
    reseeded
        Empty clusters that got a new centroid on the way.
    """

    centroids: NDArray[np.float32]
    labels: NDArray[np.int32]
    averaged: NDArray[np.int32]
    inertia: float
    iterations: int
    converged: bool
    reseeded: int


def lloyd(
    points: NDArray[np.float32],
    start: NDArray[np.float32],
    backend: Backend,
    *,
    weights: NDArray[np.float64] | None = None,
    max_iter: int = 300,
    tol: float = 0.0,
    directions: bool = False,
    advance: Advance | None = None,
) -> Lloyd:
    """Run Lloyd's iteration from the centroids ``start``.

    Parameters
    ----------
    points
        float32 [n, d], finite, n >= 1.
    start
        float32 [k, d]; not changed.
    weights
        float64 [n], 0 or more, not all 0. They enter the means and the inertia only, rounded to float32 after an exact
        scaling.
    max_iter
        Largest number of iterations.
    tol
        Stop when the squared centroid shifts sum to no more than this (absolute). At 0 the iteration ends when no label
        changes, and then each centroid is the mean of its points.
    advance
        Called with the number of points after each pass.

    Notes
    -----
    An empty cluster takes the point with the largest squared distance to its own centroid (lowest row on ties), never
    the only point of its cluster, each point at most once per iteration; clusters are served in the order of their
    ids. When all points coincide with their centroids there is nothing to take and the cluster stays empty.
    """
    rows = points.shape[0]
    device_points = backend.to_device(points)
    mass = np.ones(rows, np.float32) if weights is None else _scaled(weights)
    centroids = np.ascontiguousarray(start, np.float32)
    previous = np.full(rows, -1, np.int32)
    iterations, reseeded, converged = 0, 0, False
    assign = backend.repeated_assign(device_points)
    sums = backend.repeated_sum(device_points, mass, centroids.shape[0])
    nearest = assign(backend.to_device(centroids))
    while iterations < max_iter:
        iterations += 1
        labels, taken = _fill_empty(points, centroids, nearest, mass, backend)
        reseeded += taken
        converged = taken == 0 and bool(np.array_equal(labels, previous))
        if converged:
            break
        previous = labels
        moved = _means(sums(labels), labels, mass, centroids, directions)
        shift = float(((moved.astype(np.float64) - centroids) ** 2).sum())
        centroids = moved
        nearest = assign(backend.to_device(centroids))
        if advance:
            advance(rows)
        if shift <= tol and taken == 0:
            converged = True
            break
    own = squared_distances(points, centroids, nearest, backend)
    inertia = float(own.sum() if weights is None else (own * weights).sum())
    return Lloyd(centroids, nearest, previous, inertia, iterations, converged, reseeded)


def _means(
    sums: NDArray[np.float64],
    labels: NDArray[np.int32],
    mass: NDArray[np.float32],
    old: NDArray[np.float32],
    directions: bool,
) -> NDArray[np.float32]:
    """Weighted means per cluster, or their directions; a cluster without weight keeps its centroid."""
    totals = np.bincount(labels, weights=mass, minlength=old.shape[0])
    filled = totals > 0
    means = sums / np.where(filled, totals, 1.0)[:, None]
    if directions:
        means = unit_means(means, old)
    return np.where(filled[:, None], means, old).astype(np.float32)


def _fill_empty(
    points: NDArray[np.float32],
    centroids: NDArray[np.float32],
    labels: NDArray[np.int32],
    mass: NDArray[np.float32],
    backend: Backend,
) -> tuple[NDArray[np.int32], int]:
    """Give each cluster without weight the worst placed point; return new labels and how many clusters got one."""
    clusters = centroids.shape[0]
    heavy = mass > 0
    counts = np.bincount(labels if heavy.all() else labels[heavy], minlength=clusters)
    empty = np.flatnonzero(counts == 0)
    if empty.size == 0:
        return labels, 0
    distance = squared_distances(points, centroids, labels, backend)
    far = distance > COINCIDENT * np.einsum("ij,ij->i", points, points, dtype=np.float64)
    candidates = np.flatnonzero(far & heavy)
    # Worst first, lowest row on ties.
    candidates = candidates[np.argsort(-distance[candidates], kind="stable")]
    labels, taken, position = labels.copy(), 0, 0
    for cluster in empty:
        while position < candidates.size and counts[labels[candidates[position]]] <= 1:
            position += 1
        if position == candidates.size:
            break
        row = candidates[position]
        counts[labels[row]] -= 1
        counts[cluster] += 1
        labels[row] = cluster
        taken, position = taken + 1, position + 1
    return labels, taken


def _scaled(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights as float32 with a largest value near 1: scaling by a power of two is exact and cancels in the means."""
    return np.ldexp(weights, -int(np.frexp(weights.max())[1])).astype(np.float32)
