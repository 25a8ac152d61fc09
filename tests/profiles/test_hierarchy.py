from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from uicgpu.profiles.hierarchy import group_clusters


@pytest.mark.parametrize("seed", range(4))
def test_equal_sizes_agree_with_an_independent_ward(seed):
    points = np.random.default_rng(seed).normal(size=(30, 4)).astype(np.float32)
    ours = group_clusters(points, np.full(30, 7))
    theirs = fcluster(linkage(points.astype(np.float64), "ward"), round(np.sqrt(30)), "maxclust")
    assert len({*zip(ours.tolist(), theirs.tolist(), strict=True)}) == len(set(ours.tolist())) == 5


def test_the_largest_comes_first_and_few_clusters_stay_one():
    groups = group_clusters(np.array([[0], [10], [0.5], [10.5]], np.float32), np.array([1, 9, 1, 9]))
    assert groups.tolist() == [1, 0, 1, 0]
    assert group_clusters(np.array([[0], [10], [20]], np.float32), np.array([1, 1, 1])).tolist() == [0, 0, 0]


def test_a_thousand_clusters():
    points = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    assert np.unique(group_clusters(points, np.arange(1000, 0, -1))).size == 32
