import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from uicgpu.backends import choose_backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import NO_TIME, EventTable, aggregate
from uicgpu.interests import Features, InterestPooler
from uicgpu.kernels.segment_reduce import pool as segment_pool

CPU = choose_backend("cpu", threads=1)


def interactions(triples, n_users, n_items):
    """Interactions of (user, item, weight) triples."""
    triples = sorted(triples)
    users, items = (np.array([each[column] for each in triples], np.int32) for column in (0, 1))
    weights = np.array([each[2] for each in triples], np.float32)
    times = np.full(users.size, NO_TIME)
    values = np.full(users.size, np.nan, np.float32)
    return aggregate(EventTable(users, items, times, np.zeros_like(users), values, weights, n_users, n_items))


def random_case(seed, n_users=7, n_items=11, dim=5, pairs=30):
    rng = np.random.default_rng(seed)
    cells = rng.choice(n_users * n_items, min(pairs, n_users * n_items), replace=False)
    triples = [(int(cell) // n_items, int(cell) % n_items, float(rng.uniform(0.1, 5))) for cell in cells]
    vectors = rng.standard_normal((n_items, dim)) + 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rng.integers(n_items)] = 0
    return interactions(triples, n_users, n_items), vectors.astype(np.float32)


def naive(train, test, vectors):
    """Scalar loops in float64, straight from the formula."""
    vectors = vectors.astype(np.float64)
    users_of = [int((train.items == item).sum()) for item in range(train.n_items)]
    used = [vectors[item] for item in range(train.n_items) if users_of[item] > 0 and vectors[item].any()]
    centre = sum(used) / len(used)
    result = np.zeros((test.n_users, vectors.shape[1]))
    for user in range(test.n_users):
        for entry in range(test.offsets[user], test.offsets[user + 1]):
            item = test.items[entry]
            if not vectors[item].any():
                continue
            moved = vectors[item] - centre
            weight = math.log1p(test.weights[entry]) / math.log(2 + users_of[item])
            result[user] += weight * moved / np.linalg.norm(moved)
        length = np.linalg.norm(result[user])
        if length > 1e-9:
            result[user] /= length
    return result


def test_by_hand():
    # Items at right angles; the centre is (0.5, 0.5): both point away from it along the falling diagonal.
    vectors = np.eye(2, dtype=np.float32)
    data = interactions([(0, 0, 1), (1, 0, 1), (1, 1, 3), (3, 1, 2)], 4, 2)
    pooler = InterestPooler().fit(data, vectors)
    np.testing.assert_allclose(pooler.centre, [0.5, 0.5])
    np.testing.assert_allclose(pooler.idf, [1 / math.log(4)] * 2)
    half = math.sqrt(0.5)
    # User 1 holds item 0 with log 2 and item 1 with log 4: item 1 wins. User 2 has nothing.
    expected = [[half, -half], [-half, half], [0, 0], [-half, half]]
    np.testing.assert_allclose(pooler.transform(data, vectors, backend=CPU), expected, atol=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_equals_naive_loops(seed):
    data, vectors = random_case(seed)
    pooled = InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, naive(data, data, vectors), atol=1e-6)
    lengths = np.linalg.norm(pooled, axis=1)
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-6)


def test_centre_and_idf_come_from_training_only():
    train, vectors = random_case(0)
    other, _ = random_case(1)
    pooler = InterestPooler().fit(train, vectors)
    np.testing.assert_allclose(pooler.transform(other, vectors, backend=CPU), naive(train, other, vectors), atol=1e-6)


def test_popular_items_count_less():
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    crowd = [(user, 0, 1) for user in range(20)]
    data = interactions([*crowd, (0, 1, 1), (1, 2, 1)], 20, 3)
    pooled = InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU)
    assert pooled[0, 1] > pooled[0, 0] > pooled[0, 2]


def test_items_without_text_contribute_nothing():
    vectors = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    with_blank = interactions([(0, 0, 1), (0, 2, 9), (1, 1, 1), (2, 2, 1)], 3, 3)
    without = interactions([(0, 0, 1), (1, 1, 1)], 3, 3)
    pooled = InterestPooler().fit(with_blank, vectors).transform(with_blank, vectors, backend=CPU)
    expected = InterestPooler().fit(without, vectors).transform(without, vectors, backend=CPU)
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(pooled[2], 0)


@pytest.mark.parametrize("vectors", [np.ones((1, 3)), np.tile([[0.6, 0.8, 0.0]], (4, 1)), np.zeros((4, 3))])
def test_items_that_cannot_be_told_apart_leave_nothing(vectors):
    data = interactions([(0, 0, 1), (1, 0, 2)], 2, 1)
    pooled = (
        InterestPooler().fit(data, vectors.astype(np.float32)).transform(data, vectors.astype(np.float32), backend=CPU)
    )
    np.testing.assert_array_equal(pooled, 0)


def test_opposite_interests_that_cancel_are_zero_not_noise():
    vectors = np.array([[0.6, 0.8], [-0.6, -0.8]], np.float32)
    data = interactions([(0, 0, 1.5), (0, 1, 1.5)], 1, 2)
    np.testing.assert_array_equal(InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU), 0)


def test_rounding_residue_is_not_an_interest():
    # The corners of a turned regular simplex sum to zero, except for rounding.
    corners = np.eye(5) - 0.2
    turned = corners @ np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    vectors = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    data = interactions([(user, item, 1.5) for user in (0, 1) for item in range(5)], 2, 5)
    pooler = InterestPooler().fit(data, vectors)
    assert pooler.centred(vectors).astype(float).sum(axis=0).any()
    np.testing.assert_array_equal(pooler.transform(data, vectors, backend=CPU), 0)


