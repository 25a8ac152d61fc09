"""Points of any float type as float32, without losing what decides labels.

Assignment runs in float32. float64 points that float32 cannot hold (epoch seconds, coordinates with a large offset)
are moved by their mean first; points of extreme size are scaled by a power of two. Neither changes which centroid is
nearest, and the scaling is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

COMFORTABLE: Final = 20
"""Largest absolute values between 2^-20 and 2^20 are left alone: their squares are far from float32's limits."""


@dataclass(frozen=True)
class Frame:
    """The map ``x -> (x - shift) * 2^exponent`` from the caller's points to float32."""

    shift: NDArray[np.float64] | None
    exponent: int

    @classmethod
    def of(cls, points: NDArray[Any]) -> Frame:
        """Choose the frame for finite ``points`` [n, d].

        Raises
        ------
        ValueError
            If the points span more than float64 can hold.
        """
        shift = None
        if points.dtype != np.float32:
            with np.errstate(over="ignore"):
                exact = bool((points.astype(np.float32) == points).all())
            if not exact:
                shift = (points / points.shape[0]).sum(axis=0, dtype=np.float64)
        largest = _largest(points, shift)
        if not np.isfinite(largest):
            raise ValueError("X spans more than float64 can hold; scale its columns first")
        power = int(np.frexp(largest)[1]) if largest > 0 else 0
        return cls(shift, 0 if abs(power) <= COMFORTABLE else -power)

    def inward(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Caller's points as float32, row-major; no copy of float32 points that need none."""
        if self.shift is None and self.exponent == 0:
            return np.ascontiguousarray(points, dtype=np.float32)
        with np.errstate(over="ignore"):
            moved = np.asarray(points, np.float64) - (0.0 if self.shift is None else self.shift)
            limit = np.finfo(np.float32).max
            return np.ascontiguousarray(np.clip(np.ldexp(moved, self.exponent), -limit, limit).astype(np.float32))

    def outward(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points of the frame in the caller's coordinates, float64."""
        return np.asarray(
            np.ldexp(points.astype(np.float64), -self.exponent) + (0 if self.shift is None else self.shift)
        )


AS_GIVEN: Final = Frame(None, 0)
"""For points that float32 holds as they are."""


def _largest(points: NDArray[Any], shift: NDArray[np.float64] | None) -> float:
    if points.size == 0:
        return 0.0
    with np.errstate(over="ignore"):
        if shift is None:
            return float(max(abs(float(points.max())), abs(float(points.min()))))
        return float(np.abs(points - shift).max())
