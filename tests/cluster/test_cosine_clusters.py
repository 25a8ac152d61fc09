"""Clusters by direction, through the function that the pipeline calls, for every algorithm; and zero vectors there."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from uicgpu.cluster import assign_points, cluster_vectors, consensus, starts
from uicgpu.cluster.directions import as_directions
from uicgpu.cluster.lloyd import lloyd
from uicgpu.cluster.quality import cluster_quality
from uicgpu.cluster.stability import bootstrap_stability
from uicgpu.settings import Settings

ALGORITHMS = {
    "kmeans": {"k": 4},
    "consensus": {"k": 4, "consensus": 3},
    "k-means||": {"k": 4, "init": "k-means||"},
    "auto": {"k": "auto"},
    "hierarchical": {"algorithm": "hierarchical", "k": 4},
    "average": {"algorithm": "hierarchical", "k": 4, "linkage": "average"},
    "hdbscan": {"algorithm": "hdbscan"},
    "dbscan": {"algorithm": "dbscan"},
}
BY_NAME = pytest.mark.parametrize("name", ALGORITHMS)


def chosen(name, **more):
    return Settings(metric="cosine", **ALGORITHMS[name], **more)


@pytest.fixture(scope="module")
def rays(blobs):
    """360 points in four directions, of lengths between 1/8 and 8: their distances say little about the directions."""
    points, truth = blobs(360, 4, 12, spread=0.35)
    lengths = 2.0 ** np.random.default_rng(1).integers(-3, 4, len(points))
    return (points * lengths[:, None]).astype(np.float32), truth


def same(one, other):
    for field in ("labels", "second_labels", "confidence"):
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes()


@BY_NAME
def test_directions_are_found_where_distances_do_not_show_them(name, rays, backend):
    points, truth = rays
    found = cluster_vectors(points, chosen(name), backend)
    assert adjusted_rand_score(truth, found.labels) > 0.95
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-6)
    assert found.facts["metric"] == "cosine" and found.facts["without_direction"] == 0
    by_distance = cluster_vectors(points, Settings(**ALGORITHMS[name]), backend)
    assert adjusted_rand_score(truth, by_distance.labels) < 0.9
    assert "metric" not in by_distance.facts and "without_direction" not in by_distance.facts


@BY_NAME
def test_lengths_do_not_matter(name, rays, backend):
    points, _ = rays
    found = cluster_vectors(points, chosen(name), backend)
    for power in (10, 900, -900):
        longer = cluster_vectors(np.ldexp(points.astype(np.float64), power), chosen(name), backend)
        same(found, longer)
        assert found.centroids.tobytes() == longer.centroids.tobytes()


def test_kmeans_is_spherical(rays, backend):
    """Nearest direction by cosine, and every centre the direction of its members' mean, in float64."""
    points, _ = rays
    found = cluster_vectors(points, chosen("kmeans"), backend)
    units = points.astype(np.float64) / np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    cosines = units @ found.centroids.T.astype(np.float64)
    order = np.argsort(-cosines, axis=1, kind="stable")
    np.testing.assert_array_equal(found.labels, order[:, 0])
    np.testing.assert_array_equal(found.second_labels, order[:, 1])
    means = np.stack([units[found.labels == label].mean(axis=0) for label in range(4)])
    np.testing.assert_allclose(found.centroids, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    near, next_near = np.sqrt(2 - 2 * np.sort(cosines, axis=1)[:, :-3:-1]).T
    np.testing.assert_allclose(found.confidence, (next_near - near) / next_near, atol=1e-5)


@BY_NAME
@pytest.mark.parametrize("noise", ["assign", "keep"])
def test_a_zero_vector_is_in_the_largest_cluster_without_confidence_and_moves_nobody(name, noise, rays, backend):
    points, _ = rays
    without = cluster_vectors(points, chosen(name, noise=noise), backend)
    rows = np.sort(np.random.default_rng(2).permutation(367)[:360])
    padded = np.zeros((367, points.shape[1]), np.float32)
    padded[rows] = points
    nothing = np.setdiff1d(np.arange(367), rows)
    found = cluster_vectors(padded, chosen(name, noise=noise), backend)
    assert found.centroids.tobytes() == without.centroids.tobytes()
    for field in ("labels", "second_labels", "confidence"):
        np.testing.assert_array_equal(getattr(found, field)[rows], getattr(without, field))
    assert (found.labels[nothing] == 0).all() and (found.second_labels[nothing] == 1).all()
    assert (found.confidence[nothing] == 0).all()
    sizes = np.bincount(found.labels[found.labels >= 0])
    assert sizes.argmax() == 0
    assert found.facts["without_direction"] == 7
    assert "7 users with a zero vector have no direction" in found.facts["notes"][-1]


@BY_NAME
def test_users_with_nothing_at_all_are_one_cluster(name, backend):
    found = cluster_vectors(np.zeros((60, 3), np.float32), chosen(name), backend)
    assert found.labels.tolist() == found.second_labels.tolist() == [0] * 60
    assert found.centroids.tolist() == [[0, 0, 0]] and not found.confidence.any()
    same(found, assign_points(np.zeros((60, 3)), found.centroids, backend, found.model, metric="cosine"))


@BY_NAME
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_points_of_the_fit_and_longer_ones_are_placed_as_they_were(name, kind, rays, backend):
    points = np.concatenate([rays[0], np.zeros((3, rays[0].shape[1]), np.float32)]).astype(kind)
    if kind is np.float64:
        points *= 1 + 1e-9  # no float32 any more
    settings = chosen(name)
    found = cluster_vectors(points, settings, backend)
    same(found, assign_points(points, found.centroids, backend, found.model, settings.noise, "cosine"))
    longer = assign_points(points * 64, found.centroids, backend, found.model, settings.noise, "cosine")
    same(found, longer)


@BY_NAME
def test_threads_do_not_change_a_byte(name, rays, backend, two_threads):
    points = np.concatenate([rays[0], np.zeros((2, rays[0].shape[1]), np.float32)])
    one, two = (cluster_vectors(points, chosen(name), each) for each in (backend, two_threads))
    same(one, two)
    assert one.centroids.tobytes() == two.centroids.tobytes()


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float16])
def test_other_types_of_numbers(kind, backend):
    points = np.array([[9, 1], [0, 0], [90, 8], [1, 9], [10, 100], [3, 1]], kind)
    found = cluster_vectors(points, Settings(metric="cosine", k=2), backend)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("name", ["kmeans", "consensus", "k-means||", "auto"])
