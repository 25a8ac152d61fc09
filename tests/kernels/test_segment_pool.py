"""The conformance suite of pooling, and proof that it can fail."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.alignment import empty_aligned
from uicgpu.kernels.segment_reduce import groups, pool, reference

LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 15, 16, 17, 23, 255, 256, 257, 263, 264, 265, 600, 0]


def segments(seed, counts, rows, d):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = rng.integers(0, rows, size=offsets[-1]).astype(np.int32)
    x = rng.standard_normal((rows, d)).astype(np.float32)
    return offsets, indices, rng.random(offsets[-1], np.float32), x


def check_order_of_additions(segment_pool):
    """Below and above one vector of columns; every remainder of a group; one, two and three pieces."""
    for d in (1, 5, 16, 17, 40):
        given_ = segments(1, LENGTHS, 30, d)
        np.testing.assert_array_equal(segment_pool(*given_, False), reference.segment_pool(*given_, False))


def check_few_entries_in_all(segment_pool):
    for count in range(1, 8):
        given_ = segments(2, [count], 3, 20)
        np.testing.assert_array_equal(segment_pool(*given_, False), reference.segment_pool(*given_, False))


def check_unit_lengths(segment_pool):
    given_ = segments(3, LENGTHS, 30, 24)
    given_[3][:] /= 1.01 * np.linalg.norm(given_[3], axis=1, keepdims=True)
    got = segment_pool(*given_, True)
    np.testing.assert_allclose(got, reference.segment_pool(*given_, True), rtol=0, atol=6e-8)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), np.array(LENGTHS) > 0, atol=1e-6)


def check_residue(segment_pool):
    x = np.array([[0.6, 0.8], [-0.6, -0.8], [1, 0]], np.float32)
    offsets, indices = np.array([0, 3, 4, 6, 9]), np.array([0, 0, 1, 2, 2, 0, 0, 1, 2], np.int32)
    weights = np.array([0.1, 0.2, 0.3, 5e-9, 0, 0, 1, 1, 3e-6], np.float32)
    # what cancels out is nothing; little weight is not; no weight is; a millionth of the weights is just too much
    assert segment_pool(offsets, indices, weights, x, True).tolist() == [[0, 0], [1, 0], [0, 0], [1, 0]]
    weights[-1] = 1e-6
    assert segment_pool(offsets, indices, weights, x, True)[-1].tolist() == [0, 0]


CHECKS = [check_order_of_additions, check_few_entries_in_all, check_unit_lengths, check_residue]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check(pool.segment_pool)


def test_worked_by_hand():
    x = np.array([[1, 0], [0, 2], [3, 3]], np.float32)
    offsets, indices = np.array([0, 2, 3], np.int64), np.array([0, 2, 1], np.int32)
    weights = np.array([0.5, 2, 1], np.float32)
    got = pool.segment_pool(offsets, indices, weights, x, False)
    assert got.dtype == np.float32 and got.tolist() == [[6.5, 6], [0, 2]]
    # 6.5 and 6 along a hypotenuse of sqrt(78.25); shorter than its weights would allow, but far from residue
    np.testing.assert_allclose(
        pool.segment_pool(offsets, indices, weights, x, True), [[0.734803, 0.678280], [0, 1]], atol=1e-6
    )


def test_error_does_not_grow_with_the_segment():
    n = 1_000_000
    got = pool.segment_pool(
        np.array([0, n]), np.zeros(n, np.int32), np.full(n, 0.1, np.float32), np.full((1, 3), 0.3, np.float32), False
    )
    want = n * float(np.float32(0.1)) * float(np.float32(0.3))
    assert np.abs(got / want - 1).max() < 2.0**-22


@pytest.mark.parametrize("count", [1, 3, 5, 7, 8])
def test_what_is_not_finite_stays_in_its_segment(count):
    x = np.ones((4, 18), np.float32)
    x[2] = np.nan
    indices = np.array([0] * count + [2] + [1] * (count - 1) + [0] * count, np.int32)
    offsets = np.array([0, count, 2 * count, 3 * count])
    got = pool.segment_pool(offsets, indices, np.ones(3 * count, np.float32), x, False)
    assert (got[[0, 2]] == count).all() and np.isnan(got[1]).all()


def test_strides_dtypes_and_index_widths():
    offsets, indices, weights, x = segments(3, [5, 0, 9, 20], 20, 24)
    x = np.rint(4 * x).astype(np.float32)
    want = reference.segment_pool(offsets, indices, weights, x, False)
    wide = np.full((40, 48), np.nan, np.float32)
    wide[::2, ::2] = x
    for index in (np.int32, np.int64):
        for values in (x.astype(np.float16), x.astype(np.float64), np.asfortranarray(x), wide[::2, ::2]):
            got = pool.segment_pool(
                offsets.astype(np.int32), indices.astype(index), weights.astype(float), values, False
            )
            np.testing.assert_array_equal(got, want)


def test_bytes_do_not_depend_on_threads_parts_or_alignment(monkeypatch):
    offsets, indices, weights, x = segments(4, np.random.default_rng(4).integers(0, 40, size=500), 60, 33)
    for unit in (False, True):
        want = pool.segment_pool(offsets, indices, weights, x, unit)
        for shift in range(4):
            moved = empty_aligned((60 * 33 + shift,), np.float32)[shift:].reshape(60, 33)
            moved[:] = x
            with monkeypatch.context() as patch:
                patch.setattr(pool, "cut_segments", lambda offsets: [(s, s + 5) for s in range(0, 500, 5)])
                got = pool.segment_pool(
                    offsets, indices, weights, moved, unit, lambda f, parts, t=1 + shift: run_in_order(f, parts, t)
                )
            assert got.tobytes() == want.tobytes()
        sums = pool.segment_pool(offsets, indices, weights, x, False)
        if unit:
            pool.scale_to_unit(offsets, weights, sums)
        assert sums.tobytes() == want.tobytes()


def test_rows_beyond_int32():
    """Row 2^27 of 16 columns starts 2^31 elements behind the first; the rows before it are mapped, never touched."""
    x = np.zeros((2**27 + 1, 16), np.float32)
    x[-1] = 3
    for index in (np.int32, np.int64):
        rows = np.array([2**27, 0], index)
        got = pool.segment_pool(np.array([0, 1, 2]), rows, np.ones(2, np.float32), x, False)
        assert got.tolist() == [[3] * 16, [0] * 16]


def test_nothing_to_pool():
    x, empty = np.ones((3, 4), np.float32), (np.empty(0, np.int32), np.empty(0, np.float32))
    for unit in (False, True):
        assert pool.segment_pool(np.array([0]), *empty, x, unit).shape == (0, 4)
        assert not pool.segment_pool(np.array([0, 0, 0]), *empty, x, unit).any()
        assert pool.segment_pool(np.array([0, 0]), *empty, x[:, :0], unit).shape == (1, 0)


def test_errors_say_what_is_wrong():
    x, one, two = np.ones((3, 2), np.float32), np.ones(2, np.float32), np.array([0, 1], np.int32)
    with pytest.raises(InputError, match="ascend"):
        pool.segment_pool(np.array([0, 2, 1, 2]), two, one, x, True)
    with pytest.raises(InputError, match="2 indices and 1 weights"):
        pool.segment_pool(np.array([0, 2]), two, one[:1], x, True)
    with pytest.raises(InputError, match="outside the 3 vectors"):
        pool.segment_pool(np.array([0, 2]), np.array([0, 3], np.int32), one, x, True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 9), st.integers(1, 40), st.integers(0, 10**6))
def test_equals_the_reference_on_any_segments(counts, rows, d, seed):
    given_ = segments(seed, np.asarray(counts, np.int64), rows, d)
    np.testing.assert_array_equal(pool.segment_pool(*given_, False), reference.segment_pool(*given_, False))


def test_arrays_that_start_at_a_cache_line():
    for shape in ((0, 3), (1, 1), (7, 5), (1000, 384)):
        for dtype in (np.float32, np.float64, np.int32):
            array = empty_aligned(shape, dtype)
            assert array.shape == shape and array.dtype == dtype and array.flags.c_contiguous
            assert array.ctypes.data % 64 == 0 or array.size == 0
            array[:] = 1


MUTANTS = {
    "a group too long": (pool, "entry + GROUP <= piece_stop", "entry + GROUP - 1 <= piece_stop"),
    "old weights stay in a short group": (pool, "few_weights[:] = 0.0", "pass"),
    "a short group is dropped": (pool, "add_group(few_rows, few_weights, x, coming, piece)", "pass"),
    "pieces of another length": (pool, "range(start, stop, PIECE)", "range(start, stop, 2 * PIECE)"),
    "pieces are not parted": (pool, "            piece[:] = 0.0\n", ""),
    "the sum of the last segment stays": (pool, "        total[:] = 0.0\n", ""),
    "no residue": (pool, "if length > RESIDUE * weight else 0.0", "if length > 0 else 0.0"),
    "residue without weights": (pool, "RESIDUE * weight", "RESIDUE"),
    "no unit vectors": (pool, "if unit:", "if unit and x.shape[0] < 0:"),
    "a weight is taken twice": (groups, "weights[7] * x[rows[7], j]", "weights[6] * x[rows[7], j]"),
    "a row is taken twice": (groups, "weights[5] * x[rows[5], j]", "weights[5] * x[rows[4], j]"),
    "another order": (groups, "np.float64(near + far)", "np.float64(near) + np.float64(far)"),
    "the last columns are left out": (groups, "range(whole, d)", "range(whole, d - 1)"),
}


def plain_lanes(rows, weights, x, coming, total, count):
    """What the generated vector instructions do."""
    products = weights[:, None] * x[rows, :count]
    while len(products) > 1:
        products = products[0::2] + products[1::2]
    total[:count] += products[0]


def build(module=None, old="", new=""):
    """The Python source of both files, uncompiled, with one change."""
    namespace = {"__name__": "mutant"}
    for each in (groups, pool):
        source = inspect.getsource(each)
        if each is module:
            assert source.count(old) >= 1, f"the kernel no longer contains {old!r}"
            source = source.replace(old, new)
        source = source.replace(
            "from uicgpu.kernels.compilation import compiled", "compiled = lambda function: function"
        )
        source = source.replace("from uicgpu.kernels.segment_reduce.groups import GROUP, add_group", "")
        exec(compile(source, "<mutant>", "exec"), namespace)
        namespace["_add_lanes"] = plain_lanes
    return namespace["segment_pool"]


def fails(segment_pool):
    for check in CHECKS:
        try:
            check(segment_pool)
        except (AssertionError, ValueError, IndexError):
            return True
    return False


def test_the_unchanged_kernel_passes_uncompiled():
    assert not fails(build())


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name):
    assert fails(build(*MUTANTS[name]))
