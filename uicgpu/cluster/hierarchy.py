"""Hierarchical clustering: merge the two nearest groups until the wanted number is left."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from uicgpu.backends.interface import Backend
from uicgpu.cluster.lloyd import Advance
from uicgpu.cluster.parameters import check_integer, seed_from
from uicgpu.cluster.precision import Frame
from uicgpu.cluster.starts import fit_kmeans

MOST_POINTS: Final = 10_000
"""Above this many points (1.2 GB of distances) the tree is built over KMeans micro-clusters."""
MICRO_CLUSTERS: Final = 1000
MICRO_ITERATIONS: Final = 20
LINKAGES: Final = ("ward", "average", "complete", "single")


class Hierarchical(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Agglomerative clustering; above 10,000 samples over the centres of 1,000 KMeans micro-clusters.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    linkage : {"ward", "average", "complete", "single"}
        Distance between groups, Euclidean.
    random_state : int
        Seed of the micro-clusters.
    device, threads
        As in :class:`uicgpu.cluster.KMeans`.

    Attributes
    ----------
    labels_ : int32 ndarray [n_samples]
        Cluster ids from 0.
    facts_ : dict
        ``micro_clusters``: how many centres stood for the samples, or None when the samples themselves were merged.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        linkage: str = "ward",
        random_state: int = 0,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.linkage = linkage
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> Hierarchical:
        """Cluster ``X`` [n_samples, n_features].

        Raises
        ------
        ValueError
            For NaN or infinity in ``X``, fewer samples than clusters, or an impossible parameter; the message names it.
        """
        from uicgpu.backends import choose_backend

        clusters = check_integer("n_clusters", self.n_clusters, 1)
        if self.linkage not in LINKAGES:
            raise ValueError(f"linkage={self.linkage!r} should be one of {', '.join(LINKAGES)}")
        X = validate_data(self, X, dtype=(np.float32, np.float64), order="C", accept_large_sparse=False)
        if X.shape[0] < clusters:
            raise ValueError(f"n_samples={X.shape[0]} should be >= n_clusters={clusters}")
        backend = choose_backend(self.device, self.threads)
        points = Frame.of(X).inward(X)
        self.labels_, self.facts_ = hierarchical_labels(
            points, clusters, self.linkage, seed_from(self.random_state), backend
        )
        return self


def hierarchical_labels(
    points: NDArray[np.float32],
    clusters: int,
    linkage: str,
    seed: int,
    backend: Backend,
    advance: Advance | None = None,
) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Labels of a tree cut at ``clusters`` groups, and facts; see :class:`Hierarchical`.

    Every micro-cluster counts once in the tree, whatever its size.
    """
    if points.shape[0] <= MOST_POINTS:
        return backend.agglomerative(points, clusters, linkage), {"linkage": linkage, "micro_clusters": None}
    micro = fit_kmeans(
        points, max(MICRO_CLUSTERS, clusters), seed, backend, starts=1, iterations=MICRO_ITERATIONS, advance=advance
    )
    centres = micro.lloyd.centroids
    groups = backend.agglomerative(centres, min(clusters, centres.shape[0]), linkage)
    return groups[micro.labels], {"linkage": linkage, "micro_clusters": int(centres.shape[0])}
