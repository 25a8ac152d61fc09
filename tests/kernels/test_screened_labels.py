"""Screened assignment: the labels of a plain one for any centroids, and true bounds."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from screened_checks import (
    check_run,
    check_travellers,
    means,
    noise_in_one_place,
    reference_labels,
    topics,
)

from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.assign import assign, points, projection
from uicgpu.kernels.assign.screened import RepeatedAssign

pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize(("n", "k", "d"), [(1500, 40, 160), (700, 33, 129), (2200, 300, 384), (513, 64, 300)])
def test_labels_are_those_of_a_plain_assignment(n, k, d, way):
    x = topics(n, n, d)
    c = x[np.random.default_rng(0).choice(n, k, replace=False)]
    repeated = check_run(x, c, bounds=n * k < 10**5)
    assert repeated.facts["screened"] == 5
    if way == "grouped":
        assert repeated.facts["looked"] < 0.9 * repeated.facts["pairs"]
    else:
        assert repeated.facts["verified"] < 0.1 * repeated.facts["pairs"]


def test_equal_scores_go_to_the_lowest_id_whatever_the_groups():
    rng = np.random.default_rng(1)
    distinct = topics(2, 40)
    c = distinct[rng.permutation(np.repeat(np.arange(40), 3))]
    x = np.concatenate((topics(3, 300), distinct))
    repeated = RepeatedAssign(x, least_work=0)
    for step in (0, 1e-3, 0, 2e-3):
        moved = (c + step * np.roll(c, 1, axis=1)).astype(np.float32)
        np.testing.assert_array_equal(repeated(moved), assign(x, moved)[0])
    assert repeated.facts["screened"] == 3


def test_integers_give_exact_ties():
    rng = np.random.default_rng(4)
    x = np.zeros((900, 140), np.float32)
    x[:, :9] = rng.integers(-2, 3, (900, 9))
    c = np.zeros((50, 140), np.float32)
    c[:, :9] = rng.integers(-2, 3, (50, 9))
    repeated = RepeatedAssign(x, least_work=0)
    for _ in range(5):
        best, scores, top = reference_labels(x, c)
        assert ((scores == top[:, None]).sum(axis=1) > 1).mean() > 0.05
        np.testing.assert_array_equal(repeated(c), best)
        c[:, :9] += rng.integers(-1, 2, (50, 9))
    assert repeated.facts["screened"] == 4


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 400),
    k=st.integers(32, 70),
    d=st.sampled_from([128, 131, 200]),
    size=st.sampled_from([1e-6, 1e-2, 1.0, 1e5]),
    shift=st.sampled_from([0.0, 1.0, 30.0]),
    jump=st.sampled_from([0.0, 1e-4, 0.1, 3.0]),
    seed=st.integers(0, 10**6),
)
def test_equals_float64_wherever_scores_differ(n, k, d, size, shift, jump, seed):
    rng = np.random.default_rng(seed)
    x = ((topics(seed, n, d) + shift) * size).astype(np.float32)
    c = ((topics(seed + 1, k, d) + shift) * size).astype(np.float32)
    repeated = RepeatedAssign(x, least_work=0)
    for _ in range(4):
        labels = repeated(c)
        np.testing.assert_array_equal(labels, assign(x, c)[0])
        _, scores, top = reference_labels(x, c)
        margin = 1e-12 * np.abs(scores).max()
        assert (scores[np.arange(n), labels] >= top - margin).all()
        c = (c + jump * size * rng.standard_normal(c.shape) * rng.integers(0, 2, (k, 1))).astype(np.float32)


def test_tight_families():
    """Score gaps far below the rounding of float32 products: all is decided by the canonical dot."""
    rng = np.random.default_rng(5)
    family = topics(6, 40)
    x = (family[rng.integers(0, 40, 800)] + 1e-5 * rng.standard_normal((800, 160))).astype(np.float32)
    check_run(x, x[:60].copy())


def test_flat_data_start_from_nothing_each_time():
    x = np.random.default_rng(6).standard_normal((5000, 200)).astype(np.float32)
    repeated = check_run(x, x[:40].copy(), calls=3)
    assert repeated.facts == {"screened": 0, "plain": 3, "pairs": 0, "looked": 0, "verified": 0, "width": 0}


def test_useless_bounds_are_given_up():
    """Much of each point lies outside the projection, and the centroids are other points each time."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((3000, 256)).astype(np.float32)
    x[:, :3] += 12 * rng.standard_normal((1, 3))
    repeated = RepeatedAssign(x, least_work=0)
    for _ in range(6):
        c = x[rng.choice(3000, 64, replace=False)]
        np.testing.assert_array_equal(repeated(c), assign(x, c)[0])
    assert repeated.facts["screened"] == 3 and repeated.facts["plain"] == 3


