import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.cluster.match import match_clusters
from uicgpu.errors import InputError


def users(count, first=0):
    return [f"u{number:04d}" for number in range(first, first + count)]


def labels(*sizes):
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)


def test_the_same_clusters_under_other_numbers():
    old = labels(10, 8, 5)
    new = np.array([2, 0, 1], np.int32)[old]
    found = match_clusters(users(23), old, users(23), new)
    np.testing.assert_array_equal(found.rename(new), old)
    assert found.overlap.tolist() == [1, 1, 1] and found.shared == 23
    assert (found.births, found.deaths, found.splits, found.merges) == ([], [], {}, {})


def test_births_and_deaths():
    """Cluster 1 is gone with its users, and ten new users form one of their own."""
    old, new = labels(10, 6), labels(10, 12)
    found = match_clusters(users(16), old, users(10) + users(12, first=100), new)
    assert found.ids.tolist() == [0, 2] and found.births == [2] and found.deaths == [1]
    assert match_clusters(users(16), old, users(10) + users(12, first=100), new, first_free=9).births == [9]


def test_a_split_and_a_merge():
    old = labels(20, 6, 5)
    new = np.concatenate((np.repeat([0, 1], [12, 8]), np.full(11, 2))).astype(np.int32)
    found = match_clusters(users(31), old, users(31), new)
    assert found.ids.tolist() == [0, 3, 1]
    assert found.splits == {0: [0, 3]} and found.merges == {1: [1, 2]}
    assert found.births == [3] and found.deaths == [2]
    assert found.overlap.tolist() == [12 / 20, 0, 6 / 11]


def test_noise_takes_no_part():
    old, new = np.array([-1, 0, 0, 1], np.int32), np.array([0, 0, 0, -1], np.int32)
    found = match_clusters(users(4), old, users(4), new)
    assert found.ids.tolist() == [0] and found.deaths == [1] and found.shared == 2
    assert found.rename(new).tolist() == [0, 0, 0, -1]


def test_matching_is_the_best_one_and_not_the_first_one():
    """Cluster 0 overlaps both new ones; taking its best alone would leave cluster 1 without a partner."""
    old = labels(10, 5)
    new = np.concatenate((np.zeros(4), np.ones(6), np.ones(5))).astype(np.int32)
    assert match_clusters(users(15), old, users(15), new).ids.tolist() == [0, 1]


def test_errors():
    with pytest.raises(InputError, match="share no user"):
        match_clusters(users(3), labels(3), users(3, first=9), labels(3))
    with pytest.raises(InputError, match="twice in the new"):
        match_clusters(users(2), labels(2), ["a", "a"], labels(2))
    with pytest.raises(InputError, match="3 users and 2 labels"):
        match_clusters(users(3), labels(2), users(3), labels(3))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=40), st.integers(0, 10**6))
def test_ids_are_distinct_and_the_order_of_users_does_not_matter(old, seed):
    rng = np.random.default_rng(seed)
    old = np.array(old, np.int32)
    new = rng.integers(-1, 5, len(old)).astype(np.int32)
    found = match_clusters(users(len(old)), old, users(len(old)), new)
    used = [int(found.ids[b]) for b in np.unique(new[new >= 0])]
    assert len(set(used)) == len(used) and min(used, default=0) >= 0
    order = rng.permutation(len(old))
    names = users(len(old))
    again = match_clusters([names[p] for p in order], old[order], names, new)
    assert again.ids.tolist() == found.ids.tolist() and again.splits == found.splits
