"""Neighbours and spanning trees: against dense float64 ones by SciPy; and proof that the tests can fail."""

import inspect
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.spanning_tree import Tree, spanning_tree
from uicgpu.kernels.spanning_tree import nearest as find_nearest
from uicgpu.kernels.spanning_tree import tree as module
from uicgpu.kernels.spanning_tree.clusters import cut_tree, order_ties
from uicgpu.kernels.spanning_tree.nearest import Cloud


def groups(seed, n, d, k=6, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((k, d))
    scale = rng.uniform(0.2, 1.5, (k, 1))
    of = rng.integers(0, k, n)
    return (centres[of] + spread * scale[of] * rng.standard_normal((n, d))).astype(np.float32)


def reachability(x, min_samples):
    distance = cdist(x.astype(np.float64), x.astype(np.float64))
    core = np.sort(distance, axis=1)[:, min_samples - 1]
    return np.maximum(distance, np.maximum(core[:, None], core))


def dense_weights(x, min_samples):
    """Weights of the tree by Prim over the dense matrix: SciPy's takes a weight of 0 for no edge."""
    matrix = reachability(x, min_samples)
    weights, best, free = [], matrix[0].copy(), np.ones(len(x), bool)
    free[0] = False
    for _ in range(len(x) - 1):
        node = int(np.where(free, best, np.inf).argmin())
        weights.append(best[node])
        free[node] = False
        best = np.minimum(best, matrix[node])
    return np.sort(weights)


def check_tree(x, min_samples, **options):
    low, high, weights, _ = spanning_tree(x, min_samples, **options)
    assert len(weights) == len(x) - 1 and (low < high).all() and (np.diff(weights) >= 0).all()
    np.testing.assert_allclose(weights, dense_weights(x, min_samples), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(weights, reachability(x, min_samples)[low, high], rtol=1e-12, atol=1e-12)
    roots = np.arange(len(x))
    for a, b in zip(low, high, strict=True):
        assert roots[a] != roots[b]
        roots[roots == roots[b]] = roots[a]


@pytest.mark.parametrize(
    ("n", "d", "min_samples"),
    [(2, 1, 1), (2, 3, 2), (30, 2, 30), (300, 1, 4), (700, 5, 5), (1300, 40, 10), (600, 384, 5)],
)
def test_tree_is_that_of_a_dense_matrix(n, d, min_samples):
    check_tree(groups(n, n, d), min_samples)


def test_tree_by_scipy():
    x = groups(1, 800, 64)
    weights = spanning_tree(x, 7)[2]
    assert weights.sum() == pytest.approx(minimum_spanning_tree(reachability(x, 7)).sum(), rel=1e-12)


@pytest.mark.parametrize("kind", ["duplicates", "grid", "far from the origin", "constant", "line", "tiny", "huge"])
def test_tree_of_awkward_points(kind):
    rng = np.random.default_rng(3)
    x = {
        "duplicates": np.repeat(groups(4, 40, 20), 6, axis=0),
        "grid": np.array([(i, j) for i in range(15) for j in range(15)], np.float32),
        "far from the origin": groups(5, 300, 10) + np.float32(1000),
        "constant": np.ones((70, 3), np.float32),
        "line": np.arange(200, dtype=np.float32)[:, None],
        "tiny": groups(6, 200, 8) * np.float32(1e-12),
        "huge": groups(7, 200, 8) * np.float32(1e12),
    }[kind]
    x = x[rng.permutation(len(x))]
    weights = spanning_tree(x, 4)[2]
    np.testing.assert_allclose(weights, dense_weights(x, 4), rtol=1e-9, atol=1e-30)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 90), d=st.integers(1, 6), low=st.integers(1, 8), seed=st.integers(0, 10**6), whole=st.booleans()
)
def test_any_points(n, d, low, seed, whole):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n, d)).astype(np.float32) if whole else rng.standard_normal((n, d)).astype(np.float32)
    check_tree(x, min(low, n))


