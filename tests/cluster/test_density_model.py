"""Later points join density clusters: fitted ones exactly where they were, new ones where the density says."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from uicgpu.cluster import DBSCAN, HDBSCAN, assign_points, cluster_vectors
from uicgpu.cluster.assign import Membership
from uicgpu.cluster.density_model import Radius, Reachability, model_from_state
from uicgpu.cluster.soft import exemplars_of
from uicgpu.settings import Settings


@pytest.fixture(scope="module")
def digits():
    """Real vectors with noise: 1,797 scanned digits of 64 pixels, from scikit-learn's own package."""
    return load_digits().data.astype(np.float32)


def equal(found: Membership, wanted: Membership):
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.second_labels, wanted.second_labels)
    assert found.confidence.tobytes() == wanted.confidence.tobytes()


@pytest.mark.parametrize("noise", ["assign", "keep"])
@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_fitted_users_get_what_they_got(algorithm, noise, digits, backend, two_threads):
    setting = Settings(algorithm=algorithm, noise=noise, min_cluster_size=30, min_samples=5)
    clustering = cluster_vectors(digits, setting, backend)
    assert clustering.facts["noise"] > 50 and len(clustering.centroids) >= 3
    # from the file's arrays, in another order and company, with another number of threads
    model = model_from_state({name: array.copy() for name, array in clustering.model.state().items()})
    order = np.random.default_rng(0).permutation(len(digits))[:700]
    found = assign_points(digits[order], clustering.centroids, two_threads, model, noise)
    equal(
        found,
        Membership(*(part[order] for part in (clustering.labels, clustering.second_labels, clustering.confidence))),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(8, 80),
    d=st.integers(1, 4),
    size=st.integers(2, 6),
    low=st.integers(2, 6),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["whole", "normal", "float64"]),
    algorithm=st.sampled_from(["hdbscan", "dbscan"]),
    noise=st.sampled_from(["assign", "keep"]),
)
def test_any_fitted_points_get_what_they_got(n, d, size, low, seed, kind, algorithm, noise, backend):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n, d)).astype(np.float32) if kind == "whole" else rng.standard_normal((n, d)) + 5
    x = x if kind == "float64" else x.astype(np.float32)
    setting = Settings(algorithm=algorithm, noise=noise, min_cluster_size=size, min_samples=low, eps=1.0)
    clustering = cluster_vectors(x, setting, backend)
    if clustering.model is None:
        assert len(clustering.centroids) == 1
        return
    if algorithm == "dbscan" and kind == "float64":  # confidence by centroids, which were rounded on their way out
        got = assign_points(x, clustering.centroids, backend, clustering.model, "keep")
        inside = clustering.model.place(x, backend) >= 0
        np.testing.assert_array_equal(got.labels[inside], clustering.labels[inside])
        return
    equal(assign_points(x, clustering.centroids, backend, clustering.model, noise), clustering)


@pytest.mark.parametrize("model", [HDBSCAN(15, device="cpu"), DBSCAN(min_samples=6, device="cpu")])
def test_predict_repeats_fit_and_places_new_points(model, backend, blobs):
    points, truth = blobs(600, 3, 20, spread=0.3)
    model.fit(points[:400])
    np.testing.assert_array_equal(model.predict(points[:400]), model.labels_)
    new = model.predict(points[400:])
    for group in range(3):
        found = new[truth[400:] == group]
        known = model.labels_[truth[:400] == group]
        assert set(found[found >= 0]) == set(known[known >= 0]) and (found >= 0).mean() > 0.7
    far = np.full((3, 20), 9, np.float32)
    assert (model.predict(far) == -1).all()


def test_dbscan_by_hand(backend):
    # core points 1 (of 0, 1, 2) and 11 (of 10, 11, 12): 2 is on the rim of the first, 5.9 and 6.1 reach nothing
    line = np.array([[0], [1], [2], [10], [11], [12]], np.float32)
    model = DBSCAN(1.0, min_samples=3, device="cpu").fit(line)
    new = np.array([[2], [1.5], [2.1], [5.9], [10], [11.9]], np.float32)
    assert model.predict(new).tolist() == [0, 0, -1, -1, 1, 1]


