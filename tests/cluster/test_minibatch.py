"""KMeans in batches: streams, memory maps, and how close it comes to Lloyd's iteration."""

import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import check_estimator

from uicgpu.cluster import KMeans, MiniBatchKMeans
from uicgpu.cluster.minibatch import _batches


def model(k, **options):
    return MiniBatchKMeans(k, device="cpu", threads=options.pop("threads", 1), **options)


def test_a_pass_takes_every_row_once_in_batches_of_neighbours():
    batches = list(_batches(1000, 200, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert max(len(batch) for batch in batches) == 256 and len(batches) == 4
    assert all((np.diff(batch) > 0).all() for batch in batches)
    assert [len(batch) for batch in _batches(3, 200, np.random.default_rng(0))] == [3]


def test_centres_are_means_of_all_that_they_were_given():
    """By hand: 0 and 2 to the first centre, then 4: (0 + 2 + 4) / 3. 10 and 12, then none."""
    start = np.array([[0.0], [10.0]])
    clusters = model(2, init=start)
    clusters.partial_fit(np.array([[0.0], [2.0], [10.0], [12.0]]))
    np.testing.assert_array_equal(clusters.cluster_centers_, [[1], [11]])
    clusters.partial_fit(np.array([[4.0]]))
    np.testing.assert_allclose(clusters.cluster_centers_, [[2], [11]], atol=1e-12)
    assert clusters.counts_.tolist() == [3, 2] and clusters.n_steps_ == 2
    assert clusters.labels_.tolist() == [0] and clusters.inertia_ == pytest.approx(4)


def test_weights_count_like_repeated_rows():
    rng = np.random.default_rng(0)
    points, weights = rng.standard_normal((60, 3)).astype(np.float32), rng.integers(0, 4, 60)
    start = points[:4]
    weighted = model(4, init=start).partial_fit(points, sample_weight=weights * 2.0**-300)
    repeated = model(4, init=start).partial_fit(np.repeat(points, weights, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, atol=1e-6)
    np.testing.assert_allclose(weighted.counts_ * 2.0**300, repeated.counts_)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_comes_close_to_lloyd(blobs, metric):
    points, truth = blobs(6000, 8, 16, spread=0.6)
    full = KMeans(8, metric=metric, n_init=3, device="cpu", threads=1).fit(points)
    start = full.cluster_centers_ + 0.05 * np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    batches = model(8, batch_size=512, metric=metric, init=start).fit(points)
    assert batches.inertia_ <= 1.02 * full.inertia_
    assert adjusted_rand_score(truth, batches.labels_) > 0.95
    np.testing.assert_array_equal(batches.labels_, batches.predict(points))
    if metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(batches.cluster_centers_, axis=1), 1, atol=1e-6)


def test_a_stream_ends_near_the_fit_of_all(blobs):
    points, _ = blobs(4000, 5, 8, spread=0.4)
    stream = model(5, init=points[:5])
    for first in range(0, 4000, 200):
        stream.partial_fit(points[first : first + 200])
    assert stream.n_steps_ == 20 and stream.counts_.sum() == 4000
    assert -stream.score(points) <= 1.1 * KMeans(5, init=points[:5], device="cpu").fit(points).inertia_


def test_a_centre_without_rows_takes_the_worst_placed_one():
    points = np.concatenate([np.zeros((300, 1)), np.full((300, 1), 5.0), [[40.0]]]).astype(np.float32)
    clusters = model(3, init=np.array([[0], [5], [1000]], np.float32)).fit(points)
    np.testing.assert_allclose(clusters.cluster_centers_.ravel(), [0, 5, 40], atol=0.02)


def test_threads_do_not_change_a_byte(blobs):
    points, _ = blobs(5000, 6, 20, spread=1.5)
    one, two = (model(12, batch_size=700, threads=threads).fit(points) for threads in (1, 2))
    assert one.cluster_centers_.tobytes() == two.cluster_centers_.tobytes()
    assert one.labels_.tobytes() == two.labels_.tobytes() and one.inertia_ == two.inertia_


def test_a_mapped_file_is_read_in_batches(tmp_path):
    points = np.random.default_rng(0).standard_normal((60_000, 32)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    want = model(10, batch_size=1024, max_iter=2).fit(points)
    tracemalloc.start()
    try:
        got = model(10, batch_size=1024, max_iter=2).fit(mapped)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.cluster_centers_.tobytes() == want.cluster_centers_.tobytes()
    assert got.labels_.tobytes() == want.labels_.tobytes()
    assert peak < 60_000 * 16 + 10 * 8192 * 32 * 8 // 3 < points.nbytes * 2


def test_far_offsets_in_float64_cost_no_digits(blobs):
    points, truth = blobs(900, 4, 3, spread=0.2)
    moved = points.astype(np.float64) + 1e9
    assert adjusted_rand_score(truth, model(4, batch_size=128).fit(moved).labels_) > 0.99


def test_impossible_parameters_are_named():
    points = np.ones((5, 2), np.float32)
    with pytest.raises(ValueError, match="batch_size=0"):
        model(2, batch_size=0).fit(points)
    with pytest.raises(ValueError, match="n_samples=5 should be >= n_clusters=6"):
        model(6).partial_fit(points)
    with pytest.raises(ValueError, match="non-zero"):
        model(2).fit(points, sample_weight=np.zeros(5))


@pytest.mark.parametrize("clusters", [1, 3])
def test_passes_the_estimator_checks_of_scikit_learn_that_its_own_batches_pass(clusters):
    """A row repeated comes in other batches than one row of twice the weight, in scikit-learn's class too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks (pandas, array API)
        results = check_estimator(model(clusters), on_fail=None)
    assert len(results) > 40
    failed = [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"]
    assert [each for each in failed if each[0] != "check_sample_weight_equivalence_on_dense_data"] == []
