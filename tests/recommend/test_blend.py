import numpy as np
import pytest

from uicgpu.recommend.blend import Candidates, gather_candidates, join_candidates, learn_weights


def naive_ndcg(total, items, hits, chosen):
    values = []
    for row in range(len(total)):
        order = sorted(range(total.shape[1]), key=lambda c, row=row: (-total[row, c], items[row, c]))
        order = [column for column in order if items[row, column] >= 0]
        gain = sum(1 / np.log2(place + 2) for place, column in enumerate(order[:10]) if hits[row, column])
        values.append(gain / sum(1 / np.log2(place + 2) for place in range(min(10, chosen[row]))))
    return np.mean(values)


def random_candidates(seed, users=30, width=25, arms=("a", "b", "c")):
    random = np.random.default_rng(seed)
    items = np.sort(random.permuted(np.tile(np.arange(60), (users, 1)), axis=1)[:, :width], axis=1).astype(np.int32)
    items[0, 20:] = -1
    hits = (random.random(items.shape) < 0.2) & (items >= 0)
    z = {name: random.integers(0, 6, items.shape).astype(np.float32) for name in arms}
    z["a"] += 2 * hits
    z["b"] += 1 * hits
    return Candidates(items, z, hits, np.maximum(hits.sum(axis=1), 1).astype(np.int64))


def test_ndcg_against_a_sort():
    candidates = random_candidates(0)
    total = candidates.z["a"].astype(np.float64) + 0.4 * candidates.z["b"]
    expected = naive_ndcg(total, candidates.items, candidates.hits, candidates.chosen)
    assert candidates.ndcg({"a": 1.0, "b": 0.4}) == pytest.approx(expected, abs=1e-12)


def test_greedy_starts_from_the_best_arm_and_each_weight_was_worth_it():
    candidates = random_candidates(1)
    weights = learn_weights(candidates, ("a", "b", "c"))
    assert weights["a"] >= 1
    best = candidates.ndcg(weights)
    assert best >= max(candidates.ndcg({name: 1.0}) for name in "abc")
    for name in weights:
        if name != "a":
            assert candidates.ndcg({key: weight for key, weight in weights.items() if key != name}) < best


def test_a_useless_arm_gets_no_weight_and_a_copy_changes_nothing():
    candidates = random_candidates(2)
    flat = np.zeros_like(candidates.z["a"])
    assert learn_weights(candidates.with_arm("flat", flat), ("a", "flat")) == {"a": 1.0}
    assert learn_weights(candidates.with_arm("copy", candidates.z["a"]), ("a", "copy")) == {"a": 1.0}


def test_arms_that_are_right_for_different_users_join():
    hits = np.eye(10, dtype=bool)
    noise = np.random.default_rng(4).random((10, 10)).astype(np.float32)
    left, right = noise.copy(), noise.copy()
    left[:6] += 9 * hits[:6]
    right[6:] += 9 * hits[6:]
    items = np.tile(np.arange(10, dtype=np.int32), (10, 1))
    candidates = Candidates(items, {"left": left, "right": right}, hits, np.ones(10, np.int64))
    weights = learn_weights(candidates, ("left", "right"))
    assert weights["left"] == 1 and weights["right"] > 0 and candidates.ndcg(weights) == 1


def test_an_arm_that_is_poor_alone_joins_where_it_helps():
    # for every user eleven arms put the chosen item level with another one; the twelfth, useless alone, decides
    items = np.tile(np.arange(15, dtype=np.int32), (20, 1))
    hits = items == 14
    pair = (items >= 13).astype(np.float32)
    z = {f"arm {arm}": pair for arm in range(11)} | {"last": np.where(items < 13, 0.5, np.where(hits, 0.1, -0.1))}
    candidates = Candidates(items, z, hits, np.ones(20, np.int64))
    assert candidates.ndcg({"last": 1.0}) == 0
    weights = learn_weights(candidates, tuple(z))
    assert weights["last"] > 0 and candidates.ndcg(weights) == 1


def test_nothing_to_learn_from():
    assert learn_weights(join_candidates([]), ("a",)) == {}
    assert learn_weights(random_candidates(3), ()) == {}


def test_candidates_unite_the_best_items_and_join_with_padding():
    best = {"a": np.array([[3, 1], [2, -1]], np.int32), "b": np.array([[1, 0], [2, -1]], np.int32)}
    z = {"a": np.arange(10, dtype=np.float32).reshape(2, 5), "b": -np.arange(10, dtype=np.float32).reshape(2, 5)}
    found = gather_candidates(list(best.values()), z, np.array([0, 2, 3]), np.array([1, 4, 2], np.int32))
    assert found.items.tolist() == [[0, 1, 3], [2, -1, -1]]
    assert found.z["a"][0].tolist() == [0, 1, 3] and found.z["b"][1, 0] == -7
    assert found.hits.tolist() == [[False, True, False], [True, False, False]]
    assert found.chosen.tolist() == [2, 1]
    wide = Candidates(
        np.array([[0, 1, 2, 3]], np.int32),
        {"a": np.ones((1, 4)), "b": np.ones((1, 4))},
        np.zeros((1, 4), bool),
        np.array([1]),
    )
    joined = join_candidates([found, wide])
    assert joined.items.shape == (3, 4) and joined.items[1].tolist() == [2, -1, -1, -1]
