"""Would the same clusters come out of other users? Bootstrap: refit on resamples, compare labels on the same users.

Hennig (2007): each resample draws as many users as there are, with replacement. KMeans counts a user drawn twice with
weight 2; the other algorithms see each drawn user once (copies would look like density). Every fit then labels the same
users as it would place new ones (by nearest centroid, or by density), and the adjusted Rand index compares these labels
with those of the clustering itself.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.backends.workers import one_blas_thread
from uicgpu.cluster.assign import assign_points
from uicgpu.cluster.clustering import Clustering, cluster_vectors
from uicgpu.cluster.consensus import fit_consensus
from uicgpu.cluster.directions import as_directions
from uicgpu.cluster.lloyd import Advance
from uicgpu.randomness import generator, seed_of
from uicgpu.settings import Settings

SAMPLE: Final = 20_000
"""Users that take part at most."""
CONFIDENCE: Final = 0.95


def bootstrap_stability(
    vectors: NDArray[np.float32],
    settings: Settings,
    backend: Backend,
    clustering: Clustering,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Measure how well ``clustering`` comes back on bootstrap resamples of ``vectors`` [n, d].

    Parameters
    ----------
    settings
        Those of the clustering; ``stability_runs`` resamples are drawn. ``k="auto"`` keeps the number that was chosen.
    advance
        Called with 1 after each resample.

    Returns
    -------
    dict
        ``runs``, ``users`` (that took part), ``ari`` (one per run), ``mean``, ``sd``, and ``low`` and ``high``: the
        95 % interval of the mean (Student's t over the runs, within [-1, 1]). ``mean`` is None without runs and for a
        single cluster, which any resample brings back; the interval is None with fewer than two runs. Noise that was
        kept is left out of the comparison, and so are zero vectors under cosine. ``per_cluster`` holds the mean Jaccard
        index of each cluster with the most similar cluster of a resample (None without runs).
    """
    rows = np.arange(vectors.shape[0])
    if rows.size > SAMPLE:
        rows = np.sort(generator(settings.seed, "cluster/stability/sample").choice(rows.size, SAMPLE, replace=False))
    points = np.ascontiguousarray(vectors if rows.size == vectors.shape[0] else vectors[rows], np.float32)
    reference = np.asarray(clustering.labels)[rows]
    if settings.metric == "cosine":
        points, directed = as_directions(points)
        points, reference = points[directed], reference[directed]
    clusters = int(clustering.centroids.shape[0])
    from sklearn.metrics import adjusted_rand_score

    scores: list[float] = []
    returned = np.zeros(clusters)
    with one_blas_thread():
        for run in range(settings.stability_runs if clusters > 1 else 0):
            labels = _refit(points, clusters, settings, run, backend)
            kept = reference >= 0
            scores.append(float(adjusted_rand_score(reference[kept], labels[kept])) if kept.any() else 1.0)
            returned += _best_jaccard(reference[kept], labels[kept], clusters)
            if advance:
                advance(1)
    per_cluster = (returned / len(scores)).tolist() if scores else None
    return {"runs": len(scores), "users": len(points), "ari": scores, **_summary(scores), "per_cluster": per_cluster}


def _refit(
    points: NDArray[np.float32], clusters: int, settings: Settings, run: int, backend: Backend
) -> NDArray[np.int32]:
    """Labels that a fit on one resample gives to all points."""
    rng = generator(settings.seed, f"cluster/stability/{run}")
    counts = np.bincount(rng.integers(0, points.shape[0], points.shape[0]), minlength=points.shape[0])
    drawn = np.flatnonzero(counts)
    seed = seed_of(settings.seed, f"cluster/stability/{run}/fit")
    if settings.algorithm == "kmeans":
        weights = counts[drawn].astype(np.float64)
        fit = fit_consensus(
            points[drawn],
            min(clusters, drawn.size),
            seed,
            backend,
            settings.consensus,
            weights=weights,
            init=settings.init,
            directions=settings.metric == "cosine",
        )
        return assign_points(points, fit.lloyd.centroids, backend).labels
    changed = {"k": min(clusters, int(drawn.size)), "noise": "assign", "seed": seed}
    again = cluster_vectors(points[drawn], settings.model_copy(update=changed), backend)
    return assign_points(points, again.centroids, backend, again.model).labels


def _best_jaccard(reference: NDArray[np.int32], labels: NDArray[np.int32], clusters: int) -> NDArray[np.float64]:
    """Jaccard index of each cluster with the most similar one of another clustering, float64 [clusters].

    References
    ----------
    C. Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics & Data Analysis 52 (2007).
    """
    others = int(labels.max()) + 1 if labels.size else 1
    shared = np.zeros((clusters, others))
    np.add.at(shared, (reference, np.maximum(labels, 0)), labels >= 0)
    sizes = np.bincount(reference, minlength=clusters)[:, None] + np.bincount(labels[labels >= 0], minlength=others)
    best: NDArray[np.float64] = (shared / np.maximum(sizes - shared, 1)).max(axis=1)
    return best


def _summary(scores: list[float]) -> dict[str, float | None]:
    if not scores:
        return {"mean": None, "sd": None, "low": None, "high": None}
    mean = float(np.mean(scores))
    if len(scores) < 2:
        return {"mean": mean, "sd": None, "low": None, "high": None}
    from scipy.stats import t

    sd = float(np.std(scores, ddof=1))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(scores) - 1) * sd / np.sqrt(len(scores)))
    return {"mean": mean, "sd": sd, "low": max(-1.0, mean - reach), "high": min(1.0, mean + reach)}
