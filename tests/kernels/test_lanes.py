"""Comparisons of sixteen numbers at once, beside the loop that they stand for."""

import numba
import numpy as np

from uicgpu.kernels.lanes import LANES, at_least, copy_row, lowest_bit, may_reach


@numba.njit
def compare(row, first, threshold):
    return at_least(row, first, np.float32(threshold))


@numba.njit
def compare_differences(row, first, less, first_less, threshold):
    return may_reach(row, first, less, first_less, np.float32(threshold))


@numba.njit
def lowest(bits):
    return lowest_bit(bits)


def test_bits_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    row = rng.integers(-3, 4, 80).astype(np.float32)
    row[[3, 40]], row[[5, 41]], row[42] = np.nan, -np.inf, np.inf
    for first in (0, 1, 16, 33, 64):
        for threshold in (-3, 0, 0.5, 3, np.inf, -np.inf):
            want = [bool(value >= threshold) for value in row[first : first + LANES]]
            bits = compare(row, first, threshold)
            assert [bool(bits >> lane & 1) for lane in range(LANES)] == want and bits >> LANES == 0


def test_bits_of_differences_are_those_of_a_loop_and_nan_may_be_anything():
    rng = np.random.default_rng(1)
    row, less = (rng.integers(-3, 4, 60).astype(np.float32) for _ in range(2))
    row[[3, 21]], less[[5, 30]], row[22] = np.nan, np.inf, np.inf
    for first, first_less in ((0, 0), (1, 17), (16, 3), (44, 44)):
        for threshold in (-3, 0, 0.5, np.inf, -np.inf, np.nan):
            pairs = zip(row[first : first + LANES], less[first_less : first_less + LANES], strict=True)
            want = [not value - minus < threshold for value, minus in pairs]
            bits = compare_differences(row, first, less, first_less, threshold)
            assert [bool(bits >> lane & 1) for lane in range(LANES)] == want and bits >> LANES == 0


def test_lowest_bit():
    assert [lowest(bits) for bits in (1, 6, 1 << 15, (1 << 15) | 8)] == [0, 1, 15, 3]


def test_rows_are_copied_to_their_place():
    for size in (1, 15, 16, 17, 64, 70):
        rows, out = np.arange(1, 2 * size + 1, dtype=np.float32).reshape(2, size), np.zeros(3 * size, np.float32)
        copy_row(rows, 1, out, 1)
        assert (out.reshape(3, size)[1] == rows[1]).all() and not out.reshape(3, size)[[0, 2]].any()
