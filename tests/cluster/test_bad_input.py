"""What the density and hierarchical estimators do with input that is wrong, degenerate or laid out in another way."""

import numpy as np
import pytest

from uicgpu.cluster import DBSCAN, HDBSCAN, Hierarchical

MODELS = {
    "hdbscan": lambda: HDBSCAN(5, min_samples=3, device="cpu", threads=1),
    "hdbscan wide": lambda: HDBSCAN(5, min_samples=3, components=None, device="cpu", threads=1),
    "dbscan": lambda: DBSCAN(1.5, min_samples=3, device="cpu", threads=1),
    "hierarchical": lambda: Hierarchical(2, device="cpu", threads=1),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def two_groups(d, n=40):
    """Whole numbers, so that every type holds them: a group around 0 and one around 20."""
    rng = np.random.default_rng(0)
    return rng.integers(-1, 2, (n, d)) + 20 * (np.arange(n) % 2)[:, None]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_named(model, bad):
    x = two_groups(3).astype(np.float32)
    x[7, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.fit(x)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (5,), (2, 2, 2)])
def test_shapes_that_are_no_table_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"0 sample|0 feature|2D array|dim 3"):
        model.fit(np.zeros(shape, np.float32))


def test_text_is_refused(model):
    with pytest.raises(ValueError, match=r"could not convert|float"):
        model.fit([["a", "b"], ["c", "d"]])


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.int64, bool])
def test_every_type_of_number_gives_the_same_labels(model, dtype):
    x = two_groups(3)
    x = x > 5 if dtype is bool else x
    want = model.fit(x.astype(np.float32)).labels_
    assert set(want.tolist()) == {0, 1}
    np.testing.assert_array_equal(model.fit(x.astype(dtype)).labels_, want)


def test_every_layout_gives_the_same_labels(model, tmp_path):
    x = two_groups(4).astype(np.float32)
    want = model.fit(x).labels_
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    wide = np.zeros((40, 8), np.float32)
    wide[:, ::2] = x
    for other in (np.asfortranarray(x), mapped, wide[:, ::2], x[::-1][::-1], x.tolist()):
        np.testing.assert_array_equal(model.fit(other).labels_, want)
    np.testing.assert_array_equal(mapped, x)


@pytest.mark.parametrize("d", [1, 2, 45])
def test_copies_share_a_label(model, d):
    x = np.repeat(two_groups(d, 8), 6, axis=0).astype(np.float32)
    labels = model.fit(x).labels_.reshape(8, 6)
    assert (labels == labels[:, :1]).all()


def test_one_point_many_times(model):
    labels = model.fit(np.ones((30, 2), np.float32)).labels_
    if isinstance(model, DBSCAN):
        assert (labels == 0).all()
    elif isinstance(model, HDBSCAN):  # one group at every level: nothing to tell apart
        assert len(set(labels.tolist())) == 1
    else:
        assert sorted(set(labels.tolist())) == [0, 1]


def test_one_sample(model):
    x = np.ones((1, 3), np.float32)
    if isinstance(model, Hierarchical):
        with pytest.raises(ValueError, match="n_samples=1 should be >= n_clusters=2"):
            model.fit(x)
        assert Hierarchical(1, device="cpu").fit(x).labels_.tolist() == [0]
        return
    assert model.fit(x).labels_.tolist() == [-1]


def test_columns_without_spread_change_nothing(model):
    x = two_groups(2).astype(np.float32)
    still = np.concatenate((x, np.full((40, 3), 7, np.float32)), axis=1)
    np.testing.assert_array_equal(model.fit(still).labels_, model.fit(x).labels_)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-6, 1e6, 1e30, 1e150])
def test_any_scale(scale):
    x = two_groups(3).astype(np.float64) * scale
    for model in (HDBSCAN(5, min_samples=3, device="cpu"), Hierarchical(2, device="cpu")):
        labels = model.fit(x).labels_
        assert (labels == labels[0]).tolist() == [True, False] * 20


def test_new_points_are_checked_like_fitted_ones():
    model = HDBSCAN(5, min_samples=3, device="cpu").fit(two_groups(3).astype(np.float32))
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.full((1, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="4 features"):
        model.predict(np.zeros((1, 4), np.float32))
    assert model.predict(np.asfortranarray(two_groups(3), np.float64)).tolist() == model.labels_.tolist()


def test_a_mapped_file_is_only_read(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, two_groups(45).astype(np.float32))
    before = path.read_bytes()
    HDBSCAN(5, components=None, device="cpu").fit(np.load(path, mmap_mode="r"))
    assert path.read_bytes() == before
