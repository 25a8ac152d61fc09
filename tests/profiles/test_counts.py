from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from uicgpu.profiles import counts
from uicgpu.profiles.counts import even_weights, group_items, group_users, user_blocks, users_holding


def test_groups_put_users_without_a_cluster_last():
    groups = group_users(np.array([1, -1, 0, 1], np.int32))
    assert groups.labels == (0, 1, -1)
    assert groups.sizes.tolist() == [1, 2, 1]
    assert groups.codes.tolist() == [1, 2, 0, 1]


def test_unused_clusters_are_groups_too():
    assert group_users(np.array([0, 0], np.int32), 3).sizes.tolist() == [2, 0, 0]


def test_every_user_weighs_one(interactions):
    made = interactions([[0], [0, 1, 2, 3], []], 4)
    assert even_weights(made).tolist() == pytest.approx([1.0, 0.25, 0.25, 0.25, 0.25])


def _random(interactions, users=60, items=15):
    random = np.random.default_rng(3)
    histories = [random.choice(items, random.integers(0, 7), replace=False).tolist() for _ in range(users)]
    return interactions(histories, items), histories, random.integers(0, 4, users).astype(np.int32)


def test_holders_match_a_loop_over_users(interactions, monkeypatch):
    made, histories, labels = _random(interactions)
    marks = sparse.random_array((15, 6), density=0.3, rng=np.random.default_rng(1), format="csr")
    expected = np.zeros((4, 6), int)
    for user, history in enumerate(histories):
        for mark in range(6):
            expected[labels[user], mark] += any(marks[[item], :].toarray()[0, mark] for item in history)
    groups = group_users(labels)
    assert (users_holding(groups, made, marks) == expected).all()
    monkeypatch.setattr(counts, "PAIRS_PER_BLOCK", 16)
    assert (users_holding(groups, made, marks) == expected).all()


def test_blocks_cover_all_users_once(interactions):
    made, _, labels = _random(interactions)
    blocks = list(user_blocks(made, pairs=10))
    assert blocks[0][0] == 0 and blocks[-1][1] == made.n_users
    assert all(before[1] == after[0] for before, after in pairwise(blocks))
    whole = group_items(group_users(labels), made).toarray()
    dense = made.matrix().toarray()
    assert (whole == np.stack([dense[labels == group].sum(axis=0) for group in range(4)])).all()
