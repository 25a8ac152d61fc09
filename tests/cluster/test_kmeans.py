import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans as TheirKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import check_estimator

from uicgpu.cluster import KMeans


def fit(points, k, **options):
    return KMeans(k, device="cpu", threads=options.pop("threads", 1), **options).fit(points)


def naive_lloyd(points, centres):
    """Ten lines of float64: the specification for data without empty clusters."""
    points, centres = points.astype(np.float64), centres.astype(np.float64)
    labels = None
    while True:
        new = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        if labels is not None and (new == labels).all():
            return labels, centres
        labels = new
        centres = np.stack([points[labels == label].mean(axis=0) for label in range(len(centres))])


@pytest.mark.parametrize("clusters", [1, 3])
def test_passes_the_estimator_checks_of_scikit_learn(clusters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks (pandas, array API) and duplicate points made by the checks
        results = check_estimator(KMeans(clusters, device="cpu", threads=1), on_fail=None)
    assert len(results) > 40
    assert [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"] == []


@pytest.mark.parametrize(("rows", "clusters", "dim", "seed"), [(60, 3, 2, 0), (200, 7, 5, 1), (500, 12, 33, 2)])
def test_equals_naive_lloyd_in_float64(rows, clusters, dim, seed):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((rows, dim)).astype(np.float32)
    start = points[rng.choice(rows, clusters, replace=False)]
    labels, centres = naive_lloyd(points, start)
    model = fit(points, clusters, init=start, tol=0)
    np.testing.assert_array_equal(model.labels_, labels)
    np.testing.assert_allclose(model.cluster_centers_, centres, atol=1e-6)
    assert model.inertia_ == pytest.approx(((points - centres[labels]) ** 2).sum(), rel=1e-6)


def test_same_start_gives_the_inertia_of_scikit_learn(blobs):
    points, _ = blobs(400, 9, 24, spread=1.5)
    start = points[:9]
    ours = fit(points, 9, init=start, tol=0)
    theirs = TheirKMeans(9, init=start, n_init=1, tol=0).fit(points)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-5)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)


def test_starts_are_not_worse_than_those_of_scikit_learn(blobs):
    points, truth = blobs(600, 12, 16, spread=0.4)
    ours = np.mean([fit(points, 12, random_state=seed).inertia_ for seed in range(8)])
    theirs = np.mean([TheirKMeans(12, n_init=1, random_state=seed).fit(points).inertia_ for seed in range(8)])
    assert ours <= theirs * 1.05
    assert adjusted_rand_score(truth, fit(points, 12, n_init=5).labels_) > 0.99


def test_equal_distances_go_to_the_lowest_id():
    points = np.array([[-4, 0], [4, 0], [0, 3], [0, -3], [0, 0]], np.float32)
    start = np.array([[4, 0], [-4, 0]], np.float32)
    model = fit(points, 2, init=start, max_iter=1, tol=0)
    # The three points on the axis between the two are equally far from both: after one step they sit with id 0.
    np.testing.assert_array_equal(model.cluster_centers_, [[1, 0], [-4, 0]])
    np.testing.assert_array_equal(
        fit(points, 2, init=start[::-1], max_iter=1, tol=0).cluster_centers_, [[-1, 0], [4, 0]]
    )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_integer_points_agree_with_float64_to_the_bit(data):
    """Small integers are exact in float32, so that labels must be equal even on ties."""
    dim, rows, clusters = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 25)), data.draw(st.integers(1, 6))
    numbers = st.integers(-4, 4)
    points = np.array(data.draw(st.lists(st.lists(numbers, min_size=dim, max_size=dim), min_size=rows, max_size=rows)))
    centres = np.array(
        data.draw(st.lists(st.lists(numbers, min_size=dim, max_size=dim), min_size=clusters, max_size=clusters))
    )
    if rows < clusters:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fit(points, clusters, init=centres.astype(np.float64), max_iter=30, tol=0)
    exact = ((points[:, None] - model.cluster_centers_) ** 2).sum(axis=2)
    chosen = exact[np.arange(rows), model.labels_]
    np.testing.assert_allclose(chosen, exact.min(axis=1), atol=1e-5)
    np.testing.assert_array_equal(model.labels_, model.predict(points))
    assert model.inertia_ == pytest.approx(chosen.sum(), abs=1e-9)
    occupied = np.unique(model.labels_).size
    assert occupied == min(clusters, len(np.unique(points, axis=0))) or model.n_iter_ == 30


