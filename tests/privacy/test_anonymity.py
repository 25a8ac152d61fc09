from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uicgpu.privacy.anonymity import plan_publication, rounded_count


def _points(*values):
    return np.array(values, np.float32)[:, None]


def test_a_small_cluster_joins_the_nearest():
    plan = plan_publication(np.array([100, 50, 19]), _points(0, 10, 8), 20)
    assert plan.host.tolist() == [0, 1, 1]
    assert plan.facts() == {"merged_clusters": 1, "merged_users": 19, "withheld_clusters": 0, "withheld_users": 0}
    assert plan.labels(np.array([2, 0, -1, 1], np.int32)).tolist() == [1, 0, -1, 1]


def test_small_clusters_join_each_other_under_the_larger():
    # 3 and 4 lie together far from the rest: 12 + 9 users are enough for a group of their own.
    plan = plan_publication(np.array([100, 50, 40, 12, 9]), _points(0, 1, 2, 50, 51), 20)
    assert plan.host.tolist() == [0, 1, 2, 3, 3]


def test_suppressed_clusters_keep_to_themselves():
    plan = plan_publication(np.array([100, 19]), _points(0, 1), 20, "suppress")
    assert plan.host.tolist() == [0, -1] and plan.facts()["withheld_users"] == 19
    assert plan.labels(np.array([1, 0], np.int32)).tolist() == [1, 0]


def test_too_few_users_in_all_are_withheld():
    assert plan_publication(np.array([5, 4]), _points(0, 1), 20).host.tolist() == [-1, -1]
    assert plan_publication(np.array([], np.int64), None, 20).host.tolist() == []
    assert plan_publication(np.array([30, 5]), None, 20).host.tolist() == [0, -1], "no centres, no neighbour"


def test_empty_clusters_are_nobodys():
    plan = plan_publication(np.array([30, 0, 25]), _points(0, 1, 2), 20)
    assert plan.host.tolist() == [0, -1, 2] and plan.facts()["withheld_clusters"] == 0


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=30),
    st.integers(1, 40),
    st.sampled_from(["merge", "suppress"]),
    st.integers(0, 5),
)
def test_no_published_group_has_fewer_than_k_users(sizes, k, small, seed):
    counts = np.array(sizes)
    centres = np.random.default_rng(seed).normal(size=(counts.size, 3)).astype(np.float32)
    plan = plan_publication(counts, centres, k, small)
    labels = np.repeat(np.arange(counts.size), counts).astype(np.int32)
    published = plan.labels(labels)
    hosts = np.unique(plan.host[plan.host >= 0])
    assert all((published == host).sum() >= k for host in hosts)
    assert all(plan.host[host] == host for host in hosts)
    withheld = counts[plan.host < 0].sum()
    assert sum((published == host).sum() for host in hosts) + withheld == counts.sum()
    if small == "merge" and counts.sum() >= k:
        assert withheld == 0


@pytest.mark.parametrize(("count", "told"), [(0, 0), (2, 0), (3, 5), (20, 20), (23, 25), (1147, 1145)])
def test_counts_are_rounded(count, told):
    assert rounded_count(count) == told
    assert rounded_count(count, 1) == count
