import warnings

import numpy as np
import pytest
from sklearn import cluster as theirs
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import check_estimator

from uicgpu.cluster import DBSCAN, HDBSCAN, cluster_vectors
from uicgpu.cluster.density import knee_radius
from uicgpu.cluster.reduce import reduce_points
from uicgpu.settings import Settings


@pytest.mark.parametrize("estimator", [HDBSCAN(device="cpu", threads=1), DBSCAN(device="cpu", threads=1)])
def test_passes_the_estimator_checks_of_scikit_learn(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None)
    assert [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"] == []


def test_hdbscan_finds_groups_and_noise(blobs):
    groups, truth = blobs(300, 3, 6, spread=0.15)
    points = np.concatenate((groups, 5 * np.eye(6, dtype=np.float32)[:3]))
    model = HDBSCAN(15, device="cpu").fit(points)
    assert adjusted_rand_score(truth, model.labels_[:300]) > 0.9
    assert (model.labels_[300:] == -1).all()
    assert ((model.probabilities_ > 0) == (model.labels_ >= 0)).all()
    assert model.probabilities_.max() <= 1
    assert model.facts_["min_samples"] == 10


def test_hdbscan_on_all_columns_equals_scikit_learn(blobs):
    points, truth = blobs(300, 3, 60, spread=0.4)
    ours = HDBSCAN(15, min_samples=5, components=None, device="cpu").fit(points)
    want = theirs.HDBSCAN(min_cluster_size=15, min_samples=5, copy=True).fit(points.astype(np.float64))
    assert adjusted_rand_score(ours.labels_, want.labels_) == 1 and adjusted_rand_score(truth, ours.labels_) > 0.9
    assert ours.facts_["dimensions"] == 60


def test_dbscan_counts_the_point_itself():
    line = np.array([[0], [1], [2], [10]], np.float32)
    np.testing.assert_array_equal(DBSCAN(1.0, min_samples=3, device="cpu").fit(line).labels_, [0, 0, 0, -1])
    np.testing.assert_array_equal(DBSCAN(1.0, min_samples=4, device="cpu").fit(line).labels_, [-1, -1, -1, -1])
    np.testing.assert_array_equal(DBSCAN(1.0, min_samples=2, device="cpu").fit(line).labels_, [0, 0, 0, -1])


def test_dbscan_equals_scikit_learn(blobs):
    points, _ = blobs(200, 4, 5, spread=0.6)
    ours = DBSCAN(0.4, min_samples=6, device="cpu").fit(points)
    np.testing.assert_array_equal(ours.labels_, theirs.DBSCAN(eps=0.4, min_samples=6).fit(points).labels_)
    assert ours.eps_ == 0.4


def test_eps_keeps_its_unit_when_points_are_scaled(backend):
    line = np.array([[0], [1], [2], [10]], np.float32) * np.float32(2.0**60)
    model = DBSCAN(2.0**60, min_samples=3, device="cpu").fit(line)
    np.testing.assert_array_equal(model.labels_, [0, 0, 0, -1])
    assert model.eps_ == 2.0**60
    found = cluster_vectors(line, Settings(algorithm="dbscan", eps=2.0**60, min_samples=3, noise="keep"), backend)
    assert found.labels.tolist() == [0, 0, 0, -1] and found.facts["eps"] == 2.0**60


def test_the_knee_separates_dense_from_sparse(blobs):
    groups, truth = blobs(400, 4, 4, spread=0.1)
    scattered = np.random.default_rng(1).uniform(-3, 3, (40, 4)).astype(np.float32)
    model = DBSCAN(device="cpu").fit(np.concatenate((groups, scattered)))
    assert adjusted_rand_score(truth, model.labels_[:400]) == 1
    assert (model.labels_[400:] == -1).mean() > 0.9


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_the_knee_of_identical_points_is_positive(rows):
    assert knee_radius(np.ones((rows, 2), np.float32), 10) > 0


def test_the_knee_by_hand():
    # Nearest-neighbour distances 1, 1, 1, 1, 7: the chord from 1 to 7 is farthest above the curve at the fourth point.
    points = np.array([[0], [1], [2], [3], [10]], np.float32)
    assert knee_radius(points, 2) == 1


@pytest.mark.parametrize("model", [HDBSCAN(5, device="cpu"), DBSCAN(device="cpu")])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_few_points_are_noise(model, rows):
    labels = model.fit(np.arange(rows, dtype=np.float32)[:, None]).labels_
    np.testing.assert_array_equal(labels, -1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HDBSCAN(1), "min_cluster_size=1"),
        (HDBSCAN(5, min_samples=1), "min_samples=1"),
        (HDBSCAN(5, components=31), "components=31"),
        (DBSCAN(0.0), "eps=0.0"),
        (DBSCAN(min_samples=1), "min_samples=1"),
        (DBSCAN(components=0), "components=0"),
    ],
)
def test_impossible_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(np.eye(5))


def test_reduction_keeps_distances_along_the_axes(backend):
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 20)) + 3
    reduced, projection, facts = reduce_points(plane.astype(np.float32), 2, backend)
    wide = np.linalg.norm(plane[:, None] - plane, axis=2)
    np.testing.assert_allclose(np.linalg.norm(reduced[:, None] - reduced, axis=2), wide, atol=1e-4)
    assert facts == {"dimensions": 2, "variance_kept": pytest.approx(1, abs=1e-5)}
    np.testing.assert_array_equal(projection.apply(plane[7:9].astype(np.float32), backend), reduced[7:9])
    same, nothing, facts = reduce_points(plane.astype(np.float32), 20, backend)
    assert nothing.apply(plane, backend) is plane
    assert facts["dimensions"] == 20
    np.testing.assert_array_equal(same, plane.astype(np.float32))
