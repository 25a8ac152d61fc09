"""The exact largest inner products: screens and float32 products exclude, canonical dot products decide."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.dot import dot
from uicgpu.kernels.largest_products import largest_products, scan

MODULE = sys.modules[largest_products.__module__]


def one_after_the_other(part, parts):
    return [part(start) for start in parts]


def found(x, q, k, run=one_after_the_other):
    return largest_products(Points(x, None), Points(q, None), k, run)


def wanted(x, q, k):
    """The slow way: all canonical dot products, sorted."""
    with np.errstate(over="ignore"):
        scores = np.array([[dot(a, b) for b in x] for a in q]).astype(np.float32).reshape(len(q), len(x))
    rows = np.broadcast_to(np.arange(len(x)), scores.shape)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    missing = ((0, 0), (0, k - order.shape[1]))
    return (
        np.pad(np.take_along_axis(scores, order, axis=1), missing, constant_values=-np.inf),
        np.pad(order, missing, constant_values=-1),
    )


def same(got, want):
    assert got[0].dtype == np.float32 and got[1].dtype == np.int64
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])


def texts(n, d=192, seed=0, copies=0):
    """Unit vectors with a falling spectrum; the last ``copies`` are all equal to the first."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.8
    x = x @ np.linalg.qr(np.random.default_rng(99).standard_normal((d, d)))[0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[n - copies :] = x[0]
    return x.astype(np.float32)


@pytest.fixture
def screened(monkeypatch):
    """Shortened points whatever the number of queries and points; returns how many pairs each scan scored."""
    monkeypatch.setattr(MODULE, "MANY_POINTS", 1)
    monkeypatch.setattr(MODULE, "MANY_QUERIES", 1)
    calls, whole = [], MODULE.scan

    def counted(products, queries, points, *rest):
        calls.append((products.size, whole(products, queries, points, *rest)))
        return calls[-1][1]

    monkeypatch.setattr(MODULE, "scan", counted)
    return calls


@given(seed=st.integers(0, 10**6), k=st.integers(1, 12), n=st.integers(1, 150), exponent=st.sampled_from([0, -70, 70]))
@settings(max_examples=40, deadline=None)
def test_as_all_dots_sorted_with_many_ties(seed, k, n, exponent):
    rng = np.random.default_rng(seed)
    q, x = (rng.integers(-1, 2, size=(count, 5)).astype(np.float32) * np.float32(2.0**exponent) for count in (7, n))
    same(found(x, q, k), wanted(x, q, k))


@pytest.mark.parametrize("k", [1, 10, 61])
def test_shortened_points_give_the_same_bytes(k, screened):
    x, q = texts(3000, copies=400), texts(300, seed=1)
    q[:5], q[7] = x[:5], 0
    same(found(x, q, k), wanted(x, q, k))
    assert sum(scored for _, scored in screened) < sum(size for size, _ in screened) / 4
    threads = found(x, q, k, lambda part, parts: run_in_order(part, parts, 2))
    same(threads, wanted(x, q, k))


def test_points_of_any_length_keep_their_places(screened):
    rng = np.random.default_rng(3)
    x = texts(1500) * rng.lognormal(0, 3, (1500, 1)).astype(np.float32)
    q = texts(270, seed=2) * rng.lognormal(0, 3, (270, 1)).astype(np.float32)
    same(found(x, q, 6), wanted(x, q, 6))


def test_coordinates_that_vanish_exclude_nothing(screened):
    x, q = texts(400), texts(60, seed=2)
    tiny, huge = np.float32(2.0**-142), np.float32(2.0**120)
    same(found(x * huge, q * tiny, 4), wanted(x * huge, q * tiny, 4))
    same(found(x * tiny, q * huge, 4), wanted(x * tiny, q * huge, 4))


def test_where_directions_exclude_nothing_all_columns_are_taken_again(screened, monkeypatch):
    monkeypatch.setattr(MODULE, "OPENING", 1)  # the first block is the only one of the opening
    monkeypatch.setattr(MODULE, "SPARE", 0)
    # all energy in few directions, but what tells points apart lies outside of them
    rng = np.random.default_rng(5)
    x = np.concatenate([np.full((4000, 1), 3.0), rng.standard_normal((4000, 399)) / 20], axis=1).astype(np.float32)
    q = np.concatenate([np.zeros((256, 1)), rng.standard_normal((256, 399)) / 20], axis=1).astype(np.float32)
    same(found(x, q, 5), wanted(x, q, 5))
    shares = [scored / size for size, scored in screened]
    assert shares[1] > 0.5 and max(shares[2:]) < 0.05


def test_the_screen_bounds_every_score(screened):
    x, q = Points(texts(900), None), Points(texts(50, seed=4), None)
    assert x.width(MODULE.WIDTHS)
    screen = MODULE._Screen(x)
    bounds = screen.shorten(q).astype(np.float64) @ screen.short.T.astype(np.float64)
    exact = q.x.astype(np.float64) @ x.x[screen.order].T.astype(np.float64)
    assert (bounds + screen.error >= exact).all() and np.median(bounds - exact) < 0.3


def test_products_that_overflow_decide_nothing():
    x = np.array([[1e38, -1e38], [1e38, 1e38], [3e38, -3e38], [-1e38, 1e30], [1, 1], [3e38, 3e38]], np.float32)
    q = np.array([[3e38, 3e38], [1e-30, 0], [2, -2]], np.float32)
    same(found(np.tile(x, (20, 1)), q, 7), wanted(np.tile(x, (20, 1)), q, 7))


def test_products_that_vanish_are_still_told_apart():
    # terms below float32's normal numbers: a product loses nearly all of their digits
    rng = np.random.default_rng(8)
    x = (rng.standard_normal((400, 48)) * 1e-23).astype(np.float32)
    q = (rng.standard_normal((20, 48)) * 1e-21).astype(np.float32)
    same(found(x, q, 9), wanted(x, q, 9))


def test_scores_that_differ_by_less_than_the_error_of_a_product():
    rng = np.random.default_rng(9)
    x = np.tile(rng.standard_normal(384).astype(np.float32), (900, 1))
    x = np.nextafter(x, rng.choice([-np.inf, np.inf], x.shape).astype(np.float32))
    q = rng.standard_normal((20, 384)).astype(np.float32)
    same(found(x, q, 9), wanted(x, q, 9))


def test_a_heap_returns_what_sorting_does():
    rng = np.random.default_rng(6)
    scores, rows = np.full(9, -np.inf, np.float32), np.full(9, scan.NOBODY, np.int64)
    entries = [(np.float32(score), row) for row, score in enumerate(rng.integers(0, 8, 60))]
    for place in rng.permutation(60):
        if scan._behind(scores[0], rows[0], *entries[place]):
            scan._replace_last(scores, rows, *entries[place])
    kept = sorted(zip(-scores, rows, strict=True))
    assert [row for _, row in kept] == [row for _, row in sorted((-s, r) for s, r in entries)[:9]]
