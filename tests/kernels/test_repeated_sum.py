"""Sums that follow changing labels: those of a sum from nothing, whatever happened before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.backends.workers import run_in_order
from uicgpu.kernels.segment_reduce import repeated as module
from uicgpu.kernels.segment_reduce.repeated import RepeatedSum


def plainly(x, weights, labels, count):
    out = np.zeros((count, x.shape[1]))
    inside = labels >= 0
    np.add.at(out, labels[inside], (x.astype(np.float64) * weights.astype(np.float64)[:, None])[inside])
    return out


def make(seed, n, d):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)).astype(np.float32), rng.uniform(0, 2, n).astype(np.float32), rng


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 80), d=st.integers(1, 9), count=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_equals_a_sum_from_nothing(n, d, count, seed):
    x, weights, rng = make(seed, n, d)
    repeated = RepeatedSum(x, weights, count)
    for _ in range(4):
        labels = rng.integers(-1, count, n).astype(np.int32)
        np.testing.assert_allclose(repeated(labels), plainly(x, weights, labels, count), rtol=0, atol=1e-10)


def test_history_rows_order_and_threads_leave_no_trace():
    x, weights, rng = make(1, 5000, 300)
    labels = rng.integers(0, 50, 5000).astype(np.int32)
    want = RepeatedSum(x, weights, 50)(labels).tobytes()
    order = rng.permutation(5000)
    assert RepeatedSum(x[order], weights[order], 50)(labels[order]).tobytes() == want
    for threads in (1, 2, 3):
        repeated = RepeatedSum(x, weights, 50, lambda function, parts, t=threads: run_in_order(function, parts, t))
        for _ in range(20):
            repeated(rng.integers(-1, 50, 5000).astype(np.int32))
        assert repeated(labels).tobytes() == want


def test_whole_numbers_are_exact():
    rng = np.random.default_rng(2)
    x = rng.integers(-100, 101, (400, 7)).astype(np.float32)
    labels = rng.integers(0, 5, 400).astype(np.int32)
    ones = np.ones(400, np.float32)
    np.testing.assert_array_equal(RepeatedSum(x, ones, 5)(labels), plainly(x, ones, labels, 5))


@pytest.mark.parametrize("outlier", [1e6, 1e12, 1e30])
def test_columns_with_an_outlier_lose_nothing(outlier):
    x, weights, _ = make(3, 3_000, 4)
    x[0, 2] = outlier
    labels = np.minimum(np.arange(3000), 1).astype(np.int32)
    repeated = RepeatedSum(x, weights, 2)
    for _ in range(2):
        np.testing.assert_allclose(repeated(labels)[1], plainly(x, weights, labels, 2)[1], rtol=1e-7)


def test_constant_and_zero_columns_and_zero_weights():
    x, weights, rng = make(4, 60, 3)
    x[:, 0], x[:, 1] = 7, 0
    labels = rng.integers(0, 3, 60).astype(np.int32)
    np.testing.assert_allclose(RepeatedSum(x, weights, 3)(labels), plainly(x, weights, labels, 3), atol=1e-11)
    assert (RepeatedSum(x, 0 * weights, 3)(labels) == 0).all()


@pytest.mark.parametrize(
    "change",
    [
        ("source[j] -= value", "pass"),
        ("old[i] >= 0 and", "False and"),
        ("if old[i] >= 0 and new[i] >= 0", "if new[i] > 0"),
    ],
)
def test_the_suite_catches_a_seeded_bug(change, monkeypatch):
    import inspect

    source = inspect.getsource(module._move.py_func)
    assert change[0] in source
    scope = dict(vars(module), compiled=lambda function: function)
    exec(compile(source.replace(*change), "<mutant>", "exec"), scope)
    monkeypatch.setattr(module, "_move", scope["_move"])
    x, weights, rng = make(5, 50, 3)
    repeated = RepeatedSum(x, weights, 4)
    first, second = (rng.integers(0, 4, 50).astype(np.int32) for _ in range(2))
    repeated(first)
    assert not np.allclose(repeated(second), plainly(x, weights, second, 4))
