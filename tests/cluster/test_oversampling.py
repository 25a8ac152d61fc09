import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import check_estimator

from uicgpu.cluster import KMeans, cluster_vectors, oversampling
from uicgpu.cluster.lloyd import lloyd
from uicgpu.cluster.oversampling import oversampled
from uicgpu.cluster.seeding import plus_plus
from uicgpu.settings import Settings


def seeds(points, clusters, backend, seed=0, weights=None):
    return oversampled(points, clusters, np.random.default_rng(seed), backend, weights)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 40), clusters=st.integers(1, 40), distinct=st.integers(1, 10), seed=st.integers(0, 99))
def test_rows_are_distinct_and_cover_all_points_before_repeating_one(backend, rows, clusters, distinct, seed):
    clusters = min(clusters, rows)
    points = np.random.default_rng(seed).integers(0, distinct, (rows, 2)).astype(np.float32)
    chosen = seeds(points, clusters, backend, seed)
    assert chosen.shape == np.unique(chosen).shape == (clusters,)
    assert len(np.unique(points[chosen], axis=0)) == min(clusters, len(np.unique(points, axis=0)))


def test_one_and_two_threads_give_the_same_bytes(backend, two_threads, blobs):
    points, _ = blobs(5000, 12, 24, spread=1.5)
    assert seeds(points, 20, backend).tobytes() == seeds(points, 20, two_threads).tobytes()
    weights = np.random.default_rng(0).random(5000)
    assert seeds(points, 20, backend, 3, weights).tobytes() == seeds(points, 20, two_threads, 3, weights).tobytes()


def test_order_of_rows_does_not_matter(backend, blobs):
    points, _ = blobs(2500, 5, 6, spread=1.0)
    order = np.random.default_rng(1).permutation(2500)
    np.testing.assert_array_equal(points[seeds(points, 8, backend)], points[order][seeds(points[order], 8, backend)])


def test_a_repeated_row_counts_like_its_weight(backend):
    rng = np.random.default_rng(3)
    points, weights = rng.standard_normal((80, 4)).astype(np.float32), rng.integers(0, 4, 80)
    repeated = np.repeat(points, weights, axis=0)
    np.testing.assert_array_equal(
        points[seeds(points, 5, backend, weights=weights.astype(float))], repeated[seeds(repeated, 5, backend)]
    )


def test_weight_zero_never_seeds_while_other_rows_last(backend):
    points = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    weights = np.where(np.arange(200) % 4 == 0, 1.0, 0.0)
    points[1] = 1e4  # far away, but without weight
    for seed in range(20):
        assert (weights[seeds(points, 30, backend, seed, weights)] > 0).all()
    assert (weights[seeds(points, 50, backend, 0, weights)] > 0).all()
    assert (weights[seeds(points, 51, backend, 0, weights)] > 0).sum() == 50


def test_a_group_too_small_for_a_sample_gets_a_seed(backend):
    """Three rows of 60,000 lie apart: a sample of 8192 misses them in two of three cases."""
    points = np.random.default_rng(0).standard_normal((60_000, 2)).astype(np.float32)
    points[[5, 77, 4242]] += 1000
    for seed in range(5):
        assert np.isin(seeds(points, 3, backend, seed), [5, 77, 4242]).any()


def test_candidates_weigh_as_much_as_the_rows_nearest_to_them(backend):
    """999 rows close together and one 3 units away: one seed alone is nearly always among the many."""
    points = np.append(np.random.default_rng(0).normal(0, 0.1, 999), 3.0).astype(np.float32)[:, None]
    drawn = [int(seeds(points, 1, backend, seed)[0]) for seed in range(50)]
    assert drawn.count(999) <= 1


def test_no_candidate_repeats_a_point(backend, monkeypatch):
    """40 distinct points, each twenty times: without a check two draws of a round take the same one."""
    seen = []
    right = oversampling.draw
    monkeypatch.setattr(oversampling, "draw", lambda sample, *rest: seen.append(sample) or right(sample, *rest))
    points = np.repeat(np.random.default_rng(0).standard_normal((40, 3)), 20, axis=0).astype(np.float32)
    seeds(points, 12, backend)
    assert len(seen[0]) > 12 and len(np.unique(seen[0], axis=0)) == len(seen[0])


def test_a_row_is_not_drawn_again(backend, monkeypatch):
    """Far from the origin rounding leaves a row a distance to itself; only putting it to zero excludes it."""
    drawn, right = [], oversampling.inverse

    def spy(potential, draws):
        assert not potential[np.array(drawn, int)].any() or not drawn
        rows = right(potential, draws)
        drawn.extend(rows.tolist())
        return rows

    monkeypatch.setattr(oversampling, "inverse", spy)
    points = np.random.default_rng(0).standard_normal((500, 7)).astype(np.float32)
    seeds(points, 12, backend)
    assert len(drawn) > 60


def test_the_pipeline_starts_from_all_users_when_asked(backend):
    """Three users of 40,000 lie apart: the sample of 10,000 on which starts are compared misses them."""
    points = np.random.default_rng(0).standard_normal((40_000, 2)).astype(np.float32)
    points[[5, 77, 4242]] += 1000
    sizes = {}
    for init in ("k-means++", "k-means||"):
        found = cluster_vectors(points, Settings(k=2, init=init, seed=0), backend)
        sizes[init] = np.bincount(found.labels).tolist()
        assert found.facts["init"] == init
    assert sizes["k-means||"] == [39_997, 3] and sizes["k-means++"] != sizes["k-means||"]


def test_far_offset_does_not_hide_distances(backend):
    points = (np.repeat([0.0, 1.0, 2.0, 3.0], 20) + 1e5).astype(np.float32)[:, None]
    assert len(set(points[seeds(points, 4, backend)].ravel())) == 4


def test_inertia_is_close_to_that_of_greedy_plus_plus(backend, blobs):
    """Means over 30 seeds: single seeds differ by a missed blob either way."""
    points, _ = blobs(1500, 12, 16, spread=0.4)

    def mean_inertia(choose):
        chosen = (choose(points, 12, np.random.default_rng(seed), backend) for seed in range(30))
        return np.mean([lloyd(points, points[rows], backend).inertia for rows in chosen])

    assert mean_inertia(oversampled) <= mean_inertia(plus_plus) * 1.03


def test_fit_does_not_depend_on_threads(blobs):
    points, _ = blobs(3000, 6, 20, spread=2.0)
    one, two = (KMeans(17, init="k-means||", device="cpu", threads=threads, n_init=2).fit(points) for threads in (1, 2))
    assert one.cluster_centers_.tobytes() == two.cluster_centers_.tobytes()
    assert one.labels_.tobytes() == two.labels_.tobytes() and one.inertia_ == two.inertia_


@pytest.mark.parametrize("clusters", [1, 3])
def test_passes_the_estimator_checks_of_scikit_learn(clusters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks (pandas, array API) and duplicate points made by the checks
        results = check_estimator(KMeans(clusters, init="k-means||", device="cpu", threads=1), on_fail=None)
    assert len(results) > 40
    assert [(each["check_name"], each["exception"]) for each in results if each["status"] == "failed"] == []