def test_rows_that_need_all_dimensions_among_others(way, monkeypatch):
    """Noise in one place only: bounds are kept, and sharpened there."""
    monkeypatch.setattr(points, "PART", 128 if way == "remembered" else points.PART)
    x, c = noise_in_one_place()
    repeated = check_run(x, c, bounds=True)
    assert repeated.facts["screened"] == 5 and repeated._bounds is not None
    check_travellers()


@pytest.mark.parametrize("kind", ["float64", "float16", "int", "fortran", "strided", "memory map"])
def test_types_and_layouts(kind, tmp_path):
    x = topics(9, 600)
    if kind == "memory map":
        np.save(tmp_path / "x.npy", x)
        given_points = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "int":
        x = np.rint(50 * x).astype(np.float32)
        given_points = x.astype(np.int16)
    elif kind == "float16":
        given_points = x.astype(np.float16)
        x = given_points.astype(np.float32)
    else:
        given_points = {"float64": x.astype(np.float64), "fortran": np.asfortranarray(x)}.get(
            kind, np.repeat(x, 2, axis=0)[::2]
        )
    ours, want = RepeatedAssign(given_points, least_work=0), RepeatedAssign(x, least_work=0)
    c = x[:40].copy()
    for _ in range(3):
        labels = ours(c)
        np.testing.assert_array_equal(labels, want(c))
        c = means(x, labels, c)


def test_rows_that_are_not_finite_and_zero_rows():
    x = topics(10, 800)
    x[5], x[77, 3], x[500, 0], x[6] = 0, np.nan, np.inf, 0
    c = x[10:50].copy()
    repeated = RepeatedAssign(x, least_work=0)
    for _ in range(4):
        labels = repeated(c)
        np.testing.assert_array_equal(labels, assign(x, c)[0])
        assert np.flatnonzero(labels < 0).tolist() == [77, 500]
        c = means(np.nan_to_num(x, posinf=0), labels, c)
    assert repeated.facts["screened"] == 3


def test_constant_points_zero_centroids_and_another_number_of_centroids():
    x = np.ones((300, 128), np.float32)
    repeated = RepeatedAssign(x, least_work=0)
    assert (repeated(np.ones((40, 128), np.float32)) == 0).all() and (
        repeated(np.zeros((40, 128), np.float32)) == 0
    ).all()
    x = topics(11, 300)
    repeated = RepeatedAssign(x, least_work=0)
    for k in (40, 40, 1, 33, 300, 300, 2):
        np.testing.assert_array_equal(repeated(x[:k]), assign(x, x[:k])[0])
    assert (RepeatedAssign(x[:0], least_work=0)(x[:40])).shape == (0,)


@pytest.mark.parametrize("size", [1e-20, 1e-14, 1e15])
def test_sizes_that_float32_products_cannot_hold(size):
    x = (topics(12, 400) * size).astype(np.float32)
    check_run(x, x[:40].copy(), calls=3)


def test_bytes_do_not_depend_on_threads_or_memory():
    x = topics(13, 9000, 128)
    c = x[:50].copy()

    def labels(**options):
        repeated = RepeatedAssign(x, least_work=0, **options)
        return [repeated((c + step).astype(np.float32)).tobytes() for step in (0, 1e-3, 2e-3, 0.1)]

    want = labels()
    for threads in (1, 2, 3):
        assert labels(run=lambda function, parts, t=threads: run_in_order(function, parts, t)) == want
    assert labels(memory=1000) == want


def test_errors_name_what_is_wrong():
    repeated = RepeatedAssign(topics(14, 50))
    with pytest.raises(InputError, match="columns"):
        repeated(np.ones((3, 7), np.float32))
    with pytest.raises(InputError, match="NaN"):
        repeated(np.full((3, 160), np.nan, np.float32))


def test_bisection_divides_evenly_and_by_place():
    x = np.concatenate([np.full((6, 2), 9 * place, np.float32) for place in range(4)])
    groups = projection.bisect(x, 4)
    assert sorted(tuple(group) for group in groups) == [tuple(range(6 * g, 6 * g + 6)) for g in range(4)]
    sizes = [len(group) for group in projection.bisect(topics(15, 100), 7)]
    assert sum(sizes) == 100 and max(sizes) - min(sizes) <= 2
    assert [len(group) for group in projection.bisect(np.zeros((5, 3), np.float32), 2)] == [2, 3]


def test_memory_of_huge_inputs_is_counted_in_64_bits():
    """3 billion rows: only the arithmetic is tried, on an array that takes no memory."""
    x = np.broadcast_to(np.zeros(200, np.float32), (3 * 10**9, 200))
    assert x.shape[0] * x.shape[1] > 2**39 and 4 * x.shape[0] * (64 + 32 + 4) > 2**32
    parts = [(start, min(start + points.PART, x.shape[0])) for start in (0, x.shape[0] - points.PART)]
    assert parts[-1][1] == x.shape[0]
