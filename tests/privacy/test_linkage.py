from __future__ import annotations

import numpy as np
import pytest

from uicgpu.events.interactions import EventTable, aggregate
from uicgpu.privacy.linkage import linkage_attack
from uicgpu.profiles import build_profiles
from uicgpu.report.artefacts import published_labels
from uicgpu.settings import Settings

import polars as pl  # isort: skip


def _world(seed, users=120, items=40, clusters=5):
    random = np.random.default_rng(seed)
    labels = np.minimum(random.geometric(0.35, users) - 1, clusters - 1).astype(np.int32)
    owners = np.repeat(np.arange(users, dtype=np.int32), random.integers(1, 9, users))
    chosen = ((labels[owners] * 8 + random.geometric(0.3, owners.size)) % items).astype(np.int32)
    zeros = np.zeros(owners.size, np.int32)
    events = EventTable(
        owners,
        chosen,
        zeros.astype(np.int64),
        zeros,
        zeros * np.float32(1),
        np.ones(owners.size, np.float32),
        users,
        items,
    )
    table = pl.DataFrame(
        {
            "item_id": [f"i{number}" for number in range(items)],
            "text": [f"word{number} thing" for number in range(items)],
            "category": [f"c{number // 8}" for number in range(items)],
        }
    )
    centroids = random.normal(size=(clusters, 4)).astype(np.float32)
    return labels, aggregate(events), table, centroids


@pytest.mark.parametrize("small", ["merge", "suppress"])
@pytest.mark.parametrize("k", [5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_no_victim_is_picked_with_more_than_one_in_k(seed, k, small):
    labels, interactions, table, centroids = _world(seed)
    settings = Settings(k_anonymity=k, small_clusters=small)
    profiles = build_profiles(labels, interactions, table, centroids=centroids, settings=settings).profiles
    published = published_labels(profiles, labels)
    for known in (1, 2, 5):
        attack = linkage_attack(
            profiles,
            published,
            interactions,
            table["item_id"].to_list(),
            table["category"].to_list(),
            known=known,
            seed=seed,
        )
        assert attack.worst <= 1 / k and attack.smallest >= k


def test_the_attack_has_teeth():
    """Without k-anonymity the same attack does find people."""
    labels, interactions, table, centroids = _world(0)
    profiles = build_profiles(
        labels, interactions, table, centroids=centroids, settings=Settings(k_anonymity=1)
    ).profiles
    ids, categories = table["item_id"].to_list(), table["category"].to_list()
    attack = linkage_attack(profiles, labels, interactions, ids, categories, known=5, seed=0)
    assert attack.worst > 1 / 5 and attack.group_found > 0.5