def test_every_fit_on_the_way_is_spherical(name, rays, backend, monkeypatch):
    """Those that compare numbers, starts and resamples too; and every one starts from unit vectors."""
    told = []

    def spy(points, start, *rest, directions, **given):
        told.extend({directions, bool(np.allclose(np.linalg.norm(start, axis=1), 1, atol=1e-5))})
        return lloyd(points, start, *rest, directions=directions, **given)

    for room in (starts, consensus):
        monkeypatch.setattr(room, "lloyd", spy)
    for metric in ("cosine", "euclidean"):
        settings = Settings(metric=metric, stability_runs=1, **ALGORITHMS[name])
        bootstrap_stability(rays[0], settings, backend, cluster_vectors(rays[0], settings, backend))
        assert len(told) > 1 and set(told) == {metric == "cosine"}
        told.clear()


def test_centres_whose_members_cancel_out_are_directions_too(backend):
    points = np.array([[0, 2], [0, -3]], np.float32)
    found = cluster_vectors(points, Settings(metric="cosine", algorithm="hierarchical", k=1), backend)
    np.testing.assert_array_equal(found.centroids, [[0, 1]])
    merged = cluster_vectors(np.repeat(points, 40, axis=0), Settings(metric="cosine", k=1, consensus=2), backend)
    np.testing.assert_allclose(np.linalg.norm(merged.centroids, axis=1), 1, atol=1e-6)


def test_quality_is_that_of_the_unit_vectors(rays, backend):
    points, _ = rays
    padded = np.concatenate([points, np.zeros((40, points.shape[1]), np.float32)])
    found = cluster_vectors(padded, chosen("kmeans"), backend)
    units, _ = as_directions(points)
    wanted = cluster_quality(units, cluster_vectors(points, chosen("kmeans"), backend), backend, 0)
    assert cluster_quality(padded, found, backend, 0, "cosine") == wanted
    assert wanted["silhouette"] > 0.4 > cluster_quality(padded, found, backend, 0)["silhouette"]


@pytest.mark.parametrize("name", ["kmeans", "hierarchical", "hdbscan"])
def test_stability_is_that_of_directions(name, rays, backend):
    points, _ = rays
    padded = np.concatenate([points, np.zeros((40, points.shape[1]), np.float32)])
    settings = chosen(name, stability_runs=3)
    measured = bootstrap_stability(padded, settings, backend, cluster_vectors(padded, settings, backend))
    assert measured["users"] == 360 and measured["mean"] > 0.95
    again = bootstrap_stability(points * 8, settings, backend, cluster_vectors(points * 8, settings, backend))
    assert again == measured