def test_noise_between_two_centroids_goes_where_it_went(backend):
    # the group on the right comes second but is larger; 0 is as far from one as from the other
    line = np.array([[-4]] * 3 + [[4]] * 5 + [[0]], np.float32)
    clustering = cluster_vectors(line, Settings(algorithm="dbscan", eps=1.0, min_samples=3), backend)
    assert clustering.labels.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 1]  # the first of the fit, the second by size
    equal(assign_points(line, clustering.centroids, backend, clustering.model), clustering)


def test_hdbscan_by_hand():
    # two groups of four at distance 1 from each other's neighbour, 7 apart; core distances with 2 are all 1
    line = np.array([[0], [1], [2], [3], [10], [11], [12], [13]], np.float32)
    model = HDBSCAN(4, min_samples=2, device="cpu").fit(line)
    assert model.labels_.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    # 5 reaches 3 at max(core, distance) = 3 below the merge at 7, and so does 8 with 10; 30 reaches 13 at 18 only
    assert model.predict(np.array([[5], [8], [30]], np.float32)).tolist() == [0, 1, -1]
    # at 20 the second nearest fitted point is 8 away: its core distance is over the level of the merge
    assert model.predict(np.array([[19.5], [20]], np.float32)).tolist() == [-1, -1]
    assert model.predict(np.array([[18.9]], np.float32)).tolist() == [1]


def test_memberships_fall_with_distance(backend):
    rng = np.random.default_rng(0)
    centres = np.array([[1, 1], [11, 1], [1, 31]], np.float32)
    x = (np.repeat(centres, 60, axis=0) + rng.standard_normal((180, 2))).astype(np.float32)
    clustering = cluster_vectors(x, Settings(algorithm="hdbscan", min_cluster_size=20, min_samples=5), backend)
    assert len(clustering.centroids) == 3
    names = assign_points(centres, clustering.centroids, backend, clustering.model).labels
    assert len(set(names)) == 3
    path = centres[0] + np.linspace(0, 9.5, 20)[:, None] * np.array([[1, 0]])
    found = assign_points(path, clustering.centroids, backend, clustering.model)
    assert found.labels[0] == names[0] and found.labels[-1] == names[1]
    assert set(found.second_labels[:4]) == {names[1]} and set(found.second_labels[-4:]) == {names[0]}
    assert found.confidence[0] > 0.8 > 0.6 > found.confidence[9:11].max()
    away = centres[0] - np.linspace(0, 20, 21)[:, None] * np.array([[1, 0]])
    found, kept = (
        assign_points(away, clustering.centroids, backend, clustering.model, noise) for noise in ("assign", "keep")
    )
    lost = kept.labels < 0
    assert lost[-1] and not lost[0] and (np.diff(lost.astype(int)) >= 0).all()
    assert (kept.confidence[lost] == 0).all() and (found.labels == names[0]).all()
    np.testing.assert_array_equal(kept.second_labels[lost], found.labels[lost])
    assert (np.diff(found.confidence[5:]) < 0).all() and found.confidence[-1] < 0.2
    assert found.confidence.min() >= 0 and found.confidence.max() <= 1


def test_users_without_vectors_have_no_confidence(backend, blobs):
    points, _ = blobs(200, 2, 4, spread=0.2)
    points[:30] = 0
    clustering = cluster_vectors(points, Settings(algorithm="hdbscan", min_cluster_size=20), backend)
    assert (clustering.labels >= 0).all() and (clustering.confidence[:30] == 0).all()
    assert (clustering.confidence[30:] > 0).all()


def test_exemplars_are_the_deepest_peaks():
    labels = np.array([0] * 20 + [1] * 3 + [-1], np.int32)
    cores = np.concatenate((np.arange(20)[::-1], [2.0, 1.0, 3.0], [0.0]))
    peaks = np.ones(24, bool)
    peaks[[19, 23]] = False
    rows, clusters = exemplars_of(labels, cores, peaks)
    assert rows.tolist() == [*range(18, 2, -1), 21, 20, 22] and clusters.tolist() == [0] * 16 + [1] * 3


def test_what_is_kept_is_named(backend, blobs):
    points, _ = blobs(300, 3, 6, spread=0.2)
    for algorithm, kind in (("hdbscan", Reachability), ("dbscan", Radius)):
        model = cluster_vectors(points, Settings(algorithm=algorithm), backend).model
        assert isinstance(model, kind) and isinstance(model_from_state(model.state()), kind)
    assert cluster_vectors(points, Settings(algorithm="hierarchical", k=3), backend).model is None
    assert model_from_state({}) is None
