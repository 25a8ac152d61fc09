import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from uicgpu.cluster import assign_points, cluster_vectors
from uicgpu.cluster.clustering import order_by_size
from uicgpu.errors import InputError
from uicgpu.settings import Settings

ALGORITHMS = ("kmeans", "hdbscan", "dbscan", "hierarchical")


def check(clustering, vectors):
    """What every clustering must satisfy, whatever the algorithm."""
    rows, clusters = len(vectors), len(clustering.centroids)
    assert clustering.labels.dtype == clustering.second_labels.dtype == np.int32
    assert clustering.confidence.dtype == clustering.centroids.dtype == np.float32
    assert clustering.labels.shape == clustering.second_labels.shape == clustering.confidence.shape == (rows,)
    assert clustering.centroids.shape == (clusters, np.shape(vectors)[1])
    assert np.isfinite(clustering.centroids).all()
    assert ((clustering.confidence >= 0) & (clustering.confidence <= 1)).all()
    assert ((clustering.second_labels >= 0) & (clustering.second_labels < clusters)).all()
    if clusters > 1:
        assert (clustering.second_labels != clustering.labels).all()
    sizes = np.bincount(clustering.labels[clustering.labels >= 0], minlength=clusters)
    assert sizes.sum() == (clustering.labels >= 0).sum()
    assert (sizes > 0).all()
    first = [int(np.flatnonzero(clustering.labels == label)[0]) for label in range(clusters)]
    keys = list(zip(-sizes, first, strict=True))
    assert keys == sorted(keys)
    facts = json.loads(json.dumps(clustering.facts, allow_nan=False))
    assert facts["k"] == clusters


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_finds_separated_groups(algorithm, backend, blobs):
    vectors, truth = blobs(400, 4, 24, spread=0.25)
    clustering = cluster_vectors(vectors, Settings(algorithm=algorithm, k=4), backend)
    check(clustering, vectors)
    assert clustering.algorithm == algorithm
    assert adjusted_rand_score(truth, clustering.labels) > 0.98
    means = np.stack([vectors[clustering.labels == label].mean(axis=0) for label in range(4)])
    np.testing.assert_allclose(clustering.centroids, means, atol=0.02)
    distances = np.linalg.norm(vectors[:, None].astype(float) - clustering.centroids, axis=2)
    ordered = np.sort(distances, axis=1)
    expected = (ordered[:, 1] - ordered[:, 0]) / ordered[:, 1]
    if algorithm == "hdbscan":  # soft memberships, tested on their own
        assert clustering.confidence.min() > 0.5 and clustering.confidence.max() <= 1
        return
    np.testing.assert_allclose(clustering.confidence, expected, atol=1e-6)
    np.testing.assert_array_equal(clustering.second_labels, np.argsort(distances, axis=1)[:, 1])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("rows", "dim", "k"), [(1, 3, 8), (1, 1, "auto"), (2, 3, 8), (3, 2, 2), (7, 1, 1), (12, 2, "auto")]
)
def test_few_users(algorithm, rows, dim, k, backend):
    vectors = np.random.default_rng(0).standard_normal((rows, dim)).astype(np.float32)
    clustering = cluster_vectors(vectors, Settings(algorithm=algorithm, k=k), backend)
    check(clustering, vectors)
    if rows == 1:
        assert (clustering.labels[0], clustering.second_labels[0], clustering.confidence[0]) == (0, 0, 1.0)
    if algorithm in ("kmeans", "hierarchical") and k == 8:
        assert len(clustering.centroids) == rows
        assert clustering.facts["k_requested"] == 8
        assert any(str(rows) in note for note in clustering.facts["notes"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_identical_users(algorithm, value, backend):
    vectors = np.full((60, 5), value, np.float32)
    clustering = cluster_vectors(vectors, Settings(algorithm=algorithm, k=3), backend)
    check(clustering, vectors)
    if algorithm == "kmeans":
        assert len(clustering.centroids) == 1
        assert "no more than 1 users differ" in clustering.facts["notes"][0]
    if len(clustering.centroids) == 1:
        np.testing.assert_array_equal(clustering.centroids, vectors[:1])
        assert set(clustering.confidence) == ({0.0} if value == 0 else {1.0})


@pytest.mark.parametrize("algorithm", ["kmeans", "hierarchical"])
def test_one_cluster_is_the_mean(algorithm, backend):
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    clustering = cluster_vectors(vectors, Settings(algorithm=algorithm, k=1), backend)
    check(clustering, vectors)
    np.testing.assert_allclose(clustering.centroids[0], vectors.mean(axis=0), atol=1e-6)
    assert (clustering.confidence == 1).all()


def test_zero_vectors_get_a_cluster_and_no_confidence(backend, blobs):
    vectors, _ = blobs(60, 3, 6)
    vectors[[3, 40]] = 0
    clustering = cluster_vectors(vectors, Settings(k=3), backend)
    check(clustering, vectors)
    assert clustering.confidence[3] == clustering.confidence[40] == 0
    assert (clustering.confidence[:3] > 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_vectors_name_the_row(bad, backend):
    vectors = np.ones((9, 2), np.float32)
    vectors[7, 1] = bad
    with pytest.raises(InputError, match="NaN or infinity") as caught:
        cluster_vectors(vectors, Settings(k=2), backend)
    assert caught.value.where == "row 7"


@pytest.mark.parametrize(
    "vectors", [np.empty((0, 3), np.float32), np.empty((3, 0), np.float32), np.ones(4), np.array([["a"]])]
)
def test_not_a_table_of_numbers(vectors, backend):
    with pytest.raises(InputError, match="vectors have shape"):
        cluster_vectors(vectors, Settings(k=2), backend)


def test_every_type_and_layout_gives_the_same(tmp_path, backend):
    vectors = np.random.default_rng(0).integers(-5, 6, (80, 3)).astype(np.float32)
    expected = cluster_vectors(vectors, Settings(k=4), backend)
    np.save(tmp_path / "v.npy", vectors)
    forms = [vectors.astype(kind) for kind in (np.float16, np.float64, np.int16)]
    forms += [np.asfortranarray(vectors), np.load(tmp_path / "v.npy", mmap_mode="r")]
    for form in forms:
        found = cluster_vectors(form, Settings(k=4), backend)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.centroids, expected.centroids)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_threads_do_not_change_a_byte(algorithm, backend, two_threads, blobs):
    vectors, _ = blobs(600, 5, 20, spread=0.8)
    settings = Settings(algorithm=algorithm, k=7)
    one, two = (cluster_vectors(vectors, settings, device) for device in (backend, two_threads))
    for name in ("labels", "second_labels", "confidence", "centroids"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert json.dumps(one.facts) == json.dumps(two.facts)


def test_the_seed_counts(backend, blobs):
    vectors, _ = blobs(300, 3, 10, spread=3.0)
    same, again, other = (cluster_vectors(vectors, Settings(k=12, seed=seed), backend).labels for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_noise_is_assigned_or_kept(algorithm, backend, blobs):
    groups, _ = blobs(300, 3, 8, spread=0.15)
    far = 6 * np.eye(8, dtype=np.float32)[:4]
    vectors = np.concatenate((groups, far))
    kept = cluster_vectors(vectors, Settings(algorithm=algorithm, noise="keep", eps=0.35), backend)
    check(kept, vectors)
    assert (kept.labels[300:] == -1).all()
    assert (kept.confidence[kept.labels == -1] == 0).all()
    assert kept.facts["noise"] == (kept.labels == -1).sum()
    assigned = cluster_vectors(vectors, Settings(algorithm=algorithm, eps=0.35), backend)
    check(assigned, vectors)
    np.testing.assert_array_equal(assigned.labels >= 0, True)
    assert assigned.facts["noise"] == kept.facts["noise"]
    inside = kept.labels >= 0
    assert adjusted_rand_score(kept.labels[inside], assigned.labels[inside]) == 1
    if algorithm == "dbscan":
        nearest = np.linalg.norm(far[:, None] - kept.centroids, axis=2).argmin(axis=1)
        np.testing.assert_array_equal(kept.second_labels[300:], nearest)
        np.testing.assert_array_equal(assigned.labels[300:], assign_points(far, assigned.centroids, backend).labels)


@pytest.mark.parametrize(
    "settings",
    [Settings(algorithm="hdbscan", min_cluster_size=60), Settings(algorithm="dbscan", eps=1e-3, noise="keep")],
)
def test_nothing_but_noise_becomes_one_cluster(settings, backend):
    vectors = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    clustering = cluster_vectors(vectors, settings, backend)
    check(clustering, vectors)
    assert (clustering.labels == 0).all()
    assert clustering.facts["noise"] == 50
    assert "no dense region" in " ".join(clustering.facts["notes"])


def test_fitted_users_are_assigned_where_they_are(backend, blobs):
    vectors, _ = blobs(500, 6, 12, spread=1.5)
    clustering = cluster_vectors(vectors, Settings(k=9), backend)
    assert clustering.facts["converged"]
    again = assign_points(vectors, clustering.centroids, backend)
    np.testing.assert_array_equal(again.labels, clustering.labels)
    np.testing.assert_array_equal(again.confidence, clustering.confidence)
    means = np.stack([vectors[clustering.labels == label].mean(axis=0, dtype=float) for label in range(9)])
    np.testing.assert_allclose(clustering.centroids, means, atol=1e-6)


def test_assignment_of_new_points_by_hand(backend):
    centroids = np.array([[0, 0], [4, 0], [0, 8]], np.float32)
    new = assign_points(np.array([[1, 0], [2, 0], [0, 0], [0, 7]]), centroids, backend)
    np.testing.assert_array_equal(new.labels, [0, 0, 0, 2])
    np.testing.assert_array_equal(new.second_labels, [1, 1, 1, 0])
    np.testing.assert_allclose(new.confidence, [2 / 3, 0, 0, 6 / 7], atol=1e-6)


def test_assignment_refuses_another_number_of_dimensions(backend):
    with pytest.raises(InputError, match="centroids"):
        assign_points(np.ones((2, 3)), np.ones((2, 4)), backend)
    with pytest.raises(InputError, match="NaN"):
        assign_points(np.full((2, 4), np.nan), np.ones((2, 4)), backend)


def test_large_input_compares_starts_on_a_sample(backend, monkeypatch, blobs):
    from uicgpu.cluster import starts

    vectors, truth = blobs(500, 4, 6, spread=0.2)
    monkeypatch.setattr(starts, "START_SAMPLE", 100)
    clustering = cluster_vectors(vectors, Settings(k=4), backend)
    check(clustering, vectors)
    assert clustering.facts["start_sample"] == 100
    assert adjusted_rand_score(truth, clustering.labels) == 1


def test_the_best_start_wins(backend, blobs):
    from uicgpu.cluster.lloyd import lloyd
    from uicgpu.cluster.seeding import plus_plus
    from uicgpu.cluster.starts import fit_kmeans
    from uicgpu.randomness import generator

    vectors, _ = blobs(150, 9, 5, spread=1.2)
    single = []
    for start in range(5):
        seeds = plus_plus(vectors, 9, generator(0, f"cluster/kmeans/start/{start}"), backend)
        single.append(lloyd(vectors, vectors[seeds], backend).inertia)
    assert fit_kmeans(vectors, 9, 0, backend).lloyd.inertia == min(single) < max(single)


def test_progress_is_told(backend, blobs):
    vectors, _ = blobs(200, 3, 4)
    told = []
    cluster_vectors(vectors, Settings(k="auto"), backend, told.append)
    assert len(told) > 10
    assert all(0 < number <= 200 for number in told)


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 5), min_size=1, max_size=40))
def test_renumbering_keeps_the_partition(labels):
    labels = np.array(labels)
    present, compact = np.unique(labels[labels >= 0], return_inverse=True)
    labels[labels >= 0] = compact
    sizes = np.bincount(labels[labels >= 0], minlength=present.size)
    order, renamed = order_by_size(labels.astype(np.int32), sizes)
    np.testing.assert_array_equal(renamed == -1, labels == -1)
    np.testing.assert_array_equal(order[renamed[renamed >= 0]], labels[labels >= 0])
    keys = [(-int((renamed == new).sum()), int(np.flatnonzero(renamed == new)[0])) for new in range(present.size)]
    assert keys == sorted(keys)
