"""Where KMeans starts: greedy k-means++ without replacement.

Arthur and Vassilvitskii (2007): a new seed is drawn with probability proportional to the weighted squared distance to
the nearest seed so far; greedy, the variant that they mention at the end: of ``2 + log k`` draws the one that
lowers the total most is kept. Draws go by inverse cumulative weight over the rows in a canonical order (sorted by a
fixed projection), so that neither the order of the rows nor writing a row twice instead of giving it weight 2 changes
the seeds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import chunks, sum_rows
from uicgpu.randomness import generator

ROWS_PER_SEED: Final = 32
SMALLEST_SAMPLE: Final = 8192


def plus_plus(
    points: NDArray[np.float32],
    clusters: int,
    rng: np.random.Generator,
    backend: Backend,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Choose ``clusters`` distinct rows of ``points`` as seeds, int64 [clusters].

    Above ``max(8192, 32 * clusters)`` rows the seeds are drawn from a random sample of that size. Rows with weight 0
    are taken only when the others run out; duplicates of a seed only when no distinct point is left.
    """
    rows = seeding_order(points, clusters, backend, weights)
    limit = max(SMALLEST_SAMPLE, ROWS_PER_SEED * clusters)
    if rows.size > limit:
        rows = rows[np.sort(rng.choice(rows.size, limit, replace=False))]
    weight = np.ones(rows.size) if weights is None else weights[rows]
    sample = points[rows].astype(np.float64)
    sample -= sum_rows(sample) / sample.shape[0]
    return rows[draw(sample, weight, clusters, rng, backend)]


def seeding_order(
    points: NDArray[np.float32], clusters: int, backend: Backend, weights: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Rows that may become seeds in canonical order; those with weight 0 only, and last, if the others are too few."""
    rows = _canonical_order(points, backend)
    if weights is not None and (weights == 0).any():
        positive = rows[weights[rows] > 0]
        rows = positive if positive.size >= clusters else np.concatenate((positive, rows[weights[rows] <= 0]))
    return rows


def draw(
    sample: NDArray[np.float64],
    weight: NDArray[np.float64],
    clusters: int,
    rng: np.random.Generator,
    backend: Backend,
) -> NDArray[np.int64]:
    """Greedy k-means++ over all of ``sample`` [n, d], centred: ``clusters`` distinct rows, int64 [clusters]."""
    norms = np.einsum("ij,ij->i", sample, sample)
    trials = 2 + int(np.log(clusters))
    free = np.ones(sample.shape[0], np.bool_)
    closest = np.full(sample.shape[0], np.inf)
    seeds = np.empty(clusters, np.int64)
    for position in range(clusters):
        if position == 0:
            candidates = inverse(weight, rng.random(1))
        else:
            potential = np.where(free, closest * weight, 0.0)
            candidates = inverse(potential, rng.random(trials))
        if candidates.size == 0:
            seeds[position] = int(np.flatnonzero(free)[0])
            free[seeds[position]] = False
            continue
        distances = np.minimum(closest[:, None], _distances(sample, norms, candidates, backend))
        best = int(np.argmin((distances * weight[:, None]).sum(axis=0)))
        seeds[position] = candidates[best]
        free[seeds[position]] = False
        closest = distances[:, best]
    return seeds


def inverse(potential: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows whose share of the cumulative potential holds the draws; none if there is no potential."""
    cumulative = np.cumsum(potential)
    if not cumulative.size or cumulative[-1] <= 0:
        return np.empty(0, np.int64)
    last = int(np.flatnonzero(potential > 0)[-1])
    rows = np.searchsorted(cumulative, draws * cumulative[-1], side="right")
    return np.asarray(np.minimum(rows, last), np.int64)


def _distances(
    sample: NDArray[np.float64], norms: NDArray[np.float64], candidates: NDArray[np.int64], backend: Backend
) -> NDArray[np.float64]:
    chosen = sample[candidates].T

    def part(rows: slice) -> NDArray[np.float64]:
        return np.maximum(norms[rows, None] + norms[candidates] - 2.0 * (sample[rows] @ chosen), 0.0)

    return np.concatenate(backend.map(part, chunks(sample.shape[0])))


def _canonical_order(points: NDArray[np.float32], backend: Backend) -> NDArray[np.int64]:
    """Rows sorted by their product with one fixed direction; equal rows have equal products and stand together."""
    direction = generator(0, "cluster/seeding/order").standard_normal(points.shape[1])

    def part(rows: slice) -> NDArray[np.float64]:
        return np.asarray((points[rows].astype(np.float64) * direction).sum(axis=1))

    return np.argsort(np.concatenate(backend.map(part, chunks(points.shape[0]))), kind="stable").astype(np.int64)
