import warnings

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import check_estimator

from uicgpu.cluster import Hierarchical, cluster_vectors, hierarchy
from uicgpu.settings import Settings


def test_passes_the_estimator_checks_of_scikit_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(Hierarchical(3, device="cpu", threads=1), on_fail=None)
    assert [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"] == []


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single"])
def test_equals_the_tree_of_scipy(method, blobs):
    points, _ = blobs(120, 4, 5, spread=1.0)
    ours = Hierarchical(5, linkage=method, device="cpu").fit(points).labels_
    theirs = fcluster(linkage(points.astype(float), method), 5, "maxclust")
    assert adjusted_rand_score(ours, theirs) == 1


def test_many_points_are_merged_through_micro_clusters(backend, blobs, monkeypatch):
    monkeypatch.setattr(hierarchy, "MOST_POINTS", 200)
    monkeypatch.setattr(hierarchy, "MICRO_CLUSTERS", 40)
    points, truth = blobs(500, 5, 8, spread=0.3)
    order = np.random.default_rng(0).permutation(500)
    points, truth = points[order], truth[order]
    clustering = cluster_vectors(points, Settings(algorithm="hierarchical", k=5), backend)
    assert adjusted_rand_score(truth, clustering.labels) > 0.98
    assert clustering.facts["micro_clusters"] == 40
    assert "40 KMeans micro-clusters" in clustering.facts["notes"][0]
    few = np.repeat(np.eye(3, dtype=np.float32), 100, axis=0)
    assert len(cluster_vectors(few, Settings(algorithm="hierarchical", k=8), backend).centroids) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 0}, "n_clusters=0"),
        ({"linkage": "median"}, "linkage='median'"),
        ({"n_clusters": 6}, "n_samples=5"),
    ],
)
def test_impossible_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Hierarchical(**options, device="cpu").fit(np.eye(5))
