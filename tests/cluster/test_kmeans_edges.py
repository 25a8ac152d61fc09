"""What KMeans and its batches do with inputs at the edge: right results, or an error that names the argument."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from uicgpu.cluster import KMeans, MiniBatchKMeans
from uicgpu.kernels.segment_reduce.repeated import _move

WAYS = [(KMeans, "euclidean"), (KMeans, "cosine"), (MiniBatchKMeans, "euclidean"), (MiniBatchKMeans, "cosine")]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0].__name__} {way[1]}")
def make(request):
    kind, metric = request.param
    return lambda k, **options: kind(k, metric=metric, device="cpu", threads=1, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite(make, bad):
    points = np.ones((6, 2), np.float32)
    points[3, 1] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        make(2).fit(points)
    with pytest.raises(ValueError, match="init contains NaN or infinity"):
        make(2, init=np.array([[1, bad], [1, 1]])).fit(np.ones((6, 2)))


def test_fewer_rows_than_clusters(make):
    with pytest.raises(ValueError, match="n_samples=3 should be >= n_clusters=4"):
        make(4).fit(np.ones((3, 2)))


def test_another_number_of_columns_or_dimensions(make):
    model = make(2).fit(np.eye(3))
    with pytest.raises(ValueError, match="2 features"):
        model.predict(np.ones((4, 2)))
    with pytest.raises(ValueError, match="Expected 2D array"):
        make(1).fit(np.ones(4))
    with pytest.raises(ValueError, match=r"init has shape \(1, 3\), expected \(2, 3\)"):
        make(2, init=np.ones((1, 3))).fit(np.eye(3))


def test_one_cluster_and_one_row(make):
    points = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    assert (make(1).fit(points).labels_ == 0).all()
    single = make(1).fit(points[:1])
    assert single.labels_.tolist() == [0] and single.inertia_ == pytest.approx(0, abs=1e-12)


def test_one_column(make):
    points = np.array([[1], [2], [-1], [-5]], np.float32)
    labels = make(2).fit(points).labels_
    assert labels[0] == labels[1] != labels[3]


def test_all_rows_the_same(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make(3).fit(np.full((50, 4), 2.5, np.float32))
    assert len(set(model.labels_)) == 1 and model.inertia_ == pytest.approx(0, abs=1e-9)
    assert np.isfinite(model.cluster_centers_).all()


def test_a_constant_column(make):
    points = np.random.default_rng(1).standard_normal((80, 3)).astype(np.float32)
    points[:, 1] = 7
    model = make(4).fit(points)
    assert len(set(model.labels_)) == 4 and np.isfinite(model.inertia_)


@pytest.mark.parametrize("kind", ["float64", "float16", "int8", "bool", "fortran", "strided", "list"])
def test_types_and_layouts(make, kind):
    whole = np.random.default_rng(2).integers(0, 2 if kind == "bool" else 9, (120, 6)).astype(np.float32) + 1
    whole -= kind == "bool"
    whole[(whole == 0).all(axis=1), 0] = 1
    given = {
        "fortran": np.asfortranarray(whole),
        "strided": np.repeat(whole, 2, axis=0)[::2],
        "list": whole.tolist(),
    }.get(kind)
    model = make(4).fit(whole.astype(kind) if given is None else given)
    want = make(4).fit(whole if kind in ("fortran", "strided") else whole.astype(np.float64))
    np.testing.assert_array_equal(model.labels_, want.labels_)
    np.testing.assert_allclose(model.cluster_centers_, want.cluster_centers_, atol=1e-6)


def test_sums_reach_rows_beyond_2_to_31_numbers(tmp_path):
    """A sparse file of 8.6 GB, of which one row is touched: places in it are counted in 64 bits."""
    rows, dim = 2**24 + 10, 128
    points = np.memmap(tmp_path / "sparse", np.float32, "w+", shape=(rows, dim))
    points[rows - 1] = np.arange(dim)
    old, new = np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
    sums = np.zeros((1, dim), np.int64)
    _move(points, np.ones(rows, np.float32), np.array([rows - 1]), old, new, np.ones(dim), 0, dim, sums)
    assert sums[0].tolist() == list(range(dim))
