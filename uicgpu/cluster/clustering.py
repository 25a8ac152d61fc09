"""From vectors and settings to a clustering: the one function that the pipeline calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.backends.workers import one_blas_thread
from uicgpu.cluster.assign import Membership, check_vectors, place, soft_membership, spread
from uicgpu.cluster.choose_k import choose_k
from uicgpu.cluster.consensus import fit_consensus
from uicgpu.cluster.density import NEIGHBOURS, dbscan_fit, hdbscan_fit
from uicgpu.cluster.density_model import DensityModel, Reachability
from uicgpu.cluster.directions import as_directions, of_rows, unit_means
from uicgpu.cluster.distances import cluster_means
from uicgpu.cluster.hierarchy import hierarchical_labels
from uicgpu.cluster.lloyd import Advance
from uicgpu.cluster.precision import Frame
from uicgpu.randomness import seed_of
from uicgpu.settings import Settings
from uicgpu.vocabulary import NOISE

DENSITY: Final = ("hdbscan", "dbscan")
"""Algorithms that measure density, after a reduction."""
SMALLEST_CLUSTER: Final = 5
SMALLEST_SHARE: Final = 0.01
"""Default ``min_cluster_size``: 1 % of the users, at least 5."""


@dataclass(frozen=True)
class Clustering(Membership):
    """Clusters of all points; ids ascend with falling size, equal sizes by the lowest member.

    Attributes
    ----------
    labels, second_labels, confidence
        See :class:`uicgpu.cluster.assign.Membership`.
    centroids
        float32 [k, d], means of the members. KMeans: the centroids of the final assignment, equal to the means once no
        label changes. Density algorithms: means of the points inside the dense regions, before noise is assigned. With
        ``metric="cosine"`` the directions of these means, of length 1.
    algorithm
        Name of the algorithm.
    facts
        What the algorithm did, ready for JSON: ``k``, ``k_requested``, ``noise`` (points that a density algorithm left
        out), ``notes`` (sentences), and the algorithm's own entries.
    model
        What places later points where a density algorithm would have; None for the others, which go by centroids.
    """

    centroids: NDArray[np.float32]
    algorithm: str
    facts: dict[str, Any]
    model: DensityModel | None = None


def cluster_vectors(
    vectors: NDArray[Any], settings: Settings, backend: Backend, advance: Advance | None = None
) -> Clustering:
    """Cluster ``vectors`` [n, d] by the algorithm of the settings.

    Rows must come in a fixed order (sorted by user id): equal distances and random samples refer to it.

    Parameters
    ----------
    vectors
        Finite numbers of any float or integer type; float32 is used as it is.
    settings
        ``algorithm``, ``metric``, ``k``, ``init``, ``consensus``, ``reduce``, ``min_cluster_size``, ``min_samples``,
        ``eps``, ``linkage``, ``noise`` and ``seed`` count.
    advance
        Called with the number of points placed after each pass over (a sample of) the points.

    Raises
    ------
    InputError
        For no vectors, or NaN or infinity among them (with the row).
    MissingExtraError
        For ``reduce="umap"``, when UMAP is not installed.
    """
    check_vectors(vectors)
    if settings.metric == "euclidean":
        return _cluster(vectors, settings, backend, advance)
    units, directed = as_directions(vectors)
    nothing = int(np.count_nonzero(~directed))
    if nothing == directed.size:
        directed[0] = True  # one zero vector stands for all: they are one cluster
    found = _cluster(of_rows(units, directed), settings, backend, advance)
    facts = found.facts
    facts |= {"metric": settings.metric, "without_direction": nothing}
    if nothing:
        facts["notes"].append(
            f"{nothing} users with a zero vector have no direction: they are in cluster 0, with confidence 0"
        )
    return spread(found, directed, found.centroids.shape[0])


def _cluster(vectors: NDArray[Any], settings: Settings, backend: Backend, advance: Advance | None) -> Clustering:
    frame = Frame.of(vectors)
    points = frame.inward(vectors)
    facts: dict[str, Any] = {"notes": []}
    if settings.consensus and settings.algorithm != "kmeans":
        facts["notes"].append(f"no consensus: it is made of KMeans fits, and the algorithm is {settings.algorithm}")
    if settings.reduce == "umap" and settings.algorithm not in DENSITY:
        facts["notes"].append(f"no UMAP: it serves hdbscan and dbscan, and the algorithm is {settings.algorithm}")
    with one_blas_thread():
        labels, centroids, model = _run(points, frame, settings, backend, facts, advance)
        sizes = np.bincount(labels[labels >= 0], minlength=centroids.shape[0])
        order, labels = order_by_size(labels, sizes)
        centroids = centroids[order]
        if model is not None:
            model = model.renamed(np.argsort(order).astype(np.int32))
        if isinstance(model, Reachability):
            member = soft_membership(points, *model.fitted(backend), settings.noise == "keep")
        else:
            member = place(points, centroids, backend, None if settings.algorithm == "kmeans" else labels)
    facts |= {"k": int(centroids.shape[0]), "k_requested": settings.k}
    return Clustering(
        member.labels,
        member.second_labels,
        member.confidence,
        frame.outward(centroids).astype(np.float32),
        settings.algorithm,
        facts,
        model,
    )


def order_by_size(labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return old ids in their new order (size descending, then lowest member) and the renumbered labels."""
    first = np.full(sizes.size, labels.size, np.int64)
    np.minimum.at(first, labels[labels >= 0], np.flatnonzero(labels >= 0))
    order = np.lexsort((first, -sizes))
    renumber = np.empty(sizes.size + 1, np.int32)
    renumber[order] = np.arange(sizes.size, dtype=np.int32)
    renumber[-1] = NOISE
    return order, renumber[labels]


