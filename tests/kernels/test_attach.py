"""Attaching points to a fitted cloud, and the levels at which clusters meet, against dense float64 matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import cdist, squareform

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.spanning_tree import Cloud, attach, merges, spanning_tree, weigh
from uicgpu.kernels.spanning_tree.clusters import cut_tree


def groups(seed, n, d, k=4, spread=1.0):
    rng = np.random.default_rng(seed)
    centres = 4 * rng.standard_normal((k, d))
    return (centres[np.arange(n) % k] + spread * rng.standard_normal((n, d))).astype(np.float32)


def dense(x, cores, queries, min_samples):
    squares = cdist(queries.astype(np.float64), x.astype(np.float64), "sqeuclidean")
    core = np.sort(squares, axis=1)[:, min_samples - 1]
    levels = np.maximum(squares, np.maximum(core[:, None], cores))
    rows = [np.lexsort((np.arange(len(x)), gap, level))[0] for gap, level in zip(squares, levels, strict=True)]
    return np.array(rows), levels.min(axis=1)


@pytest.mark.parametrize(("n", "d", "min_samples"), [(60, 2, 5), (700, 8, 10), (1400, 40, 4), (600, 384, 30)])
def test_new_points_hang_on_the_row_of_a_dense_matrix(n, d, min_samples):
    x, queries = groups(n, n, d), groups(n + 1, 550, d, k=7)
    cores = spanning_tree(x, min_samples).cores
    rows, levels = attach(Cloud(x), cores, queries, min_samples)
    want, wanted = dense(x, cores, queries, min_samples)
    np.testing.assert_allclose(levels, wanted, rtol=1e-12)
    np.testing.assert_array_equal(rows, want)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 70), d=st.integers(1, 3), low=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_whole_numbers_full_of_ties(n, d, low, seed):
    rng = np.random.default_rng(seed)
    x, queries = (rng.integers(-3, 4, (rows, d)).astype(np.float32) for rows in (n, 20))
    min_samples = min(low, n)
    cores = spanning_tree(x, min_samples).cores
    rows, levels = attach(Cloud(x), cores, queries, min_samples)
    want, wanted = dense(x, cores, queries, min_samples)
    np.testing.assert_array_equal(levels, wanted)
    np.testing.assert_array_equal(rows, want)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 90), d=st.integers(1, 5), low=st.integers(1, 8), seed=st.integers(0, 10**6), whole=st.booleans()
)
def test_fitted_points_hang_on_themselves_at_their_core_distance(n, d, low, seed, whole):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n, d)).astype(np.float32) if whole else rng.standard_normal((n, d)).astype(np.float32)
    cores = spanning_tree(x, min(low, n)).cores
    rows, levels = attach(Cloud(x), cores, x, min(low, n))
    np.testing.assert_array_equal(levels, cores)
    np.testing.assert_array_equal(x[rows], x)


def test_bytes_do_not_depend_on_threads_or_company():
    x, queries = groups(1, 900, 20), groups(2, 1100, 20, k=9)
    cores = spanning_tree(x, 6).cores
    want = attach(Cloud(x), cores, queries, 6)
    got = attach(Cloud(x), cores, queries, 6, run=lambda function, parts: run_in_order(function, parts, 2))
    alone = attach(Cloud(x), cores, queries[700:703], 6)
    for wanted, ours, few in zip(want, got, alone, strict=True):
        assert ours.tobytes() == wanted.tobytes() and few.tobytes() == wanted[700:703].tobytes()


@pytest.mark.parametrize(("n", "d", "smallest", "min_samples"), [(500, 3, 15, 8), (400, 20, 10, 4), (300, 1, 8, 3)])
def test_levels_are_those_of_single_linkage(n, d, smallest, min_samples):
    x = groups(n, n, d, k=5, spread=1.5)
    x[::9] *= np.float32(2.5)  # noise
    tree = spanning_tree(x, min_samples)
    labels, _ = cut_tree(tree, smallest)
    assert labels.max() >= 1 and labels.min() == -1
    found = merges(tree, labels)
    squares = cdist(x.astype(np.float64), x.astype(np.float64), "sqeuclidean")
    reach = np.sqrt(np.maximum(squares, np.maximum(tree.cores[:, None], tree.cores)))
    np.fill_diagonal(reach, 0)
    meet = squareform(cophenet(linkage(squareform(reach, checks=False), "single")))
    for one in range(labels.max() + 1):
        inside = labels == one
        assert found.births[one] == pytest.approx(reach[np.ix_(inside, ~inside)].min(), rel=1e-12)
        assert meet[np.ix_(inside, inside)].max() < found.births[one]
        for two in range(one):
            level = meet[np.ix_(inside, labels == two)].min()
            assert found.meeting[one, two] == found.meeting[two, one] == pytest.approx(level, rel=1e-12)
    for row in range(n):
        for cluster in range(labels.max() + 1):
            if cluster != labels[row]:
                level = max(found.reach[row], found.meeting[found.first[row], cluster])
                assert level == pytest.approx(meet[row, labels == cluster].min(), rel=1e-12)
    assert (found.first[labels >= 0] == labels[labels >= 0]).all() and (found.reach[labels >= 0] == 0).all()


def test_levels_by_hand():
    # clusters {0, 1, 2} and {10, 11, 12} and noise at 5: it meets the first at 3, the clusters meet at 5 through it
    x = np.array([[0], [1], [2], [5], [10], [11], [12]], np.float32)
    found = merges(spanning_tree(x, 1), np.array([0, 0, 0, -1, 1, 1, 1], np.int32))
    assert found.births.tolist() == [3, 5] and found.meeting.tolist() == [[0, 5], [5, 0]]
    assert found.first.tolist() == [0, 0, 0, 0, 1, 1, 1] and found.reach.tolist() == [0, 0, 0, 3, 0, 0, 0]
    assert found.peaks.tolist() == [True, False, False, False, True, False, False]
    nothing = merges(spanning_tree(x, 1), np.full(7, -1, np.int32))
    assert nothing.births.shape == (0,) and (nothing.first == -1).all() and np.isinf(nothing.reach).all()


def test_edges_found_elsewhere_get_exact_weights():
    x = groups(3, 400, 6)
    want = spanning_tree(x, 5)
    order = np.random.default_rng(0).permutation(399)
    got = weigh(x, want.low[order], want.high[order], 5)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)
