"""Lists of candidates: float32 squares put off the decision, they never take it."""

import sys

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from uicgpu.kernels.spanning_tree import nearest as find_nearest
from uicgpu.kernels.spanning_tree import product_search, spanning_tree
from uicgpu.kernels.spanning_tree.nearest import Cloud

MODULE = sys.modules[Cloud.__module__]


def wanted(x, count):
    """The slow way: all squares in float64, ties by row."""
    wide = x.astype(np.float64)
    squares = np.stack([((wide - row) ** 2).sum(axis=1) for row in wide])
    np.fill_diagonal(squares, np.inf)
    rows = np.broadcast_to(np.arange(len(x)), squares.shape)
    order = np.lexsort((rows, squares), axis=1)[:, :count]
    return np.take_along_axis(squares, order, axis=1), order


def same(x, count):
    cloud = Cloud(x)
    assert cloud.boxes is None
    squares, rows = find_nearest(cloud, count)
    want_squares, want_rows = wanted(x, count)
    np.testing.assert_array_equal(rows, want_rows)
    np.testing.assert_allclose(squares, want_squares, rtol=1e-14)


@pytest.fixture(params=[False, True])
def short(request, monkeypatch):
    """With all columns, and with shortened points."""
    monkeypatch.setattr(MODULE, "MANY", 100 if request.param else 10**9)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_many_points_at_one_distance(short, count):
    """More ties with the last neighbour than a list holds: exact squares and rows decide in between."""
    rng = np.random.default_rng(0)
    x = np.zeros((1300, 200), np.float32)
    x[np.arange(1300), rng.integers(0, 3, 1300)] = 1
    x[::5, 9] = rng.integers(1, 3, 260)
    same(x, count)
    assert (np.unique(wanted(x[:300], 20)[0], return_counts=True)[1] > 300).any()


def test_points_that_float32_squares_confuse(short):
    """One point in the middle of a sphere: what tells the others apart is below the error of a float32 square."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((900, 400))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[::100] = 0
    same(x.astype(np.float32), 11)


@pytest.mark.parametrize("scale", [2.0**-75, 2.0**60])
def test_squares_at_the_ends_of_float32(scale):
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((600, 40)) * scale).astype(np.float32)
    same(x, 5)
    tree = spanning_tree(x, 3)
    cores = wanted(x, 2)[0][:, -1]
    np.testing.assert_allclose(tree.cores, cores, rtol=1e-14)
    reach = np.maximum(cdist(x.astype(np.float64), x.astype(np.float64)), np.sqrt(np.maximum.outer(cores, cores)))
    np.testing.assert_allclose(
        tree.weights.sum(), minimum_spanning_tree(np.triu(reach / scale, 1)).sum() * scale, rtol=1e-12
    )


def test_fewer_points_than_a_block_or_a_list():
    rng = np.random.default_rng(3)
    for n in (2, 9, 30, MODULE.BLOCK + 1):
        same(rng.standard_normal((n, 40)).astype(np.float32), min(n - 1, 24))


def test_the_opening_bounds_the_last_neighbour():
    rng = np.random.default_rng(4)
    x, count = rng.standard_normal((MODULE.BLOCK, 40)).astype(np.float32), 8
    cloud, heap = Cloud(x), np.empty(count, np.float32)
    products, margin = cloud.short @ cloud.short.T, cloud.error * (2 * cloud.norms.max()) ** 2
    bounds = [
        product_search._bound_of_opening(products[r], cloud.half, r, cloud.norms[r] ** 2, margin, heap)
        for r in range(len(x))
    ]
    exact = wanted(x, count)[0][:, -1]
    assert (exact <= bounds).all() and (bounds < exact * 1.001).all()


def test_a_heap_keeps_the_smallest():
    rng = np.random.default_rng(6)
    heap, values = np.full(9, np.inf, np.float32), rng.integers(0, 30, 80).astype(np.float32)
    for value in values:
        if value < heap[0]:
            product_search._replace_largest(heap, value)
        assert heap[0] == heap.max()
    assert sorted(heap) == sorted(values)[:9]