def test_weights_are_the_same_as_repeated_rows():
    rng = np.random.default_rng(3)
    points = rng.standard_normal((80, 4)).astype(np.float32)
    weights = rng.integers(0, 4, 80)
    repeated = np.repeat(points, weights, axis=0)
    weighted = KMeans(5, device="cpu", tol=0).fit(points, sample_weight=weights)
    plain = KMeans(5, device="cpu", tol=0).fit(repeated)
    np.testing.assert_allclose(weighted.cluster_centers_, plain.cluster_centers_, atol=1e-6)
    np.testing.assert_array_equal(weighted.predict(repeated), plain.labels_)
    assert weighted.inertia_ == pytest.approx(plain.inertia_, rel=1e-6)


def test_the_scale_of_weights_does_not_matter():
    points = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    weights = np.random.default_rng(1).random(50)
    normal = KMeans(4, device="cpu").fit(points, sample_weight=weights)
    tiny = KMeans(4, device="cpu").fit(points, sample_weight=weights * 2.0**-200)
    np.testing.assert_array_equal(normal.labels_, tiny.labels_)


def test_empty_clusters_take_the_worst_placed_points():
    points = np.array([[0], [1], [2], [30]], np.float32)
    # Both far centres are empty: the first takes 30 (farthest), the second 2.
    model = fit(points, 3, init=np.array([[0], [1000], [2000]], np.float32), tol=0)
    np.testing.assert_array_equal(model.labels_, [0, 0, 2, 1])
    np.testing.assert_array_equal(model.cluster_centers_, [[0.5], [30], [2]])


def test_fewer_distinct_points_than_clusters():
    points = np.repeat(np.array([[0, 0], [5, 5]], np.float32), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match="2 distinct clusters, fewer than n_clusters=4"):
        model = fit(points, 4)
    assert model.inertia_ == 0
    assert len(set(model.labels_[:10])) == len(set(model.labels_[10:])) == 1
    assert model.labels_[0] != model.labels_[10]
    assert np.isfinite(model.cluster_centers_).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_input_names_the_argument(bad):
    points = np.ones((6, 2), np.float32)
    points[3, 1] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        fit(points, 2)
    model = fit(np.arange(12, dtype=np.float32).reshape(6, 2), 2)
    with pytest.raises(ValueError, match="Input X contains"):
        model.predict(points)
    with pytest.raises(ValueError, match="init contains"):
        fit(np.arange(12).reshape(6, 2), 2, init=np.array([[0.0, bad], [1, 1]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 0}, "n_clusters=0"),
        ({"n_clusters": 2.5}, "n_clusters=2.5"),
        ({"n_init": 0}, "n_init=0"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"tol": float("nan")}, "tol=nan"),
        ({"init": "random"}, "init='random'"),
        ({"init": np.zeros((3, 2))}, r"init has shape \(3, 2\)"),
        ({"random_state": -1}, "random_state=-1"),
        ({"n_clusters": 9}, "n_samples=8 should be >= n_clusters=9"),
    ],
)
def test_impossible_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        KMeans(**{"n_clusters": 2, "device": "cpu"} | options).fit(np.arange(16.0).reshape(8, 2))


@pytest.mark.parametrize("weights", [np.zeros(8), np.full(8, -1.0), np.full(8, np.nan), np.ones(7)])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match=r"(?i)weight"):
        KMeans(2, device="cpu").fit(np.arange(16.0).reshape(8, 2), sample_weight=weights)


def test_every_memory_layout_and_type_gives_the_same(tmp_path):
    points = np.random.default_rng(0).integers(-8, 9, (90, 6)).astype(np.float32)
    expected = fit(points, 4).labels_
    stored = np.memmap(tmp_path / "points", np.float32, "w+", shape=points.shape)
    stored[:] = points
    stored.flush()
    frozen = points.copy()
    frozen.flags.writeable = False
    forms = [points.astype(kind) for kind in (np.float16, np.float64, np.int8, np.int64)]
    forms += [np.asfortranarray(points), np.repeat(points, 2, axis=0)[::2], frozen]
    forms += [np.memmap(tmp_path / "points", np.float32, "r", shape=points.shape)]
    for form in forms:
        np.testing.assert_array_equal(fit(form, 4).labels_, expected, err_msg=f"{form.dtype} {form.flags}")
    assert fit(points, 4).cluster_centers_.dtype == np.float32
    assert fit(points.astype(np.float64), 4).cluster_centers_.dtype == np.float64


