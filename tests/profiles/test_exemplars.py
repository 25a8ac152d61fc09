from __future__ import annotations

import numpy as np
import pytest

from uicgpu.profiles.counts import group_items, group_users
from uicgpu.profiles.exemplars import choose_exemplars, smoothed_lift


def test_smoothed_lift_by_hand():
    # 6 of 10 users hold it, 20 % of all do; with 10 imagined average users: (6 + 2) / 20 / 0.2 = 2.
    assert smoothed_lift(np.array([6.0]), 10, np.array([0.2])).tolist() == pytest.approx([2.0])
    assert smoothed_lift(np.array([0.0]), 0, np.array([0.3])).tolist() == pytest.approx([1.0])


def test_over_represented_items_lead(interactions):
    # Item 0 is everybody's, item 1 the first cluster's, item 2 the second's, item 3 a single user's.
    histories = [[0, 1]] * 8 + [[0, 1, 3]] + [[0, 2]] * 9
    labels = np.array([0] * 9 + [1] * 9, np.int32)
    groups = group_users(labels)
    chosen = choose_exemplars(group_items(groups, interactions(histories, 4)), groups, minimum_users=5)
    assert [exemplar.item for exemplar in chosen[0]] == [1]
    assert [exemplar.item for exemplar in chosen[1]] == [2]
    assert chosen[0][0].share == 1.0 and chosen[0][0].base_share == 0.5


def test_central_items_fill_up_where_few_are_over_represented(interactions):
    histories = [[number] for number in range(6)]
    vectors = np.array([[1, 0.1], [1, 0], [1, -0.2], [-1, 0], [-1, 0.3], [-1, -0.1]], np.float32)
    groups = group_users(np.array([0, 0, 0, 1, 1, 1], np.int32))
    centroids = np.array([[1, 0], [-1, 0]], np.float32)
    holders = group_items(groups, interactions(histories, 6))
    assert choose_exemplars(holders, groups, centroids, vectors) == [[], []], "one user each: nothing is said"
    chosen = choose_exemplars(holders, groups, centroids, vectors, minimum_users=1)
    assert {exemplar.item for exemplar in chosen[0]} == {0, 1, 2}
    assert {exemplar.item for exemplar in chosen[1]} == {3, 4, 5}


def test_items_nearest_to_the_centre_are_held_by_enough_users_somewhere(interactions):
    vectors = np.array([[1, 0], [1, 0.1], [-1, 0]], np.float32)
    groups = group_users(np.array([0] * 3 + [1] * 3, np.int32))
    holders = group_items(groups, interactions([[2], [2], [2], [0], [0, 1], [0]], 3))
    chosen = choose_exemplars(holders, groups, np.array([[1, 0], [0, 0]], np.float32), vectors, minimum_users=3)
    central = [exemplar for exemplar in chosen[0] if exemplar.why == "central"]
    assert [exemplar.item for exemplar in central] == [0], "item 1 is one user's"


def test_items_without_text_are_not_central(interactions):
    vectors = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    groups = group_users(np.zeros(3, np.int32))
    holders = group_items(groups, interactions([[0], [1], [2]], 3))
    chosen = choose_exemplars(holders, groups, np.array([[1, 0]], np.float32), vectors)
    assert 0 not in {exemplar.item for exemplar in chosen[0]}


def test_blocks_of_items_change_nothing(interactions, monkeypatch):
    random = np.random.default_rng(0)
    histories = [random.choice(40, 6, replace=False).tolist() for _ in range(60)]
    groups = group_users(random.integers(0, 3, 60).astype(np.int32))
    holders = group_items(groups, interactions(histories, 40))
    vectors = random.normal(size=(40, 5)).astype(np.float32)
    centroids = random.normal(size=(3, 5)).astype(np.float32)
    whole = choose_exemplars(holders, groups, centroids, vectors, minimum_users=3)
    monkeypatch.setattr("uicgpu.profiles.exemplars.ITEMS_PER_BLOCK", 7)
    again = choose_exemplars(holders, groups, centroids, vectors, minimum_users=3)
    assert [[exemplar.item for exemplar in row] for row in whole] == [[e.item for e in row] for row in again]
