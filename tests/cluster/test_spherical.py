"""KMeans by cosine: directions instead of places."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import check_estimator

from uicgpu.cluster import KMeans


def fit(points, k, **options):
    return KMeans(k, metric="cosine", device="cpu", threads=options.pop("threads", 1), **options).fit(points)


def naive(points, centres, rounds):
    """Spherical KMeans in float64, for data without empty clusters."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    for _ in range(rounds):
        labels = (unit @ centres.T).argmax(axis=1)
        centres = np.stack([unit[labels == label].sum(axis=0) for label in range(len(centres))])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return centres, (unit @ centres.T).argmax(axis=1), unit


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_equals_spherical_lloyd_in_float64(kind):
    points = np.random.default_rng(0).standard_normal((300, 9)).astype(kind)
    start = points[:6]
    model = fit(points, 6, init=start, tol=0)
    centres, labels, unit = naive(points.astype(np.float64), start.astype(np.float64), model.n_iter_)
    np.testing.assert_array_equal(model.labels_, labels)
    np.testing.assert_allclose(model.cluster_centers_, centres, atol=1e-6 if kind is np.float32 else 1e-14)
    assert model.cluster_centers_.dtype == kind
    cosines = (unit * centres[labels]).sum(axis=1)
    assert model.inertia_ == pytest.approx(2 * (1 - cosines).sum(), rel=1e-6)
    np.testing.assert_allclose(model.transform(points), 1 - unit @ centres.T, atol=1e-6)
    assert model.score(points) == pytest.approx(-model.inertia_, rel=1e-6)


def test_two_directions_by_hand():
    """Long and short rows of one direction belong together; by distance the two short ones would."""
    points = np.array([[100, 0], [0.1, 0.01], [0, 50], [0.01, 0.1]], np.float32)
    labels = fit(points, 2).labels_
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert np.linalg.norm(fit(points, 2).cluster_centers_, axis=1) == pytest.approx([1, 1])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), power=st.integers(-60, 60))
def test_lengths_of_rows_do_not_matter(seed, power):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((40, 4)).astype(np.float32)
    scaled = np.ldexp(points, rng.integers(-5, 6, (40, 1)) + power).astype(np.float32)
    assert fit(points, 4).labels_.tobytes() == fit(scaled, 4).labels_.tobytes()


def test_a_row_of_zeros_is_refused_by_name():
    points = np.ones((9000, 3), np.float32)
    points[8999] = 0
    with pytest.raises(ValueError, match=r"X has only zeros in row 8999.*metric='cosine'"):
        fit(points, 2)
    model = fit(np.eye(3, dtype=np.float32), 2)
    with pytest.raises(ValueError, match="only zeros in row 0"):
        model.predict(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="init has only zeros in row 1"):
        fit(np.eye(3, dtype=np.float32), 2, init=np.array([[1, 0, 0], [0, 0, 0]], np.float32))


def test_members_that_cancel_out_leave_the_centre_where_it_was():
    points = np.array([[1, 0], [-1, 0]], np.float32)
    model = fit(points, 1, init=np.array([[0, 1]], np.float32))
    np.testing.assert_array_equal(model.cluster_centers_, [[0, 1]])


def test_threads_and_order_do_not_change_the_result(blobs):
    points, _ = blobs(2000, 6, 12, spread=1.5)
    one, two = fit(points, 9), fit(points, 9, threads=2)
    assert one.labels_.tobytes() == two.labels_.tobytes()
    assert one.cluster_centers_.tobytes() == two.cluster_centers_.tobytes()
    order = np.random.default_rng(0).permutation(2000)
    np.testing.assert_allclose(fit(points[order], 9).cluster_centers_, one.cluster_centers_, atol=1e-6)


def test_weights_count_like_repeated_rows():
    rng = np.random.default_rng(3)
    points, weights = rng.standard_normal((80, 4)).astype(np.float32), rng.integers(0, 4, 80)
    weighted = KMeans(5, metric="cosine", device="cpu", tol=0).fit(points, sample_weight=weights)
    plain = fit(np.repeat(points, weights, axis=0), 5, tol=0)
    np.testing.assert_allclose(weighted.cluster_centers_, plain.cluster_centers_, atol=1e-6)


def test_empty_clusters_are_filled():
    points = np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0.2]], np.float32)
    model = fit(points, 3, init=np.array([[1, 0], [0, -1], [-0.1, -1]], np.float32), tol=0)
    assert len(set(model.labels_)) == 3


def test_an_unknown_metric_is_named():
    with pytest.raises(ValueError, match="metric='manhattan' should be 'euclidean' or 'cosine'"):
        KMeans(2, metric="manhattan").fit(np.eye(3))


def test_passes_the_estimator_checks_of_scikit_learn_but_one_with_a_row_of_zeros():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks (pandas, array API) and duplicate points made by the checks
        results = check_estimator(KMeans(3, metric="cosine", device="cpu", threads=1), on_fail=None)
    failed = {each["check_name"]: str(each["exception"]) for each in results if each["status"] == "failed"}
    assert failed.keys() == {"check_estimators_dtypes"} and "only zeros" in failed["check_estimators_dtypes"]