def test_large_offsets_in_float64_cost_no_digits(blobs):
    points, truth = blobs(120, 3, 4, spread=0.2)
    times = 1.7e9 + points.astype(np.float64)  # float32 steps are 128 here
    model = fit(times, 3, n_init=3)
    assert adjusted_rand_score(truth, model.labels_) == 1
    np.testing.assert_array_equal(model.predict(times), model.labels_)
    assert model.inertia_ == pytest.approx(fit(points, 3, n_init=3).inertia_, rel=1e-4)
    np.testing.assert_allclose(model.transform(times), cdist(times, model.cluster_centers_))


@pytest.mark.parametrize(("kind", "factor"), [(np.float32, 2.0**-90), (np.float32, 2.0**90), (np.float64, 2.0**400)])
def test_extreme_magnitudes(blobs, kind, factor):
    points, truth = blobs(60, 3, 4, spread=0.2)
    points = points.astype(kind)
    model = fit(points * kind(factor), 3, n_init=3)
    assert adjusted_rand_score(truth, model.labels_) == 1
    np.testing.assert_array_equal(model.labels_, fit(points, 3, n_init=3).labels_)
    np.testing.assert_allclose(model.cluster_centers_ / kind(factor), fit(points, 3, n_init=3).cluster_centers_)


def test_threads_do_not_change_a_byte(blobs):
    points, _ = blobs(3000, 6, 20, spread=2.0)
    one, two = fit(points, 17, threads=1), fit(points, 17, threads=2)
    for name in ("labels_", "cluster_centers_"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert (one.inertia_, one.n_iter_) == (two.inertia_, two.n_iter_)


def test_the_order_of_rows_does_not_change_the_start(blobs):
    points, _ = blobs(300, 5, 8, spread=0.5)
    order = np.random.default_rng(5).permutation(300)
    straight, shuffled = fit(points, 7, tol=0), fit(points[order], 7, tol=0)
    np.testing.assert_array_equal(straight.labels_[order], shuffled.labels_)


@pytest.mark.parametrize(("rows", "clusters"), [(1, 1), (2, 2), (5, 1), (7, 7)])
def test_one_cluster_and_one_per_point(rows, clusters):
    points = np.random.default_rng(0).standard_normal((rows, 1)).astype(np.float32)
    model = fit(points, clusters)
    assert np.unique(model.labels_).size == clusters
    if clusters == rows:
        assert model.inertia_ == 0
    else:
        assert model.inertia_ == pytest.approx(((points - points.mean()) ** 2).sum(), rel=1e-5)


def test_constant_columns_change_nothing(blobs):
    points, _ = blobs(80, 4, 3)
    padded = np.column_stack((points, np.full(80, 7, np.float32), np.zeros(80, np.float32)))
    start = points[:4]
    plain = fit(points, 4, init=start)
    wide = fit(padded, 4, init=np.column_stack((start, np.full(4, 7, np.float32), np.zeros(4, np.float32))))
    np.testing.assert_array_equal(plain.labels_, wide.labels_)
    np.testing.assert_array_equal(wide.cluster_centers_[:, 3:], np.tile([7, 0], (4, 1)))


def test_predict_transform_score_and_names(blobs):
    points, _ = blobs(100, 4, 5)
    model = fit(points, 4)
    new, _ = blobs(30, 4, 5, seed=9)
    distances = cdist(new, model.cluster_centers_)
    np.testing.assert_array_equal(model.predict(new), distances.argmin(axis=1))
    np.testing.assert_allclose(model.transform(new), distances, rtol=1e-6)
    assert model.transform(new).dtype == np.float32
    assert model.score(new) == pytest.approx(-(distances.min(axis=1) ** 2).sum())
    assert model.score(points) == pytest.approx(-model.inertia_)
    assert list(model.get_feature_names_out()) == ["kmeans0", "kmeans1", "kmeans2", "kmeans3"]
    assert model.labels_.dtype == np.int32


def test_seeds_repeat_and_the_global_generator_is_left_alone(blobs):
    points, _ = blobs(200, 6, 4, spread=2.0)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (fit(points, 9, random_state=seed).inertia_ for seed in (1, 1, 2))
    fit(points, 9, random_state=None)
    fit(points, 9, random_state=np.random.default_rng(0))
    assert first == again != other
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_more_starts_are_never_worse(blobs):
    points, _ = blobs(200, 9, 4, spread=1.0)
    assert fit(points, 9, n_init=6).inertia_ <= fit(points, 9, n_init=1).inertia_