def test_no_interactions_at_all():
    data = interactions([], 3, 2)
    pooled = InterestPooler().fit(data, np.eye(2, dtype=np.float32)).transform(data, np.eye(2, dtype=np.float32))
    np.testing.assert_array_equal(pooled, np.zeros((3, 2)))


def test_new_items_count_as_used_by_nobody():
    train, vectors = random_case(2)
    pooler = InterestPooler().fit(train, vectors)
    longer = np.concatenate((vectors, vectors[:1] + np.float32(0.5)))
    data = interactions([(0, 11, 1), (1, 3, 1)], 2, 12)
    expected = longer[11].astype(float) - pooler.centre
    pooled = pooler.transform(data, longer, backend=CPU)
    np.testing.assert_allclose(pooled[0], expected / np.linalg.norm(expected), atol=1e-6)


def test_chunks_and_threads_do_not_change_a_byte(monkeypatch):
    data, vectors = random_case(3, n_users=50, n_items=40, dim=16, pairs=600)
    pooler = InterestPooler().fit(data, vectors)
    whole = pooler.transform(data, vectors, backend=CPU)
    assert whole.tobytes() == pooler.transform(data, vectors, backend=choose_backend("cpu", threads=2)).tobytes()
    cut = segment_pool.cut_segments
    monkeypatch.setattr(segment_pool, "cut_segments", lambda offsets: cut(offsets, 20))
    assert whole.tobytes() == pooler.transform(data, vectors, backend=CPU).tobytes()


def test_half_precision_and_memory_maps(tmp_path):
    data, vectors = random_case(4)
    exact = InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU)
    half = vectors.astype(np.float16)
    np.testing.assert_allclose(InterestPooler().fit(data, half).transform(data, half, backend=CPU), exact, atol=5e-3)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    np.testing.assert_array_equal(InterestPooler().fit(data, mapped).transform(data, mapped, backend=CPU), exact)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_renaming_users_and_items_changes_nothing_else(seed):
    rng = np.random.default_rng(seed)
    data, vectors = random_case(seed)
    users, items = rng.permutation(data.n_users), rng.permutation(data.n_items)
    triples = zip(users[data.users].tolist(), items[data.items].tolist(), data.weights.tolist(), strict=True)
    renamed = interactions(list(triples), data.n_users, data.n_items)
    moved = np.empty_like(vectors)
    moved[items] = vectors
    before = InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU)
    after = InterestPooler().fit(renamed, moved).transform(renamed, moved, backend=CPU)
    np.testing.assert_allclose(after[users], before, atol=2e-6)


def features(users, seed=0):
    values = np.random.default_rng(seed).gamma(1.0, 5.0, (users, 4))
    return Features(("recency", "frequency", "value", "hour"), values)


def test_features_are_appended_and_the_text_part_keeps_its_length():
    data, vectors = random_case(5)
    told = features(7)
    plain = InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU)
    fused = InterestPooler(0.5).fit(data, vectors, told).transform(data, vectors, told, backend=CPU)
    np.testing.assert_array_equal(fused[:, :5], plain)
    standard = (told.values - told.values.mean(axis=0)) / told.values.std(axis=0)
    np.testing.assert_allclose(fused[:, 5:], np.clip(standard, -3, 3) * 0.5 / 2, atol=1e-6)


def test_features_without_weight_are_ignored():
    data, vectors = random_case(5)
    plain = InterestPooler().fit(data, vectors).transform(data, vectors, backend=CPU)
    ignored = InterestPooler().fit(data, vectors, features(7)).transform(data, vectors, features(7), backend=CPU)
    np.testing.assert_array_equal(plain, ignored)


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_state_survives_a_file(weight, tmp_path):
    data, vectors = random_case(6)
    pooler = InterestPooler(weight).fit(data, vectors, features(7))
    save_file(pooler.state(), tmp_path / "pooling.safetensors")
    again = InterestPooler.from_state(load_file(tmp_path / "pooling.safetensors"))
    told = features(7, seed=1)
    expected = pooler.transform(data, vectors, told, backend=CPU)
    assert again.transform(data, vectors, told, backend=CPU).tobytes() == expected.tobytes()
    assert again.numeric_weight == weight


def test_damaged_state_is_refused():
    with pytest.raises(InputError, match="lacks centre, idf"):
        InterestPooler.from_state({"numeric_weight": np.zeros(1)})


def test_what_cannot_be_pooled_is_refused():
    data, vectors = random_case(0)
    pooler = InterestPooler().fit(data, vectors)
    with pytest.raises(InputError, match="for 11 items"):
        pooler.transform(data, vectors[:5])
    with pytest.raises(InputError, match="learned 5"):
        pooler.transform(data, np.ones((11, 6), np.float32))
    with pytest.raises(InputError, match="NaN"):
        InterestPooler().fit(data, np.full((11, 5), np.nan, np.float32))
    with pytest.raises(InputError, match="no behaviour features"):
        InterestPooler(1.0).fit(data, vectors)
    with pytest.raises(InputError, match="3 rows for 7 users"):
        InterestPooler(1.0).fit(data, vectors, features(3))
    with pytest.raises(InputError, match="numeric_weight is -1"):
        InterestPooler(-1)
