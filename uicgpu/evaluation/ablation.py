"""Do the clusters help? The blend with real clusters, with random groups of the same sizes, and with none.

Both controls are needed. Random groups alone mislead, because a useless arm can harm a blend, so that real clusters win
without helping; no clusters alone mislead, because any additional arm can look like a gain. "The clusters help" is true
only if the real ones beat both, each with an interval above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.randomness import generator
from uicgpu.recommend.arms import Arm
from uicgpu.recommend.blend import Candidates
from uicgpu.recommend.held_back import choose_base
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.recommend.popularity import ClusterPopularity
from uicgpu.settings import Settings

RANDOM_REPEATS: Final = 3
"""Random groupings; a user's value is the mean over them."""
REAL = "real"
RANDOM: Final = tuple(f"random {repeat + 1}" for repeat in range(RANDOM_REPEATS))


def group_users(part: TrainingPart, settings: Settings, clusters: int | None = None) -> dict[str, NDArray[np.int32]]:
    """Cluster the part's users, and draw random groups of the same sizes.

    Parameters
    ----------
    clusters
        Number of clusters; ``None`` for what the settings say.

    Returns
    -------
    dict
        ``real``, ``random 1``, … to int32 [users]; -1 for users without an interest vector.
    """
    from uicgpu.cluster import cluster_vectors

    users = np.flatnonzero(part.user_vectors.any(axis=1))
    groups = {name: np.full(part.events.n_users, -1, np.int32) for name in (REAL, *RANDOM)}
    if not users.size:
        return groups
    if clusters is not None:
        settings = settings.model_copy(update={"k": clusters})
    vectors = np.ascontiguousarray(part.user_vectors[users])
    labels = np.asarray(cluster_vectors(vectors, settings, part.backend).labels, np.int32)
    groups[REAL][users] = labels
    for name in RANDOM:
        groups[name][users] = generator(settings.seed, f"ablation/{name}").permutation(labels)
    return groups


def cluster_arms(part: TrainingPart, groups: Mapping[str, NDArray[np.int32]]) -> dict[str, Arm]:
    """Popularity within each grouping, one arm per grouping."""
    return {name: ClusterPopularity(labels).fit(part) for name, labels in groups.items()}


def learn_variants(
    candidates: Candidates, arms: tuple[str, ...], groupings: tuple[str, ...], fold: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Learn the blend anew with each grouping as one more arm, exactly as without; weights per grouping.

    ``candidates`` holds the z-scores of the arms and of every grouping; ``fold`` the users' folds that judge the blend.
    """
    return {name: choose_base(candidates, (*arms, name), fold).weights for name in groupings}
