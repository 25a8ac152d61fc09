"""The conformance suite of segment_reduce, and proof that it can fail."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.segment_reduce import cpu, reference


def segments(rng, counts, rows, d, integer=False):
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = rng.integers(0, rows, size=offsets[-1]).astype(np.int32)
    if integer:
        weights = rng.integers(1, 5, size=offsets[-1]).astype(np.float32)
        return offsets, indices, weights, rng.integers(-4, 5, size=(rows, d)).astype(np.float32)
    return offsets, indices, rng.random(offsets[-1], np.float32), rng.standard_normal((rows, d)).astype(np.float32)


def check_lengths(segment_sum):
    rng = np.random.default_rng(1)
    for d in (1, 5, 50):
        # empty first, in the middle and last; every remainder of four; one long
        given_ = segments(rng, [0, 1, 2, 3, 4, 5, 0, 6, 7, 8, 200, 9, 0], 30, d)
        # the sums run in the same order, so they are equal to the last bit
        np.testing.assert_array_equal(segment_sum(*given_), reference.segment_sum(*given_))


def check_integers_are_exact(segment_sum):
    rng = np.random.default_rng(2)
    given_ = segments(rng, rng.integers(0, 20, size=40), 25, 12, integer=True)
    np.testing.assert_array_equal(segment_sum(*given_), reference.segment_sum(*given_))


def check_defaults(segment_sum):
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    got = segment_sum(np.array([0, 2, 2, 6]), None, None, x)
    assert got.tolist() == [[2, 4], [0, 0], [28, 32]]


CHECKS = [check_lengths, check_integers_are_exact, check_defaults]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check(cpu.segment_sum)


def test_worked_by_hand():
    x = np.array([[1, 0], [0, 2], [3, 3]], np.float32)
    offsets, indices = np.array([0, 2, 3], np.int64), np.array([0, 2, 1], np.int32)
    got = cpu.segment_sum(offsets, indices, np.array([0.5, 2, 1], np.float32), x)
    assert got.dtype == np.float64 and got.tolist() == [[6.5, 6], [0, 2]]


def test_no_segments_and_no_entries():
    x = np.ones((3, 4), np.float32)
    empty = np.empty(0, np.int32), np.empty(0, np.float32)
    assert cpu.segment_sum(np.array([0]), *empty, x).shape == (0, 4)
    assert not cpu.segment_sum(np.array([0, 0, 0]), *empty, x).any()
    assert cpu.segment_sum(np.array([0, 0]), *empty, x[:0]).shape == (1, 4)


def test_sums_in_float64():
    n = 100_000
    x = np.full((n, 1), 0.1, np.float32)
    got = cpu.segment_sum(np.array([0, n]), None, None, x)
    assert got[0, 0] == pytest.approx(n * float(np.float32(0.1)), rel=1e-12)


def test_strides_dtypes_and_index_widths():
    rng = np.random.default_rng(3)
    offsets, indices, weights, x = segments(rng, rng.integers(0, 9, size=30), 20, 8, integer=True)
    want = reference.segment_sum(offsets, indices, weights, x)
    wide = np.full((40, 16), np.nan, np.float32)
    wide[::2, ::2] = x
    for index in (np.int32, np.int64):
        for dtype in (np.float16, np.float64, np.float32):
            np.testing.assert_array_equal(
                cpu.segment_sum(offsets, indices.astype(index), weights, x.astype(dtype)), want
            )
    np.testing.assert_array_equal(cpu.segment_sum(offsets, indices, weights.astype(np.float64), wide[::2, ::2]), want)
    np.testing.assert_array_equal(
        cpu.segment_sum(offsets.astype(np.int32), indices, weights, np.asfortranarray(x)), want
    )


def test_nan_stays_in_its_segment():
    x = np.ones((4, 3), np.float32)
    x[2] = np.nan
    got = cpu.segment_sum(np.array([0, 2, 4]), None, None, x)
    assert got[0].tolist() == [2, 2, 2] and np.isnan(got[1]).all()


def test_bytes_do_not_depend_on_threads_or_parts(monkeypatch):
    rng = np.random.default_rng(4)
    given_ = segments(rng, rng.integers(0, 40, size=500), 60, 17)
    want = cpu.segment_sum(*given_)
    monkeypatch.setattr(cpu, "cut_segments", lambda offsets: [(s, s + 5) for s in range(0, 500, 5)])
    for threads in (1, 2, 3):
        got = cpu.segment_sum(*given_, run=lambda function, parts, t=threads: run_in_order(function, parts, t))
        assert got.tobytes() == want.tobytes()


def test_offsets_beyond_int32():
    """A stride of zero stands for two billion entries without memory."""
    start = 2**31 + 3
    rows = np.broadcast_to(np.int32(1), start + 9)
    weights = np.broadcast_to(np.float32(2), start + 9)
    out = np.zeros((2, 2))
    x = np.array([[np.nan, np.nan], [1, 3]], np.float32)
    cpu._sum_segments(np.array([start, start + 5, start + 9]), rows, weights, x, out)
    assert out.tolist() == [[10, 30], [8, 24]]


@pytest.mark.parametrize("scale", [1, 2**32])
def test_parts_cover_every_segment_once(scale):
    rng = np.random.default_rng(5)
    offsets = scale * np.concatenate([[0], np.cumsum(rng.integers(0, 50, size=200))]).astype(np.int64)
    for entries in (1, 64, 10**4):
        parts = cpu.cut_segments(offsets, entries * scale)
        assert [start for start, _ in parts] == [0, *(stop for _, stop in parts[:-1])] and parts[-1][1] == 200


def test_errors_say_what_is_wrong():
    x = np.ones((3, 2), np.float32)
    one, two = np.ones(2, np.float32), np.array([0, 1], np.int32)
    with pytest.raises(InputError, match="ascend"):
        cpu.segment_sum(np.array([0, 2, 1, 2]), two, one, x)
    with pytest.raises(InputError, match="ascend"):
        cpu.segment_sum(np.array([1, 2]), two, one, x)
    with pytest.raises(InputError, match="2 indices and 1 weights"):
        cpu.segment_sum(np.array([0, 2]), two, one[:1], x)
    for bad in (3, -1):
        with pytest.raises(InputError, match="outside the 3 vectors"):
            cpu.segment_sum(np.array([0, 2]), np.array([0, bad], np.int32), one, x)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 9), st.integers(1, 20), st.integers(0, 10**6))
def test_equals_the_reference_on_any_segments(counts, rows, d, seed):
    given_ = segments(np.random.default_rng(seed), np.asarray(counts, np.int64), rows, d)
    np.testing.assert_array_equal(cpu.segment_sum(*given_), reference.segment_sum(*given_))


MUTANTS = {
    "a weight is left out": ("+ w3 * x3[j]", "+ x3[j]"),
    "an entry is taken twice": ("x[rows[entry + 2]]", "x[rows[entry + 1]]"),
    "the rest is dropped": ("while entry < stop", "while entry < stop - 1"),
    "four entries too early": ("entry += 4", "entry += 3"),
    "order of additions": (
        "(((total[j] + w0 * x0[j]) + w1 * x1[j]) + w2 * x2[j]) + w3 * x3[j]",
        "total[j] + ((w0 * x0[j] + w1 * x1[j]) + (w2 * x2[j] + w3 * x3[j]))",
    ),
    "float32 sums": (
        "np.zeros((len(offsets) - 1, x.shape[1]), np.float64)",
        "np.zeros((len(offsets) - 1, x.shape[1]), np.float32)",
    ),
    "indices ignored": ("x[rows[entry]]", "x[entry % x.shape[0]]"),
    "the last segment is dropped": ("[len(offsets) - 1]]", "[len(offsets) - 2]]"),
    "neighbouring segment": ("offsets[part[0] : part[1] + 1], rows", "offsets[part[0] : part[1] + 1] * 0, rows"),
}


def build(change):
    source = inspect.getsource(cpu)
    if change:
        assert source.count(change[0]) >= 1, f"the kernel no longer contains {change[0]!r}"
        source = source.replace(*change)
    source = source.replace("from uicgpu.kernels.compilation import compiled", "compiled = lambda function: function")
    namespace = {"__name__": "mutant"}
    exec(compile(source, "<mutant>", "exec"), namespace)
    return namespace["segment_sum"]


def fails(segment_sum):
    for check in CHECKS:
        try:
            check(segment_sum)
        except (AssertionError, ValueError, IndexError):
            return True
    return False


def test_the_unchanged_kernel_passes_uncompiled():
    assert not fails(build(None))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name):
    assert fails(build(MUTANTS[name]))
