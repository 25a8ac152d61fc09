import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.cluster.lloyd import lloyd
from uicgpu.cluster.seeding import plus_plus


def seeds(points, clusters, backend, seed=0, weights=None):
    return plus_plus(points, clusters, np.random.default_rng(seed), backend, weights)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), clusters=st.integers(1, 40), distinct=st.integers(1, 10), seed=st.integers(0, 99))
def test_rows_are_distinct_and_cover_all_points_before_repeating_one(backend, rows, clusters, distinct, seed):
    clusters = min(clusters, rows)
    points = np.random.default_rng(seed).integers(0, distinct, (rows, 2)).astype(np.float32)
    chosen = seeds(points, clusters, backend, seed)
    assert np.unique(chosen).size == clusters
    assert len(np.unique(points[chosen], axis=0)) == min(clusters, len(np.unique(points, axis=0)))


def test_order_of_rows_does_not_matter(backend, blobs):
    points, _ = blobs(200, 5, 6, spread=1.0)
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(points[seeds(points, 8, backend)], points[order][seeds(points[order], 8, backend)])


def test_one_seed_in_each_well_separated_blob(backend, blobs):
    points, truth = blobs(300, 10, 16, spread=0.02)
    for seed in range(5):
        assert np.unique(truth[seeds(points, 10, backend, seed)]).size == 10


def test_weight_zero_is_taken_last(backend):
    points = np.arange(10, dtype=np.float32)[:, None]
    weights = np.array([0, 0, 1, 1, 1, 0, 0, 0, 0, 0], float)
    assert set(seeds(points, 3, backend, weights=weights)) == {2, 3, 4}
    assert {2, 3, 4} < set(seeds(points, 5, backend, weights=weights))


def test_first_seed_follows_the_weights(backend):
    points = np.arange(4, dtype=np.float32)[:, None]
    weights = np.array([1.0, 1.0, 1.0, 97.0])
    drawn = [int(seeds(points, 1, backend, seed, weights)[0]) for seed in range(200)]
    assert drawn.count(3) > 180


def test_large_input_is_sampled(backend):
    points = np.random.default_rng(0).standard_normal((9000, 2)).astype(np.float32)
    chosen = seeds(points, 4, backend)
    assert np.unique(chosen).size == 4
    np.testing.assert_array_equal(chosen, seeds(points, 4, backend))


def test_far_offset_does_not_hide_distances(backend):
    points = (np.repeat([0.0, 1.0, 2.0, 3.0], 20) + 1e5).astype(np.float32)[:, None]
    assert len(set(points[seeds(points, 4, backend)].ravel())) == 4


def test_reseeding_never_robs_a_cluster_of_its_only_point(backend):
    points = np.array([[0], [100], [101]], np.float32)
    start = np.array([[0], [100], [5000]], np.float32)
    run = lloyd(points, start, backend)
    np.testing.assert_array_equal(run.labels, [0, 1, 2])
    assert (run.reseeded, run.inertia, run.converged) == (1, 0.0, True)


def test_the_worst_placed_point_stays_when_it_is_alone(backend):
    points = np.array([[0], [1], [50]], np.float32)
    # 50 is farthest from its centroid 40, but taking it would only empty another cluster.
    run = lloyd(points, np.array([[0.5], [40], [1000]], np.float32), backend)
    np.testing.assert_array_equal(run.labels, [2, 0, 1])
    assert run.reseeded == 1


@pytest.mark.parametrize("limit", [1, 2, 300])
def test_labels_are_always_the_assignment_to_the_returned_centroids(backend, blobs, limit):
    points, _ = blobs(150, 5, 4, spread=2.0)
    run = lloyd(points, points[:6], backend, max_iter=limit)
    expected = ((points[:, None].astype(float) - run.centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(run.labels, expected.argmin(axis=1))
    assert run.inertia == pytest.approx(expected.min(axis=1).sum())
    assert run.converged == (limit == 300)
    means = np.stack([points[run.averaged == label].mean(axis=0, dtype=float) for label in range(6)])
    np.testing.assert_allclose(run.centroids, means, atol=1e-6)
    if run.converged:
        np.testing.assert_array_equal(run.averaged, run.labels)
