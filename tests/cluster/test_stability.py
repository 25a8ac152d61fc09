import json

import numpy as np
import pytest

from uicgpu.cluster import cluster_vectors, stability
from uicgpu.cluster.consensus import fit_consensus
from uicgpu.cluster.stability import bootstrap_stability
from uicgpu.settings import Settings


def stable(vectors, settings, backend):
    return bootstrap_stability(vectors, settings, backend, cluster_vectors(vectors, settings, backend))


@pytest.mark.parametrize("algorithm", ["kmeans", "hdbscan", "dbscan", "hierarchical"])
def test_separated_groups_always_come_back(algorithm, backend, blobs):
    vectors, _ = blobs(240, 3, 10, spread=0.2)
    found = stable(vectors, Settings(algorithm=algorithm, k=3, stability_runs=3), backend)
    assert (found["runs"], found["users"], len(found["ari"])) == (3, 240, 3)
    assert found["mean"] > 0.97
    assert found["low"] <= found["mean"] <= found["high"] <= 1
    json.dumps(found, allow_nan=False)


def test_groups_cut_out_of_a_uniform_cloud_do_not(backend):
    vectors = np.random.default_rng(0).standard_normal((300, 12)).astype(np.float32)
    found = stable(vectors, Settings(k=10), backend)
    assert found["mean"] < 0.5
    # Student's t with four degrees of freedom: 2.776.
    reach = 2.7764451 * np.std(found["ari"], ddof=1) / np.sqrt(5)
    assert (found["low"], found["high"]) == pytest.approx((found["mean"] - reach, found["mean"] + reach))
    assert found["mean"] == pytest.approx(np.mean(found["ari"]))


def test_same_numbers_at_any_thread_count_and_other_ones_for_another_seed(backend, two_threads, blobs):
    vectors, _ = blobs(200, 3, 6, spread=2.0)
    one = stable(vectors, Settings(k=5), backend)
    assert one == stable(vectors, Settings(k=5), two_threads)
    assert one != stable(vectors, Settings(k=5, seed=1), backend)


@pytest.mark.parametrize(("runs", "k"), [(0, 3), (4, 1)])
def test_no_figure_without_runs_or_for_one_cluster(runs, k, backend, blobs):
    vectors, _ = blobs(50, 3, 4)
    found = stable(vectors, Settings(k=k, stability_runs=runs), backend)
    assert (found["runs"], found["mean"], found["low"], found["ari"]) == (0, None, None, [])


def test_one_run_has_no_interval(backend, blobs):
    vectors, _ = blobs(50, 3, 4)
    found = stable(vectors, Settings(k=3, stability_runs=1), backend)
    assert found["mean"] == found["ari"][0]
    assert (found["sd"], found["low"], found["high"]) == (None, None, None)


def test_large_input_is_sampled_and_progress_told(backend, blobs, monkeypatch):
    monkeypatch.setattr(stability, "SAMPLE", 80)
    vectors, _ = blobs(200, 3, 4)
    settings = Settings(k=3, stability_runs=2)
    told = []
    found = bootstrap_stability(vectors, settings, backend, cluster_vectors(vectors, settings, backend), told.append)
    assert (found["users"], told) == (80, [1, 1])


def test_kept_noise_is_not_compared(backend, blobs):
    groups, _ = blobs(200, 2, 5, spread=0.1)
    vectors = np.concatenate((groups, 8 * np.eye(5, dtype=np.float32)[:3]))
    settings = Settings(algorithm="dbscan", eps=0.3, noise="keep", stability_runs=2)
    assert stable(vectors, settings, backend)["mean"] == 1


def test_users_drawn_twice_weigh_twice(backend, blobs, monkeypatch):
    vectors, _ = blobs(90, 3, 4)
    fitted = []

    def spy(points, clusters, seed, backend, runs, *, weights, **options):
        fitted.append((len(points), weights))
        return fit_consensus(points, clusters, seed, backend, runs, weights=weights, **options)

    settings = Settings(k=3, stability_runs=2)
    clustering = cluster_vectors(vectors, settings, backend)
    monkeypatch.setattr(stability, "fit_consensus", spy)
    bootstrap_stability(vectors, settings, backend, clustering)
    for rows, weights in fitted:
        assert weights.sum() == 90  # as many draws as users
        assert weights.size == rows < 90
        assert weights.max() > 1
    assert fitted[0][1].tolist() != fitted[1][1].tolist()


@pytest.mark.parametrize("rows", [2, 3])
def test_few_users(rows, backend):
    vectors = np.eye(rows, dtype=np.float32)
    found = stable(vectors, Settings(k=2, stability_runs=4), backend)
    assert found["runs"] == 4


def test_jaccard_of_each_cluster_by_hand():
    # Cluster 0 keeps 2 of 3 users in a cluster of 2; cluster 1 comes back with one user more; 2 is gone.
    reference = np.array([0, 0, 0, 1, 1, 2], np.int32)
    labels = np.array([5, 5, 1, 1, 1, -1], np.int32)
    assert stability._best_jaccard(reference, labels, 3).tolist() == pytest.approx([2 / 3, 2 / 3, 0])