def _run(
    points: NDArray[np.float32],
    frame: Frame,
    settings: Settings,
    backend: Backend,
    facts: dict[str, Any],
    advance: Advance | None,
) -> tuple[NDArray[np.int32], NDArray[np.float32], DensityModel | None]:
    """Labels (-1 only for noise that is kept), centroids and density model, ids as the algorithm numbered them."""
    facts["noise"] = 0
    if settings.algorithm in DENSITY:
        return _density(points, frame, settings, backend, facts)
    k = _number(points, settings, backend, facts, advance)
    seed = seed_of(settings.seed, "cluster")
    if settings.algorithm == "kmeans":
        fit = fit_consensus(
            points,
            k,
            seed,
            backend,
            settings.consensus,
            init=settings.init,
            directions=settings.metric == "cosine",
            advance=advance,
        )
        found = int(fit.lloyd.centroids.shape[0])
        if found < k:
            facts["notes"].append(f"only {found} clusters: no more than {found} users differ from each other")
        facts |= {
            "inertia": fit.lloyd.inertia,
            "iterations": fit.lloyd.iterations,
            "converged": fit.lloyd.converged,
            "empty_clusters_reseeded": fit.lloyd.reseeded,
            "init": settings.init,
            "starts": fit.starts,
            "start_sample": fit.sample,
            "consensus": settings.consensus,
        }
        return fit.labels, fit.lloyd.centroids, None
    labels, told = hierarchical_labels(points, k, settings.linkage, seed, backend, advance)
    facts |= told
    if told["micro_clusters"] is not None:
        facts["notes"].append(
            f"the tree was built over {told['micro_clusters']} KMeans micro-clusters: "
            f"{points.shape[0]} users are too many for all pairwise distances"
        )
    _, compact = np.unique(labels, return_inverse=True)
    labels = compact.astype(np.int32)
    return labels, _centres(points, labels, settings, backend), None


def _number(
    points: NDArray[np.float32], settings: Settings, backend: Backend, facts: dict[str, Any], advance: Advance | None
) -> int:
    wanted = settings.k
    if wanted == "auto":
        seed = seed_of(settings.seed, "cluster/choose-k")
        k, table = choose_k(points, seed, backend, advance, directions=settings.metric == "cosine")
        facts["k_grid"] = table
        if not table:
            facts["notes"].append(f"one cluster: {points.shape[0]} users are too few, or too alike, to choose a number")
        return k
    if wanted < 1:
        facts["notes"].append(f"1 cluster instead of {wanted}")
        return 1
    if wanted > points.shape[0]:
        facts["notes"].append(f"{points.shape[0]} clusters instead of {wanted}: there are no more users")
    return int(min(wanted, points.shape[0]))


def _density(
    points: NDArray[np.float32], frame: Frame, settings: Settings, backend: Backend, facts: dict[str, Any]
) -> tuple[NDArray[np.int32], NDArray[np.float32], DensityModel | None]:
    way, seed = settings.reduce, seed_of(settings.seed, "cluster")
    if settings.algorithm == "hdbscan":
        smallest = settings.min_cluster_size or max(SMALLEST_CLUSTER, int(np.ceil(SMALLEST_SHARE * points.shape[0])))
        fit = hdbscan_fit(points, backend, smallest, settings.min_samples, frame=frame, reduce=way, seed=seed)
        inside = fit.strengths[fit.labels >= 0]
        fit.facts["mean_probability"] = float(inside.mean(dtype=np.float64)) if inside.size else None
    else:
        neighbours = settings.min_samples or NEIGHBOURS
        fit = dbscan_fit(points, backend, settings.eps, neighbours, frame=frame, reduce=way, seed=seed)
    facts |= fit.facts
    if "reduction" in facts:
        facts["notes"].append(
            f"density was measured on {facts['dimensions']} coordinates of UMAP, of {points.shape[1]} dimensions; it "
            "keeps neighbourhoods, and makes gaps between groups wider than they are"
        )
    elif facts["dimensions"] < points.shape[1]:
        facts["notes"].append(
            f"density was measured on {facts['dimensions']} principal axes of {points.shape[1]} dimensions "
            f"({facts['variance_kept']:.0%} of the variance)"
        )
    labels, noise = fit.labels, fit.labels < 0
    facts["noise"] = int(noise.sum())
    if fit.model is None:
        facts["notes"].append("no dense region was found: all users form one cluster")
        labels = np.zeros(points.shape[0], np.int32)
        return labels, _centres(points, labels, settings, backend), None
    centroids = _centres(points, labels, settings, backend)
    if centroids.shape[0] == 1:
        facts["notes"].append("all dense users hang together in one region: one cluster")
    if noise.any() and settings.noise == "assign":
        if isinstance(fit.model, Reachability):
            where, labels = "that they belong to most", fit.model.fitted(backend)[1].best
        else:
            where, labels = "nearest to them", labels.copy()
            labels[noise] = place(points[noise], centroids, backend).labels
        facts["notes"].append(f"{facts['noise']} users outside dense regions were assigned to the cluster {where}")
    return labels, centroids, fit.model


def _centres(
    points: NDArray[np.float32], labels: NDArray[np.int32], settings: Settings, backend: Backend
) -> NDArray[np.float32]:
    """Means of the members, or their directions (that of the first member where they cancel out); none is empty."""
    clusters = int(labels.max()) + 1
    means = cluster_means(points, labels, clusters, backend)
    if settings.metric == "cosine":
        _, first = np.unique(labels, return_index=True)
        means = unit_means(means, points[first[-clusters:]])
    return means.astype(np.float32)
