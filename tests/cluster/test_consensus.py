import itertools

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from uicgpu.cluster import cluster_vectors, consensus, stability
from uicgpu.cluster.consensus import fit_consensus, merge_centres
from uicgpu.cluster.starts import fit_kmeans
from uicgpu.settings import Settings


def cloud(rows=300, dim=6, seed=0):
    """Eight groups that overlap so much that KMeans ends in another optimum for each seed."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, dim))
    return (centres[np.arange(rows) % 8] + 0.8 * rng.standard_normal((rows, dim))).astype(np.float32)


def between_seeds(fit):
    labels = [fit(seed).labels for seed in range(5)]
    return np.mean([adjusted_rand_score(one, other) for one, other in itertools.combinations(labels, 2)])


def test_centres_are_merged_by_ward_and_weighted(backend):
    centres = np.array([[0.0], [104.0], [2.0], [100.0]], np.float32)
    merged = merge_centres(centres, np.array([1.0, 1.0, 3.0, 1.0]), 2, 0, backend)
    assert sorted(merged.ravel().tolist()) == [1.5, 102.0]


def test_groups_that_are_there_are_found(backend, blobs):
    vectors, truth = blobs(240, 6, 12, spread=0.2)
    found = fit_consensus(vectors, 6, 0, backend, 5)
    assert adjusted_rand_score(found.labels, truth) == 1.0
    assert (found.starts, found.lloyd.converged) == (5, True)


def test_seeds_agree_more_than_without(backend):
    x = cloud()
    plain = between_seeds(lambda seed: fit_kmeans(x, 12, seed, backend))
    steadier = between_seeds(lambda seed: fit_consensus(x, 12, seed, backend, 20))
    assert steadier > plain + 0.05


def test_every_point_is_with_the_nearest_centre_and_centres_are_means(backend):
    x = cloud()
    found = fit_consensus(x, 9, 3, backend, 8)
    nearest = backend.assign(x, found.lloyd.centroids).labels
    np.testing.assert_array_equal(found.labels, nearest)
    for cluster in range(9):
        np.testing.assert_allclose(found.lloyd.centroids[cluster], x[nearest == cluster].mean(axis=0), atol=1e-5)


def test_same_bytes_at_any_thread_count(backend, two_threads):
    x = cloud(400, 20)
    one, two = (fit_consensus(x, 7, 1, each, 6) for each in (backend, two_threads))
    assert one.lloyd.centroids.tobytes() == two.lloyd.centroids.tobytes()
    assert one.labels.tobytes() == two.labels.tobytes()


@pytest.mark.parametrize(("clusters", "runs"), [(5, 0), (1, 9)])
def test_without_runs_or_for_one_cluster_it_is_the_plain_fit(clusters, runs, backend):
    x = cloud()
    ours, plain = fit_consensus(x, clusters, 2, backend, runs), fit_kmeans(x, clusters, 2, backend)
    assert ours.lloyd.centroids.tobytes() == plain.lloyd.centroids.tobytes()
    assert (ours.starts, ours.sample) == (plain.starts, plain.sample)


def test_points_without_weight_found_no_cluster(backend, blobs):
    vectors, truth = blobs(120, 3, 5, spread=0.1)
    far = np.full((10, 5), 50, np.float32)
    weights = np.concatenate([np.ones(120), np.zeros(10)])
    found = fit_consensus(np.concatenate([vectors, far]), 3, 0, backend, 4, weights=weights)
    assert adjusted_rand_score(found.labels[:120], truth) == 1.0


@pytest.mark.parametrize("distinct", [1, 3])
def test_fewer_distinct_points_than_clusters(distinct, backend):
    x = np.repeat(np.eye(3, dtype=np.float32)[:distinct], 20, axis=0)
    assert fit_consensus(x, 8, 0, backend, 4).lloyd.centroids.shape[0] == distinct


def test_a_resample_draws_by_weight():
    weights = np.array([0, 1, 9] * 100, np.float64)
    counts = consensus._resample(300, weights, 0).reshape(100, 3).sum(axis=0)
    assert counts[0] == 0 and counts.sum() == 300
    assert counts[1] == pytest.approx(30, abs=15)


def test_a_resample_is_bounded(backend, monkeypatch):
    monkeypatch.setattr(consensus, "START_SAMPLE", 60)
    assert 30 < fit_consensus(cloud(), 4, 0, backend, 3).sample <= 60


def test_stability_is_that_of_the_consensus(backend, monkeypatch):
    asked = []
    monkeypatch.setattr(
        stability, "fit_consensus", lambda *given, **named: (asked.append(given[4]), fit_consensus(*given, **named))[1]
    )
    settings = Settings(k=4, stability_runs=2, consensus=3)
    clustering = cluster_vectors(cloud(), settings, backend)
    stability.bootstrap_stability(cloud(), settings, backend, clustering)
    assert asked == [3, 3]


def test_facts_tell_the_number_of_fits_and_where_it_does_not_apply(backend, blobs):
    vectors, _ = blobs(90, 3, 5)
    assert cluster_vectors(vectors, Settings(k=3, consensus=4), backend).facts["consensus"] == 4
    other = cluster_vectors(vectors, Settings(k=3, consensus=4, algorithm="hierarchical"), backend)
    assert other.facts["notes"] == ["no consensus: it is made of KMeans fits, and the algorithm is hierarchical"]
