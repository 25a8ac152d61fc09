"""Several interests per user: hand-worked cases, an exhaustive oracle, and the same bytes however it is cut."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import NO_TIME, Interactions
from uicgpu.interests import multiple
from uicgpu.interests.multiple import find_interests


@pytest.fixture(scope="module")
def backend():
    return choose_backend("cpu", threads=1)


def _interactions(histories, n_items, weights=None, times=None):
    items = np.array([item for history in histories for item in history], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
    w = np.full(items.size, np.e - 1, np.float32) if weights is None else np.array(weights, np.float32)
    t = np.full(items.size, NO_TIME) if times is None else np.array(times, np.int64)
    return Interactions(offsets, items, w, np.ones(items.size, np.int32), t, t, len(histories), n_items)


def _unit(rows):
    rows = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def test_two_hobbies_are_two_interests(backend):
    vectors = _unit([[1, 0.1, 0], [1, 0, 0], [1, -0.1, 0], [0, 0, 1], [0, 0.1, 1]])
    made = _interactions([[0, 1, 2, 3, 4]], 5, times=[5, 9, 7, 3, 4])
    found = find_interests(made, vectors, np.ones(5), backend)
    assert found.items.tolist() == [1, 3]
    assert found.importance.tolist() == pytest.approx([0.6, 0.4])
    assert found.last_times.tolist() == [9, 4]
    frame = found.frame()
    assert frame.columns == ["user", "rank", "item", "importance", "last_time"] and frame["rank"].to_list() == [1, 2]


def test_one_hobby_is_one_interest_and_nobody_has_none(backend):
    vectors = _unit([[1, 0], [1, 0.05], [0, 0]])
    found = find_interests(_interactions([[0, 1], [], [2]], 3), vectors, np.ones(3), backend)
    assert found.offsets.tolist() == [0, 1, 1, 1], "an item without text is no interest"
    assert found.items.tolist() == [0] and found.frame()["last_time"].to_list() == [None]


def test_weights_decide_what_matters(backend):
    vectors = _unit([[1, 0], [0, 1]])
    found = find_interests(_interactions([[0, 1]], 2, weights=[1, 100]), vectors, np.ones(2), backend)
    assert found.items[0] == 1 and found.importance[0] > 0.8
    found = find_interests(_interactions([[0, 1]], 2), vectors, np.array([5.0, 0.0]), backend)
    assert found.items.tolist() == [0]


def _coverage(near, weight, medoids):
    return float((weight * near[:, list(medoids)].max(axis=1)).sum())


@pytest.mark.parametrize("seed", range(8))
def test_medoids_cover_nearly_as_much_as_the_best_of_all_choices(seed, backend):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(3, 6))
    vectors = _unit(centres[np.arange(12) % 3] + random.normal(0, 0.3, (12, 6)))
    found = find_interests(_interactions([list(range(12))], 12), vectors, np.ones(12), backend, most=3)
    near = np.maximum(vectors.astype(float) @ vectors.astype(float).T, 0)
    best = max(_coverage(near, np.ones(12), chosen) for chosen in combinations(range(12), found.items.size))
    # Greedy facility location reaches 1 - 1/e of the optimum in the worst case; on groups it is close to it.
    assert _coverage(near, np.ones(12), found.items.tolist()) >= 0.93 * best
    assert found.importance.sum() <= 1 + 1e-6 and (np.diff(found.importance) <= 0).all()


def test_parts_and_threads_change_nothing(backend, monkeypatch):
    random = np.random.default_rng(1)
    histories = [np.sort(random.choice(60, random.integers(0, 30), replace=False)).tolist() for _ in range(300)]
    vectors = _unit(random.normal(size=(60, 8)))
    made = _interactions(histories, 60)
    whole = find_interests(made, vectors, np.ones(60), backend)
    monkeypatch.setattr(multiple, "USERS_PER_PART", 7)
    for threads in (1, 2):
        again = find_interests(made, vectors, np.ones(60), choose_backend("cpu", threads=threads))
        for name in ("offsets", "items", "importance", "last_times"):
            assert getattr(whole, name).tobytes() == getattr(again, name).tobytes()
    owned = [set(history) for history in histories]
    users = whole.frame()["user"].to_list()
    assert all(item in owned[user] for user, item in zip(users, whole.items.tolist(), strict=True))


def test_a_long_history_is_cut_to_the_weightiest(backend):
    vectors = _unit(np.eye(2)[np.arange(200) % 2])
    weights = np.where(np.arange(200) % 2 == 0, 50.0, 0.1)
    found = find_interests(_interactions([list(range(200))], 200, weights=weights), vectors, np.ones(200), backend)
    assert found.items.tolist() == [0]


def test_parts_of_different_runs_are_refused(backend):
    with pytest.raises(InputError, match="item_vectors"):
        find_interests(_interactions([[0, 1]], 2), np.ones((1, 2), np.float32), np.ones(2), backend)
