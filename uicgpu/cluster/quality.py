"""How good is a clustering? Measures that need no labels, and agreement with labels where they exist.

All distances are Euclidean, the distance that KMeans minimises (under cosine those between unit vectors). Noise (label
-1) is left out of every measure without labels. A measure that is undefined (one cluster, or every point alone) is
None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from uicgpu.backends.interface import Backend
from uicgpu.cluster.directions import as_directions
from uicgpu.cluster.distances import chunks, cluster_means, squared_distances
from uicgpu.errors import InputError
from uicgpu.randomness import generator
from uicgpu.vocabulary import NOISE

SILHOUETTE_SAMPLE: Final = 2000
MEASURES: Final = (
    "silhouette_simplified",
    "silhouette",
    "davies_bouldin",
    "calinski_harabasz",
    "intra_distance",
    "inter_distance",
)


class Labelled(Protocol):
    """Anything with a label per point: a :class:`uicgpu.cluster.Clustering`, for example."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """int32 [n], -1 for noise."""
        ...


def cluster_quality(
    vectors: NDArray[np.float32], clustering: Labelled, backend: Backend, seed: int, metric: str = "euclidean"
) -> dict[str, Any]:
    """Measure a clustering of ``vectors`` [n, d]; with ``metric="cosine"`` of their unit vectors, without zero vectors.

    Returns
    -------
    dict
        - ``silhouette_simplified``: mean over all points of ``(b - a) / max(a, b)``, where ``a`` is the distance to the
          own cluster's mean and ``b`` to the nearest other mean; a point alone in its cluster counts 0 (Hruschka et al.
          2004);
        - ``silhouette``: the exact mean silhouette (Rousseeuw 1987) of a seeded sample of at most 2,000 points;
          ``silhouette_sample`` says how many;
        - ``davies_bouldin`` (1979; lower is better), ``calinski_harabasz`` (1974; higher is better);
        - ``intra_distance``: mean distance of a point to its cluster's mean; ``inter_distance``: mean distance between
          two means;
        - ``per_cluster_silhouette``: mean simplified silhouette of each cluster, by id;
        - ``noise_share``: share of points that are noise.
    """
    labels = np.asarray(clustering.labels, np.int32)
    counted = labels != NOISE
    if metric == "cosine":
        vectors, directed = as_directions(vectors)
        counted &= directed
    inside = np.flatnonzero(counted)
    result: dict[str, Any] = dict.fromkeys(MEASURES)
    clusters = int(labels.max(initial=NOISE)) + 1
    result["silhouette_sample"] = 0
    result["per_cluster_silhouette"] = [None] * clusters
    result["noise_share"] = float(1.0 - np.count_nonzero(labels != NOISE) / labels.size) if labels.size else 0.0
    if inside.size == 0:
        return result
    points = vectors if inside.size == labels.size else vectors[inside]
    own = labels[inside]
    means = cluster_means(points, own, clusters, backend)
    sizes = np.bincount(own, minlength=clusters)
    squared = squared_distances(points, means, own, backend)
    distance = np.sqrt(squared)
    result["intra_distance"] = float(distance.mean())
    filled = np.flatnonzero(sizes)
    if filled.size < 2:
        return result
    result["inter_distance"] = float(pdist(means[filled]).mean())
    if filled.size == points.shape[0]:
        return result
    values = simplified_silhouettes(points, own, means, backend)
    result["silhouette_simplified"] = float(values.mean())
    sums = np.bincount(own, weights=values, minlength=clusters)
    result["per_cluster_silhouette"] = [
        float(total / size) if size else None for total, size in zip(sums, sizes, strict=True)
    ]
    result["silhouette"], result["silhouette_sample"] = _sampled_silhouette(points, own, backend, seed)
    result["davies_bouldin"] = _davies_bouldin(distance, own, means, sizes)
    result["calinski_harabasz"] = _calinski_harabasz(squared, means, sizes)
    return result


def simplified_silhouettes(
    points: NDArray[np.float32], labels: NDArray[np.int32], means: NDArray[np.float64], backend: Backend
) -> NDArray[np.float64]:
    """``(b - a) / max(a, b)`` per point from the distances to the own and the nearest other mean, float64 [n].

    At least two clusters must have members. A point alone in its cluster, and a point at distance 0 from both means,
    get 0.
    """
    sizes = np.bincount(labels, minlength=means.shape[0])
    filled = np.flatnonzero(sizes)
    position = np.full(means.shape[0], -1, np.int32)
    position[filled] = np.arange(filled.size)
    own = position[labels]
    centres = means[filled]
    near = backend.assign(backend.to_device(points), backend.to_device(centres.astype(np.float32)))
    other = np.where(near.labels == own, near.second_labels, near.labels).astype(np.int32)
    a = np.sqrt(squared_distances(points, centres, own, backend))
    b = np.sqrt(squared_distances(points, centres, other, backend))
    larger = np.maximum(a, b)
    values = (b - a) / np.where(larger > 0, larger, 1.0)
    return np.asarray(np.where(sizes[labels] == 1, 0.0, values))


def exact_silhouettes(points: NDArray[Any], labels: NDArray[np.int32], backend: Backend) -> NDArray[np.float64]:
    """Silhouette of each point from all pairwise distances, float64 [n]; quadratic, for samples.

    A point alone in its cluster gets 0; at least two clusters must have members.
    """
    _, own, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wide = points.astype(np.float64)
    order = np.argsort(own, kind="stable")
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))

    def part(rows: slice) -> NDArray[np.float64]:
        totals = np.add.reduceat(cdist(wide[rows], wide[order]), starts, axis=1)
        mine = own[rows]
        here = np.arange(mine.size)
        a = totals[here, mine] / np.maximum(sizes[mine] - 1, 1)
        others = totals / sizes
        others[here, mine] = np.inf
        b = others.min(axis=1)
        larger = np.maximum(a, b)
        return np.asarray(np.where(sizes[mine] == 1, 0.0, (b - a) / np.where(larger > 0, larger, 1.0)))

    return np.concatenate(backend.map(part, chunks(points.shape[0], 256)))


def agreement(labels: NDArray[np.int32], truth: NDArray[Any] | Sequence[Any]) -> dict[str, Any]:
    """Compare clusters with known groups.

    Parameters
    ----------
    labels
        int32 [n]; noise (-1) counts as a group of its own.
    truth
        Known group per point, [n]; points with None or NaN are left out.

    Returns
    -------
    dict
        ``nmi``: normalised mutual information, arithmetic mean; ``ari``: adjusted Rand index (both 1 for two partitions
        of one group each; None without any known group); ``users``: points compared; ``groups``: known groups among
        them; ``noise``: noise among them.
    """
    if len(labels) != len(truth):
        raise InputError(f"{len(labels)} cluster labels for {len(truth)} known groups", fix="pass one group per user")
    known = [row for row, group in enumerate(truth) if group is not None and group == group]
    if not known:
        return {"nmi": None, "ari": None, "users": 0, "groups": 0, "noise": 0}
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    codes = {group: code for code, group in enumerate(sorted({str(truth[row]) for row in known}))}
    groups = np.array([codes[str(truth[row])] for row in known], np.int64)
    compared = np.asarray(labels)[known]
    return {
        "nmi": float(normalized_mutual_info_score(groups, compared, average_method="arithmetic")),
        "ari": float(adjusted_rand_score(groups, compared)),
        "users": len(known),
        "groups": len(codes),
        "noise": int((compared == NOISE).sum()),
    }


def _sampled_silhouette(
    points: NDArray[np.float32], labels: NDArray[np.int32], backend: Backend, seed: int
) -> tuple[float | None, int]:
    rows = np.arange(points.shape[0])
    if rows.size > SILHOUETTE_SAMPLE:
        rows = np.sort(generator(seed, "cluster/quality").choice(rows.size, SILHOUETTE_SAMPLE, replace=False))
    present = np.unique(labels[rows]).size
    if not 2 <= present < rows.size:
        return None, int(rows.size)
    return float(exact_silhouettes(points[rows], labels[rows], backend).mean()), int(rows.size)


def _davies_bouldin(
    distance: NDArray[np.float64], labels: NDArray[np.int32], means: NDArray[np.float64], sizes: NDArray[np.int64]
) -> float | None:
    filled = np.flatnonzero(sizes)
    spread = np.bincount(labels, weights=distance, minlength=sizes.size)[filled] / sizes[filled]
    between = cdist(means[filled], means[filled])
    np.fill_diagonal(between, np.inf)
    if (between == 0).any():
        return None
    return float(((spread[:, None] + spread) / between).max(axis=1).mean())


def _calinski_harabasz(
    squared: NDArray[np.float64], means: NDArray[np.float64], sizes: NDArray[np.int64]
) -> float | None:
    filled = np.flatnonzero(sizes)
    centre = (means * sizes[:, None]).sum(axis=0) / sizes.sum()
    between = float((sizes * ((means - centre) ** 2).sum(axis=1)).sum())
    within = float(squared.sum())
    if within == 0:
        return None
    return between / (filled.size - 1) / (within / (squared.size - filled.size))