def test_neighbours_are_exact_and_ordered():
    x = groups(8, 1500, 30)
    squares, rows = find_nearest(Cloud(x), 11)
    distance = cdist(x.astype(np.float64), x.astype(np.float64), "sqeuclidean")
    np.fill_diagonal(distance, np.inf)
    want = np.argsort(distance, axis=1, kind="stable")[:, :11]
    np.testing.assert_array_equal(rows, want)
    np.testing.assert_allclose(squares, np.take_along_axis(distance, want, axis=1), rtol=1e-11)
    grid = np.array([(i, j) for i in range(9) for j in range(9)], np.float32)
    assert find_nearest(Cloud(grid), 4)[1][40].tolist() == [31, 39, 41, 49]


def test_bytes_do_not_depend_on_threads():
    x = groups(9, 1400, 50)
    want = [part.tobytes() for part in spanning_tree(x, 5)]
    for threads in (2, 3):
        got = spanning_tree(x, 5, run=lambda function, parts, t=threads: run_in_order(function, parts, t))
        assert [part.tobytes() for part in got] == want


@pytest.mark.parametrize(("n", "d", "smallest", "min_samples"), [(600, 50, 20, 5), (500, 3, 15, 10), (400, 384, 10, 4)])
def test_labels_are_those_of_scikit_learn(n, d, smallest, min_samples):
    x = groups(n, n, d)
    labels, strengths = cut_tree(spanning_tree(x, min_samples), smallest)
    theirs = HDBSCAN(min_cluster_size=smallest, min_samples=min_samples, algorithm="brute", copy=True).fit(
        x.astype(np.float64)
    )
    assert len(set(theirs.labels_)) > 2
    assert adjusted_rand_score(labels, theirs.labels_) == 1
    np.testing.assert_array_equal(labels == -1, theirs.labels_ == -1)
    np.testing.assert_allclose(strengths, theirs.probabilities_, atol=1e-6)
    found = list(dict.fromkeys(labels[labels >= 0].tolist()))
    assert found == sorted(found)


def test_ties_are_one_event():
    """Three groups of 3, 3 and 2 that one point joins at weight 2: no order makes a cluster of 2 and the point."""
    low = np.array([0, 0, 3, 3, 6, 2, 5, 7], np.int32)
    high = np.array([1, 2, 4, 5, 7, 8, 8, 8], np.int32)
    weights = np.array([1, 1, 1, 1, 1, 2, 2, 2.0])
    a, b = order_ties(low, high, weights, 3)
    assert list(zip(a[5:], b[5:], strict=True)) == [(0, 3), (0, 6), (0, 8)]
    want = [0, 0, 0, 1, 1, 1, -1, -1, -1]
    for order in ([5, 6, 7], [7, 6, 5], [7, 5, 6], [6, 7, 5]):
        pick = [0, 1, 2, 3, 4, *order]
        assert cut_tree(Tree(low[pick], high[pick], weights, np.empty(0)), 3)[0].tolist() == want


def test_labels_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((300, 3)) * np.repeat([1, 4], 150)[:, None]).astype(np.float32)
    for min_samples in (2, 3, 5):
        labels = cut_tree(spanning_tree(x, min_samples), 15)[0]
        order = rng.permutation(300)
        again = cut_tree(spanning_tree(x[order], min_samples), 15)[0]
        assert adjusted_rand_score(labels[order], again) == 1


MUTANTS = {
    "core distances forgotten": ("w = max(square, core[i], core[j])", "w = square"),
    "lists decide alone": ("bounds < light[component]", "bounds < -1"),
    "bounds are not renewed": ("np.minimum(weight[rows], light[component[rows]])", "np.inf"),
    "own component not left out": ("component[j] == home or", "j == i or"),
    "a known edge that went inside": ("component[other[i]] != component[i]", "True"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name, monkeypatch):
    monkeypatch.setattr(sys.modules[Cloud.__module__], "MOST_COLUMNS", 0)  # the boxes have bugs of their own
    source = inspect.getsource(module)
    assert MUTANTS[name][0] in source
    source = source.replace(*MUTANTS[name])
    source = source.replace("from uicgpu.kernels.compilation import compiled", "compiled = lambda function: function")
    mutant = types.ModuleType("mutant")
    exec(compile(source, "<mutant>", "exec"), mutant.__dict__)
    mutant.NEIGHBOURS = 6
    x = groups(10, 150, 12, k=3, spread=0.2)
    with pytest.raises((AssertionError, ValueError, IndexError)):
        weights = mutant.spanning_tree(x, 5)[2]
        np.testing.assert_allclose(weights, dense_weights(x, 5), rtol=1e-12)
