"""One suite for the reference, the CPU and the CUDA twin on doubles: the same questions, the same answers."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from uicgpu.backends.reference import ReferenceBackend
from uicgpu.errors import InputError, OutOfResourcesError, SettingsError, UicError


def integers(seed, n, d, low=-4, high=5):
    return np.random.default_rng(seed).integers(low, high, size=(n, d)).astype(np.float32)


def groups(seed, n=400, d=5, k=4, spread=1.0):
    rng = np.random.default_rng(seed)
    centres = 9 * rng.standard_normal((k, d))
    return (centres[np.arange(n) % k] + spread * rng.standard_normal((n, d))).astype(np.float32)


def is_reference(backend):
    return isinstance(backend, ReferenceBackend)


class TestAssign:
    @pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (3, 7, 2), (600, 37, 50), (257, 1, 16), (0, 3, 4)])
    def test_integers_are_exact(self, backend, n, k, d):
        x, c = integers(1, n, d), integers(2, k, d)
        got = backend.assign(backend.to_device(x), backend.to_device(c))
        want = ReferenceBackend().assign(x, c)
        for field in ("labels", "scores", "second_labels", "second_scores"):
            ours, theirs = getattr(got, field), getattr(want, field)
            assert type(ours) is np.ndarray and ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)

    def test_equal_centroids_go_to_the_lowest_id(self, backend):
        c = np.random.default_rng(3).standard_normal((5, 33)).astype(np.float32)
        got = backend.assign(c, np.concatenate([c, c, c]))
        assert got.labels.tolist() == [0, 1, 2, 3, 4] and got.second_labels.tolist() == [5, 6, 7, 8, 9]

    def test_gaps_below_the_rounding_of_float32_products(self, backend):
        rng = np.random.default_rng(11)
        centre = rng.standard_normal(200)
        x, c = (centre + 1e-5 * rng.standard_normal((n, 200)) for n in (300, 30))
        x, c = x.astype(np.float32), c.astype(np.float32)
        wide = x.astype(np.longdouble) @ c.astype(np.longdouble).T - (c.astype(np.longdouble) ** 2).sum(axis=1) / 2
        order = np.argsort(-wide, axis=1)
        clear = np.diff(np.take_along_axis(wide, order[:, :3], axis=1), axis=1).max(axis=1) < -1e-11
        got = backend.assign(backend.to_device(x), backend.to_device(c))
        np.testing.assert_array_equal(got.labels[clear], order[clear, 0])
        np.testing.assert_array_equal(got.second_labels[clear], order[clear, 1])

    def test_rows_that_are_not_finite(self, backend):
        x = integers(4, 9, 3)
        x[2, 1], x[7, 0] = np.nan, np.inf
        got = backend.assign(backend.to_device(x), backend.to_device(integers(5, 4, 3)))
        assert np.flatnonzero(got.labels == -1).tolist() == [2, 7] == np.flatnonzero(got.second_labels == -1).tolist()
        assert np.isneginf(got.scores[[2, 7]]).all() and np.isfinite(got.scores[[0, 1, 8]]).all()

    def test_inputs_on_the_host_strided_and_in_float64(self, backend):
        x, c = integers(6, 100, 8), integers(7, 6, 8)
        want = ReferenceBackend().assign(x, c).labels
        np.testing.assert_array_equal(
            backend.assign(np.asfortranarray(x).astype(np.float64), c[::-1][::-1]).labels, want
        )

    def test_small_memory_gives_the_same_bytes(self, backend):
        x, c = np.random.default_rng(8).standard_normal((2, 300, 16)).astype(np.float32)
        want = backend.assign(x, c[:20])
        backend.memory = 40_000
        got = backend.assign(x, c[:20])
        for field in ("labels", "scores", "second_labels", "second_scores"):
            assert getattr(got, field).tobytes() == getattr(want, field).tobytes()

    def test_bad_centroids(self, backend):
        if not is_reference(backend):
            with pytest.raises(InputError, match="columns"):
                backend.assign(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
            with pytest.raises(InputError, match="NaN"):
                backend.assign(np.ones((2, 1), np.float32), np.array([[np.nan]], np.float32))


class TestSegmentSum:
    @pytest.mark.parametrize("memory", [2**30, 20_000])
    def test_equals_the_reference(self, backend, memory):
        rng = np.random.default_rng(1)
        counts = np.concatenate([[0], rng.integers(0, 12, size=60), [700, 0, 256, 257, 0]])
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        indices = rng.integers(0, 50, size=offsets[-1]).astype(np.int32)
        weights, x = rng.random(offsets[-1], np.float32), rng.standard_normal((50, 9)).astype(np.float32)
        backend.memory = memory
        got = backend.segment_sum(offsets, indices, weights, backend.to_device(x))
        want = ReferenceBackend().segment_sum(offsets, indices, weights, x)
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)
        short = counts <= 256
        np.testing.assert_array_equal(got[short], want[short])  # the same order of additions

    def test_nothing_to_sum(self, backend):
        empty = np.empty(0, np.int32), np.empty(0, np.float32)
        x = backend.to_device(np.ones((3, 2), np.float32))
        assert backend.segment_sum(np.zeros(1, np.int64), *empty, x).shape == (0, 2)
        assert backend.segment_sum(np.zeros(4, np.int64), *empty, x).tolist() == [[0, 0]] * 3

    def test_one_segment_with_nearly_everything(self, backend):
        n = 5000
        offsets = np.array([0, 1, n - 1, n], np.int64)
        got = backend.segment_sum(
            offsets, np.zeros(n, np.int32), np.ones(n, np.float32), backend.to_device(np.full((1, 2), 0.1, np.float32))
        )
        np.testing.assert_allclose(got[:, 0], np.float32(0.1) * np.array([1, n - 2, 1], np.float64), rtol=1e-13)


class TestSegmentPool:
    def given(self, seed, counts):
        rng = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        indices = rng.integers(0, 50, size=offsets[-1]).astype(np.int32)
        x = rng.standard_normal((50, 21)).astype(np.float32)
        x /= 1.001 * np.linalg.norm(x, axis=1, keepdims=True)
        return offsets, indices, rng.random(offsets[-1], np.float32), x

    @pytest.mark.parametrize("unit", [False, True])
    @pytest.mark.parametrize("memory", [2**30, 40_000])
    def test_equals_the_reference(self, backend, memory, unit):
        counts = [0, 1, 2, 7, 8, 9, 0, 255, 256, 257, 263, 264, 265, 1100, 0, 3]
        offsets, indices, weights, x = self.given(1, counts)
        backend.memory = memory
        got = backend.segment_pool(offsets, indices, weights, backend.to_device(x), unit)
        want = ReferenceBackend().segment_pool(offsets, indices, weights, x, unit)
        assert got.dtype == np.float32 and got.shape == (len(counts), 21)
        if unit:  # the length is summed in another order
            np.testing.assert_allclose(got, want, rtol=0, atol=6e-8)
        else:
            np.testing.assert_array_equal(got, want)

    def test_beside_plain_float64(self, backend):
        offsets, indices, weights, x = self.given(2, np.random.default_rng(3).integers(0, 40, 80))
        got = backend.segment_pool(offsets, indices, weights, backend.to_device(x), unit=False)
        want = ReferenceBackend().segment_sum(offsets, indices, weights, x)
        absolute = ReferenceBackend().segment_sum(offsets, indices, weights, np.abs(x))
        assert (np.abs(got - want) <= 2.0**-22 * absolute + 1e-30).all()

    def test_what_cancels_out_has_no_direction(self, backend):
        x = np.array([[0.6, 0.8], [-0.6, -0.8], [1, 0]], np.float32)
        offsets, indices = np.array([0, 3, 4, 4, 6], np.int64), np.array([0, 0, 1, 2, 2, 0], np.int32)
        weights = np.array([0.1, 0.2, 0.3, 5, 0, 0], np.float32)
        got = backend.segment_pool(offsets, indices, weights, backend.to_device(x), unit=True)
        assert got.tolist() == [[0, 0], [1, 0], [0, 0], [0, 0]]

    def test_nothing_to_pool(self, backend):
        empty = np.empty(0, np.int32), np.empty(0, np.float32)
        x = backend.to_device(np.ones((3, 2), np.float32))
        for unit in (False, True):
            assert backend.segment_pool(np.zeros(1, np.int64), *empty, x, unit).shape == (0, 2)
            assert backend.segment_pool(np.zeros(4, np.int64), *empty, x, unit).tolist() == [[0, 0]] * 3


class TestRepeated:
    """What a clustering asks again and again equals what it would ask once."""

    def test_labels_follow_moving_centroids(self, backend):
        rng = np.random.default_rng(12)
        x = rng.standard_normal((300, 9)).astype(np.float32)
        c = x[:7].copy()
        labels_for = backend.repeated_assign(backend.to_device(x))
        for step in (0.0, 0.1, 0.1, 0.0, 2.0):
            c = (c + step * rng.standard_normal(c.shape)).astype(np.float32)
            labels = labels_for(backend.to_device(c))
            assert type(labels) is np.ndarray and labels.dtype == np.int32
            np.testing.assert_array_equal(labels, ReferenceBackend().assign(x, c).labels)

    def test_sums_follow_changing_labels(self, backend):
        rng = np.random.default_rng(13)
        x, weights = integers(13, 200, 6), rng.integers(0, 4, 200).astype(np.float32)
        sums_of = backend.repeated_sum(backend.to_device(x), weights, 5)
        want = ReferenceBackend().repeated_sum(x, weights, 5)
        for _ in range(3):
            labels = rng.integers(-1, 5, 200).astype(np.int32)
            got = sums_of(labels)
            assert got.dtype == np.float64
            np.testing.assert_allclose(got, want(labels), rtol=0, atol=1e-9)


class TestTopK:
    @pytest.mark.parametrize(("n", "m", "k"), [(1, 1, 1), (300, 500, 7), (5, 3, 6), (4, 200, 200)])
    def test_integers_are_exact_and_ties_ascend(self, backend, n, m, k):
        q, x = integers(1, n, 12, -1, 2), integers(2, m, 12, -1, 2)
        scores, rows = backend.top_k(q, x, k)
        want_scores, want_rows = ReferenceBackend().top_k(q, x, k)
        assert scores.dtype == np.float32 and rows.dtype == np.int64
        np.testing.assert_array_equal(scores, want_scores)
        np.testing.assert_array_equal(rows, want_rows)

    def test_more_equal_points_than_candidates(self, backend):
        x = np.tile(np.random.default_rng(3).standard_normal((1, 40)).astype(np.float32), (3000, 1))
        x[1000] *= 2
        _, rows = backend.top_k(x[:2], x, 5)
        assert rows.tolist() == [[1000, 0, 1, 2, 3]] * 2

    def test_a_zero_query_takes_the_first_rows(self, backend):
        x = np.random.default_rng(4).standard_normal((50, 6)).astype(np.float32)
        scores, rows = backend.top_k(np.zeros((1, 6), np.float32), x, 4)
        assert rows.tolist() == [[0, 1, 2, 3]] and not scores.any()

    def test_no_points_and_no_queries(self, backend):
        x = np.ones((2, 3), np.float32)
        scores, rows = backend.top_k(x, x[:0], 2)
        assert np.isneginf(scores).all() and (rows == -1).all()
        assert backend.top_k(x[:0], x, 2)[0].shape == (0, 2)

    def test_errors(self, backend):
        if is_reference(backend):
            return
        x = np.ones((2, 3), np.float32)
        with pytest.raises(InputError, match="k of at least 1"):
            backend.top_k(x, x, 0)
        with pytest.raises(InputError, match="points have 4"):
            backend.top_k(x, np.ones((2, 4), np.float32), 1)
        x[1, 1] = np.nan
        with pytest.raises(InputError, match="row 1 of points"):
            backend.top_k(np.ones((1, 3), np.float32), x, 1)


class TestLinearAlgebra:
    def csr(self, seed, rows, columns):
        rng = np.random.default_rng(seed)
        dense = (rng.random((rows, columns)) < 0.2) * rng.integers(1, 5, size=(rows, columns)).astype(np.float32)
        offsets = np.concatenate([[0], np.cumsum((dense != 0).sum(axis=1))]).astype(np.int64)
        return dense, offsets, np.nonzero(dense)[1].astype(np.int32), dense[dense != 0]

    @pytest.mark.parametrize("memory", [2**30, 8 * 30**2])
    def test_gram(self, backend, memory):
        dense, offsets, indices, values = self.csr(1, 200, 30)
        backend.memory = memory
        got = backend.gram(offsets, indices, values, 30)
        np.testing.assert_array_equal(got, dense.T.astype(np.float64) @ dense)

    def test_gram_with_empty_rows_columns_and_matrix(self, backend):
        got = backend.gram(np.array([0, 0, 2, 2]), np.array([0, 3], np.int32), np.array([2, 3], np.float32), 5)
        assert got[0, 0] == 4 and got[0, 3] == got[3, 0] == 6 and got[3, 3] == 9 and got.sum() == 25
        assert not backend.gram(np.zeros(3, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), 2).any()

    def test_gram_errors(self, backend):
        if is_reference(backend):
            return
        _, offsets, indices, values = self.csr(2, 20, 30)
        with pytest.raises(InputError, match=r"outside 0\.\.9"):
            backend.gram(offsets, indices, values, 10)
        backend.memory = 1000
        with pytest.raises(OutOfResourcesError, match="30 x 30"):
            backend.gram(offsets, indices, values, 30)

    def test_inverse(self, backend):
        a = np.random.default_rng(3).standard_normal((150, 150))
        matrix = a @ a.T + np.eye(150)
        before = matrix.copy()
        inverse = backend.invert_positive_definite(matrix)
        np.testing.assert_allclose(inverse @ matrix, np.eye(150), atol=1e-8)
        np.testing.assert_array_equal(matrix, before)
        if not is_reference(backend):
            np.testing.assert_array_equal(inverse, inverse.T)

    def test_inverse_by_hand(self, backend):
        got = backend.invert_positive_definite(np.array([[2.0, 1], [1, 2]]))
        np.testing.assert_allclose(got, np.array([[2, -1], [-1, 2]]) / 3, rtol=1e-14)

    @pytest.mark.parametrize("bad", [[[1.0, 2], [2, 1]], [[np.nan, 0], [0, 1]], [[0.0, 0], [0, 0]]])
    def test_not_positive_definite(self, backend, bad):
        if not is_reference(backend):
            with pytest.raises(UicError, match="2 x 2 matrix is not positive definite"):
                backend.invert_positive_definite(np.array(bad))

    def test_principal_axes(self, backend):
        rng = np.random.default_rng(4)
        x = (rng.standard_normal((700, 12)) * np.arange(1, 13) + 30).astype(np.float32)
        want = ReferenceBackend().principal_axes(x, 5)
        for memory in (2**30, 5000):
            backend.memory = memory
            for got, theirs in zip(backend.principal_axes(x, 5), want, strict=True):
                assert got.dtype == np.float32
                np.testing.assert_allclose(got, theirs, atol=2e-5, rtol=1e-5)

    def test_principal_axes_by_hand(self, backend):
        mean, axes, share = backend.principal_axes(np.array([[1, 1], [3, 3], [5, 5]], np.float32), 2)
        assert mean.tolist() == [3, 3]
        np.testing.assert_allclose(axes[0], [np.sqrt(0.5)] * 2, rtol=1e-6)
        np.testing.assert_allclose(share, [1, 0], atol=1e-7)

    def test_principal_axes_of_equal_points_and_errors(self, backend):
        assert not backend.principal_axes(np.ones((4, 3), np.float32), 2)[2].any()
        if is_reference(backend):
            return
        for points, components in ((np.ones((4, 3)), 4), (np.ones((4, 3)), 0), (np.ones((0, 3)), 1)):
            with pytest.raises(InputError, match="principal axes"):
                backend.principal_axes(points.astype(np.float32), components)
        with pytest.raises(InputError, match="NaN"):
            backend.principal_axes(np.array([[1, np.nan]], np.float32), 1)


class TestDensity:
    def test_hdbscan_finds_the_groups(self, backend):
        x = groups(1)
        labels, probabilities, tree = backend.hdbscan(x, 20, 5)
        want, _, theirs = ReferenceBackend().hdbscan(x, 20, 5)
        np.testing.assert_allclose(tree.weights, theirs.weights, rtol=1e-6)
        np.testing.assert_allclose(tree.cores, theirs.cores, rtol=1e-6)
        assert labels.dtype == np.int32 and probabilities.dtype == np.float32
        assert adjusted_rand_score(labels, want) > 0.99
        assert ((labels == -1) == (probabilities == 0)).all() and probabilities.max() <= 1

    def test_min_samples_counts_the_point_itself(self, backend):
        """A triangle: with 3 the core distance is that of the second neighbour, with 2 that of the first."""
        rng = np.random.default_rng(2)
        x = rng.standard_normal((300, 3)).astype(np.float32) * np.repeat([1, 4], 150)[:, None].astype(np.float32)
        for min_samples in (2, 3, 8):
            labels = backend.hdbscan(x, 15, min_samples).labels
            want = ReferenceBackend().hdbscan(x, 15, min_samples)[0]
            assert adjusted_rand_score(labels, want) > 0.98, min_samples

    def test_too_few_points_are_noise(self, backend):
        assert backend.hdbscan(np.ones((3, 2), np.float32), 5, 2)[0].tolist() == [-1, -1, -1]
        assert backend.hdbscan(np.empty((0, 2), np.float32), 5, 2)[0].shape == (0,)

    def test_duplicates(self, backend):
        x = np.repeat(groups(3, 8, 2, 2), 10, axis=0)
        labels = backend.hdbscan(x, 20, 5).labels
        assert len(labels) == 80 and (labels.reshape(8, 10) == labels[::10, None]).all()

    def test_dbscan_equals_scikit_learn(self, backend):
        x = groups(4, 300, 3, 3)
        for eps in (0.3, 0.8, 1.5, 100.0):
            want = ReferenceBackend().dbscan(x, eps, 5)
            got = backend.dbscan(x, eps, 5)
            assert got.labels.dtype == np.int32
            np.testing.assert_array_equal(got.labels, want.labels)
            np.testing.assert_array_equal(got.core, want.core)

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_border_point_between_two_clusters(self, backend, reverse):
        """2 is within 1 of the core points 1 and 3 and has three neighbours itself: the lower number gets it."""
        x = np.array([[0, 0.3, 0.6, 1, 2, 3, 3.3, 3.6, 4]], np.float32).T[:: -1 if reverse else 1]
        labels = backend.dbscan(x, 1.0, 4).labels
        assert labels[:4].tolist() == [0] * 4 and labels[5:].tolist() == [1] * 4
        assert labels[4] == 0

    def test_dbscan_by_hand(self, backend):
        # 0, 1, 2 are core; 4 is alone
        x = np.array([[0.0], [1], [2], [9]], np.float32)
        assert backend.dbscan(x, 1.0, 2).labels.tolist() == [0, 0, 0, -1]
        assert backend.dbscan(x, 1.0, 3).labels.tolist() == [0, 0, 0, -1]  # 0 and 2 are border points of 1
        assert backend.dbscan(x, 1.0, 4).labels.tolist() == [-1, -1, -1, -1]

    def test_errors(self, backend):
        if is_reference(backend):
            return
        x = groups(5, 40)
        with pytest.raises(InputError, match="counts the point itself"):
            backend.hdbscan(x, 5, 1)
        if backend.name == "cuda":
            with pytest.raises(InputError, match="up to 30 columns"):
                backend.hdbscan(np.ones((40, 31), np.float32), 5, 3)
        with pytest.raises(InputError, match="min_cluster_size"):
            backend.hdbscan(x, 1, 3)
        with pytest.raises(InputError, match="eps"):
            backend.dbscan(x, 0.0, 3)
        x[3] = np.nan
        with pytest.raises(InputError, match="row 3"):
            backend.dbscan(x, 1.0, 3)


class TestHierarchy:
    @pytest.mark.parametrize("linkage", ["ward", "average", "complete", "single"])
    def test_equals_scipy(self, backend, linkage):
        x = groups(1, 120)
        labels = backend.agglomerative(x, 4, linkage)
        assert labels.dtype == np.int32
        assert adjusted_rand_score(labels, ReferenceBackend().agglomerative(x, 4, linkage)) == 1

    def test_errors(self, backend):
        if is_reference(backend):
            return
        x = groups(2, 100)
        with pytest.raises(InputError, match="unknown linkage 'wart'"):
            backend.agglomerative(x, 2, "wart")
        with pytest.raises(InputError, match="101 clusters of 100 points"):
            backend.agglomerative(x, 101, "ward")
        backend.memory = 10_000
        with pytest.raises(OutOfResourcesError, match="100 points"):
            backend.agglomerative(x, 3, "ward")
        assert len(np.unique(backend.agglomerative(x, 3, "single"))) == 3  # needs no n x n memory on the CPU

    def test_one_point(self, backend):
        if not is_reference(backend):
            assert backend.agglomerative(np.ones((1, 2), np.float32), 1, "ward").tolist() == [0]


class TestTheRest:
    def test_kmeans_engine(self, backend):
        x = groups(1)
        result = backend.kmeans_engine(backend.to_device(x), 4, 0, 20)
        if backend.name == "cuda":
            labels, centroids = result
            assert labels.dtype == np.int32 and centroids.dtype == np.float32 and centroids.shape == (4, 5)
            assert adjusted_rand_score(labels, np.arange(400) % 4) == 1
        else:
            assert result is None

    def test_collect_runs_plans_together(self, backend):
        frame = pl.LazyFrame({"user": [2, 1, 2], "weight": [1.0, 2.0, 3.0]})
        plans = [frame.group_by("user").agg(pl.col("weight").sum()).sort("user"), frame.select(pl.len())]
        sums, length = backend.collect(plans)
        assert sums.rows() == [(1, 2.0), (2, 4.0)] and length.item() == 3
        assert backend.collect([]) == []

    def test_there_and_back(self, backend):
        x = integers(1, 5, 3)
        np.testing.assert_array_equal(backend.to_host(backend.to_device(x)), x)
        np.testing.assert_array_equal(backend.to_host(backend.to_device(x[:, ::2])), x[:, ::2])

    def test_map_keeps_the_order(self, backend):
        assert backend.map(lambda part: part**2, range(20)) == [part**2 for part in range(20)]
        assert backend.map(str, []) == []

    def test_facts_and_release(self, backend):
        assert backend.reason.endswith(".") and backend.threads >= 1 and backend.memory > 0
        assert isinstance(backend.engines, dict)
        backend.release()
        with backend as entered:
            assert entered is backend


def test_an_unknown_device_is_a_usage_error():
    from uicgpu.backends import choose_backend

    for device in ("gpu", "cuda:", "cuda:x", "cpu:0", "auto:1", "cuda:-1"):
        with pytest.raises(SettingsError, match="unknown device"):
            choose_backend(device)
    for wrong in ({"threads": 0}, {"memory": 0}):
        with pytest.raises(SettingsError, match="1 or more"):
            choose_backend("cpu", **wrong)
