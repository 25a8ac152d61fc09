"""What groups of users choose, for users who belong to several of them a little."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.randomness import generator
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.popularity import PRIOR_USERS
from uicgpu.recommend.rows import tiled_product


class SoftClusterPopularity:
    """Popularity within every cluster, mixed by how close the user is to each.

    ``score = sum over clusters of m_uc (N_cj + 20 p_j) / (n_c + 20)`` with memberships
    ``m_u = softmax(cosine / softness)`` to the centroids of KMeans over the interest vectors; ``N_cj`` and ``n_c`` sum
    memberships instead of counting users, ``p_j`` is the share of all users who chose j.

    Parameters
    ----------
    clusters
        Number of clusters; never more than users with an interest vector.
    softness
        Temperature of the memberships, in cosine; towards 0 they become hard.
    seed
        Draws the first centroids.
    """

    name: ClassVar[str] = "cluster_popularity_soft"
    judges_unknown: ClassVar[bool] = False
    centroids: NDArray[np.float32]
    """float32 [clusters, dim], learned: unit length, in the space of the interest vectors."""
    scores: NDArray[np.float32]
    """float32 [clusters, items], learned."""

    def __init__(self, clusters: int = 20, softness: float = 0.1, seed: int = 0) -> None:
        self.clusters, self.softness, self.seed = clusters, softness, seed

    def fit(self, part: TrainingPart) -> Self:
        """Cluster the users, and sum memberships per cluster and item."""
        from uicgpu.cluster import KMeans

        points = np.ascontiguousarray(part.user_vectors[part.user_vectors.any(axis=1)])
        number = max(1, min(self.clusters, len(points)))
        model = KMeans(
            number,
            random_state=int(generator(self.seed, "soft_clusters").integers(2**31)),
            device=part.backend.device,
            threads=part.backend.threads,
        )
        centres = model.fit(points).cluster_centers_ if len(points) else np.zeros((1, part.user_vectors.shape[1]))
        lengths = np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
        self.centroids = np.ascontiguousarray(centres / lengths, np.float32)
        pairs = part.interactions
        active = np.flatnonzero(pairs.user_counts)
        belongs = np.zeros((pairs.n_users, number), np.float64)
        belongs[active] = self.memberships(part.user_vectors[active])
        # A sparse product adds up row by row, in order.
        table = (pairs.matrix().astype(np.float64).T.tocsr() @ belongs).T
        share = part.item_counts / max(active.size, 1)
        self.scores = ((table + PRIOR_USERS * share) / (belongs.sum(axis=0)[:, None] + PRIOR_USERS)).astype(np.float32)
        return self

    def memberships(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how much each user belongs to each cluster, float64 [users, clusters]; rows add up to 1."""
        cosines = tiled_product(np.ascontiguousarray(vectors), self.centroids).astype(np.float64)
        raised = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / self.softness)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the mixed popularity, float32 [b, items]."""
        mix = self.memberships(block.part.user_vectors[block.users]).astype(np.float32)
        return tiled_product(mix, np.ascontiguousarray(self.scores.T))
