"""Squared Euclidean distances by exact differences, in float64 and in one fixed order of additions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled


@compiled
def _rows(x: Any, c: Any, labels: Any, out: Any) -> None:
    d = x.shape[1]
    squares = np.empty(d)
    whole = d - d % 8
    for i in range(x.shape[0]):
        row, centre = x[i], c[labels[i]]
        for j in range(d):
            difference = np.float64(row[j]) - np.float64(centre[j])
            squares[j] = difference * difference
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for j in range(0, whole, 8):
            s0 += squares[j]
            s1 += squares[j + 1]
            s2 += squares[j + 2]
            s3 += squares[j + 3]
            s4 += squares[j + 4]
            s5 += squares[j + 5]
            s6 += squares[j + 6]
            s7 += squares[j + 7]
        rest = 0.0
        for j in range(whole, d):
            rest += squares[j]
        out[i] = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)) + rest


def squared_distances(x: NDArray[Any], c: NDArray[Any], labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return ``|x_i - c_labels[i]|^2``, float64 [n].

    Parameters
    ----------
    x
        [n, d], float32 or float64.
    c
        [k, d], float32 or float64.
    labels
        int32 [n], each in ``0..k-1`` or counted from the end.
    """
    out = np.empty(len(x))
    _rows(np.ascontiguousarray(x), np.ascontiguousarray(c), labels, out)
    return out
