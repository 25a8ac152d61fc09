"""The one squared distance that decides, and a faster one that only excludes."""

from __future__ import annotations

from typing import Any

import numpy as np

from uicgpu.kernels.compilation import compiled, compiled_bound

FLOOR = 2.0**-120
"""Squares below are too near to the end of float32 for a relative error; they exclude nothing."""


@compiled
def square_between(a: Any, b: Any, space: Any) -> Any:
    """Return ``|a - b|^2`` of two float32 vectors in float64, in one fixed order; the same for ``b`` and ``a``."""
    d = a.shape[0]
    for j in range(d):
        difference = np.float64(a[j]) - np.float64(b[j])
        space[j] = difference * difference
    whole = d - d % 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for j in range(0, whole, 8):
        s0 += space[j]
        s1 += space[j + 1]
        s2 += space[j + 2]
        s3 += space[j + 3]
        s4 += space[j + 4]
        s5 += space[j + 5]
        s6 += space[j + 6]
        s7 += space[j + 7]
    rest = 0.0
    for j in range(whole, d):
        rest += space[j]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)) + rest


@compiled_bound
def rough_square(a: Any, b: Any) -> Any:
    """Return ``|a - b|^2`` in float32, summed in any order: not more than ``slack_of(d)`` times the exact one."""
    total = np.float32(0)
    for j in range(a.shape[0]):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@compiled
def slack_of(columns: Any) -> Any:
    """Return one plus the relative error of a float32 square of so many columns: differences do not cancel in it."""
    return 1.0 + (columns + 8) * 2.0**-23
