"""Products of shortened points exclude, they never decide: the same bytes as with all columns."""

import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.spanning_tree import attach, spanning_tree
from uicgpu.kernels.spanning_tree import nearest as find_nearest
from uicgpu.kernels.spanning_tree.nearest import SHORT, Cloud

MODULE = sys.modules[Cloud.__module__]


def texts(n, d=384, seed=0, whole=False):
    """Unit vectors with a falling spectrum around a few topics, some of them equal."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, d + 1) ** -0.8
    x = (rng.standard_normal((12, d))[rng.integers(0, 12, n)] + 0.7 * rng.standard_normal((n, d))) * scale
    x[n // 2 :: 5] = x[: len(x[n // 2 :: 5])]
    x = x @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.rint(x * 20).astype(np.float32) if whole else x.astype(np.float32)


def results(x, queries):
    cloud = Cloud(x)
    tree = spanning_tree(x, 5)
    return cloud, [*find_nearest(cloud, 9), *tree, *attach(cloud, tree.cores, queries, 5)]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", [1300, 2500])
def test_the_same_bytes_as_with_all_columns(n, whole, monkeypatch):
    x, queries = texts(n, whole=whole), texts(700, seed=1, whole=whole)
    cloud, wanted = results(x, queries)
    assert cloud.axes is None and cloud.short.shape[1] == 384
    monkeypatch.setattr(MODULE, "MANY", 100)
    cloud, found = results(x, queries)
    assert cloud.axes is not None and cloud.short.shape[1] == SHORT
    np.testing.assert_array_equal(cloud.near, x[cloud.order])
    np.testing.assert_array_equal(cloud.order[cloud.places], np.arange(n))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    threads = find_nearest(cloud, 9, run=lambda function, parts: run_in_order(function, parts, 2))
    assert [part.tobytes() for part in threads] == [part.tobytes() for part in wanted[:2]]


def test_shortened_points_are_never_farther_apart(monkeypatch):
    monkeypatch.setattr(MODULE, "MANY", 100)
    x = texts(600)
    cloud = Cloud(x)
    exact = cdist(cloud.near.astype(np.float64), cloud.near.astype(np.float64), "sqeuclidean")
    short = cdist(cloud.short.astype(np.float64), cloud.short.astype(np.float64), "sqeuclidean")
    reach = (cloud.norms[:, None] + cloud.norms) ** 2
    assert (short <= exact + cloud.error * reach).all()
    products = cloud.short @ cloud.short.T - cloud.half
    assert (cloud.norms[:, None] ** 2 - 2 * products <= exact + cloud.error * reach).all()
    assert np.median(short / np.maximum(exact, 1e-9)) > 0.5  # and not for nothing
    np.testing.assert_allclose(np.linalg.norm(cloud.short, axis=1), cloud.norms, rtol=1e-6)


def test_points_of_no_direction_keep_their_columns(monkeypatch):
    monkeypatch.setattr(MODULE, "MANY", 100)
    rng = np.random.default_rng(0)
    assert Cloud(rng.standard_normal((900, 384)).astype(np.float32)).axes is None  # flat
    assert Cloud(texts(900, d=100)).axes is None  # too few columns to save any
    assert Cloud(np.ones((900, 384), np.float32)).axes is not None  # all in one point: any direction does
