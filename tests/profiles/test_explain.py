"""Explanations are deletion-tested: without the named items the pipeline itself places the user elsewhere."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.cluster.assign import assign_points
from uicgpu.events.interactions import NO_TIME, Interactions
from uicgpu.interests.pool import InterestPooler
from uicgpu.profiles.explain import explain_cluster


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def test_the_items_that_pull_by_hand():
    vectors = np.array([[1.0, 0], [1, 0], [0, 1]])
    why = explain_cluster(np.array([1.0, 1, 1]), vectors, np.array([[1.0, 0], [0, 1]]))
    assert (why.cluster, why.second) == (0, 1)
    assert why.pulls.tolist() == pytest.approx([2 / 5**0.5, 2 / 5**0.5, -2 / 5**0.5])
    # Without both items of the first kind (with one left it is a tie, which goes to the lowest id).
    assert why.removed == (0, 1) and why.becomes == 1


def test_nothing_to_change():
    one = explain_cluster(np.ones(2), np.eye(2), np.ones((1, 2)))
    assert (one.cluster, one.removed, one.becomes) == (0, None, None)
    alone = explain_cluster(np.ones(1), np.array([[1.0, 0]]), np.array([[1.0, 0], [0, 1]]))
    assert alone.removed is None, "a user without items is nowhere, not elsewhere"
    same = explain_cluster(np.ones(3), np.array([[1.0, 0]] * 3), np.array([[1.0, 0], [0, 1]]))
    assert same.removed is None


@pytest.mark.parametrize("seed", range(12))
def test_the_set_is_irreducible_and_near_the_smallest(seed):
    random = np.random.default_rng(seed)
    vectors, weights = _unit(random.normal(size=(9, 4))), random.uniform(0.2, 2, 9)
    centres = random.normal(size=(4, 4)) * 0.5

    def placed(kept):
        total = (weights[list(kept), None] * vectors[list(kept)]).sum(axis=0)
        return int((2 * centres @ (total / np.linalg.norm(total)) - (centres**2).sum(axis=1)).argmax())

    everything = set(range(9))
    why = explain_cluster(weights, vectors, centres)
    assert why.cluster == placed(everything)
    flips = [
        set(gone)
        for size in range(1, 9)
        for gone in combinations(range(9), size)
        if placed(everything - set(gone)) != why.cluster
    ]
    if why.removed is None:
        assert not flips or min(map(len, flips)) >= 5
        return
    removed = set(why.removed)
    assert placed(everything - removed) == why.becomes != why.cluster
    assert all(placed(everything - removed | {back}) == why.cluster for back in removed), "no item is named in vain"
    assert len(removed) <= min(map(len, flips)) + 2


def test_the_pipeline_itself_agrees():
    """Every user of a small world: pool and place without the named items, by the code that a run uses."""
    random = np.random.default_rng(3)
    backend = choose_backend("cpu", threads=1)
    vectors = _unit(random.normal(size=(50, 12))).astype(np.float32)
    histories = [np.sort(random.choice(50, random.integers(1, 12), replace=False)) for _ in range(80)]

    def made(kept):
        items = np.concatenate(kept).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum([len(history) for history in kept])]).astype(np.int64)
        times = np.full(items.size, NO_TIME)
        ones = np.ones(items.size, np.float32)
        return Interactions(offsets, items, ones, ones.astype(np.int32), times, times, len(kept), 50)

    whole = made(histories)
    pooler = InterestPooler().fit(whole, vectors)
    pooled = pooler.transform(whole, vectors, backend=backend)
    centroids = pooled[[0, 7, 21, 40]]
    labels = assign_points(pooled, centroids, backend).labels
    centred = pooler.centred(vectors)
    explained, reduced = [], []
    for user, history in enumerate(histories):
        weights = np.log1p(np.ones(history.size)) * pooler.idf[history]
        why = explain_cluster(weights, centred[history], centroids)
        assert why.cluster == labels[user]
        assert why.pulls[np.argmax(why.pulls)] > 0
        if why.removed is not None:
            explained.append((user, why))
            reduced.append(np.delete(history, list(why.removed)))
    moved = assign_points(pooler.transform(made(reduced), vectors, backend=backend), centroids, backend).labels
    assert len(explained) > 50
    assert [why.becomes for _, why in explained] == moved.tolist()
    assert all(new != labels[user] for (user, _), new in zip(explained, moved.tolist(), strict=True))


def test_behaviour_features_stay_as_they_are():
    vectors, centres = np.array([[1.0, 0], [0, 1]]), np.array([[0.5, 0, 1], [0, 0.5, -1]])
    why = explain_cluster(np.ones(2), vectors, centres, np.array([-3.0]))
    assert why.cluster == 1 and why.removed is None, "the behaviour decides here, not the items"
