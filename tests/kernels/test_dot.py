import numpy as np
import pytest

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.dot import STRIDE, dot, dot_of_rows, float32_dot_of_rows, squared_norms


@compiled
def call(x, y):
    return dot(x, y)


def by_hand(x, y):
    """The same lanes and order of additions, written with Python floats."""
    whole = len(x) - len(x) % STRIDE
    lanes = [0.0] * STRIDE
    for i in range(whole):
        lanes[i % STRIDE] += float(x[i]) * float(y[i])
    halves = [lanes[i] + lanes[i + 8] for i in range(8)]
    quarters = [halves[i] + halves[i + 4] for i in range(4)]
    total = (quarters[0] + quarters[2]) + (quarters[1] + quarters[3])
    rest = 0.0
    for i in range(whole, len(x)):
        rest += float(x[i]) * float(y[i])
    return total + rest


@pytest.mark.parametrize("d", [0, 1, 15, 16, 17, 31, 50, 384])
def test_equals_the_written_order_bit_by_bit(d):
    rng = np.random.default_rng(d)
    x, y = rng.standard_normal((2, d)).astype(np.float32)
    assert call(x, y) == by_hand(x, y)


@pytest.mark.parametrize("d", [1, 16, 37, 384])
def test_rows_of_matrices_give_the_same_bits(d):
    rng = np.random.default_rng(d)
    x, y = rng.standard_normal((5, d)).astype(np.float32), rng.standard_normal((4, d)).astype(np.float32)
    for i in range(5):
        for j in range(4):
            exact = call(x[i], y[j])
            assert dot_of_rows(x, i, y, j) == exact
            assert float32_dot_of_rows(x, i, y, j) == pytest.approx(exact, abs=d * 2.0**-24 * 2 * d)


def test_worked_by_hand():
    x = np.array([1, 2, 3], np.float32)
    assert call(x, np.array([4, 5, 6], np.float32)) == 32


def test_reads_nothing_beyond_the_end():
    guarded = np.full(100, np.nan, np.float32)
    guarded[30:67] = 1
    assert call(guarded[30:67], guarded[30:67]) == 37


def test_sums_in_float64():
    x = np.full(1600, 0.1, np.float32)
    assert call(x, x) == pytest.approx(1600 * float(np.float32(0.1)) ** 2, rel=1e-14)


def test_squared_norms_of_no_rows():
    assert squared_norms(np.empty((0, 3), np.float32)).shape == (0,)
