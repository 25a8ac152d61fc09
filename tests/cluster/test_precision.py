import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.cluster.precision import Frame


def test_ordinary_float32_is_not_copied():
    points = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    frame = Frame.of(points)
    assert (frame.shift, frame.exponent) == (None, 0)
    assert frame.inward(points) is points or np.shares_memory(frame.inward(points), points)


def test_float64_that_float32_holds_is_not_moved():
    points = np.arange(12.0).reshape(4, 3)
    assert Frame.of(points).shift is None


@settings(max_examples=60, deadline=None)
@given(power=st.integers(-300, 300), offset=st.floats(-1e6, 1e6), seed=st.integers(0, 9))
def test_there_and_back(power, offset, seed):
    points = (np.random.default_rng(seed).standard_normal((6, 2)) + offset) * 2.0**power
    frame = Frame.of(points)
    inside = frame.inward(points)
    assert inside.dtype == np.float32
    assert np.isfinite(inside).all()
    spread = np.abs(points - points.mean(axis=0)).max()
    np.testing.assert_allclose(frame.outward(inside), points, atol=1e-6 * spread, rtol=1e-12)


def test_more_than_float64_holds_is_refused():
    with pytest.raises(ValueError, match="X spans more than float64"):
        Frame.of(np.array([[1.7e308], [-1.7e308], [1.1e308]]))


def test_points_far_outside_the_frame_stay_finite():
    frame = Frame.of(np.random.default_rng(0).standard_normal((9, 2)) * 1e-30)
    assert np.isfinite(frame.inward(np.array([[1e30, -1e300]]))).all()
