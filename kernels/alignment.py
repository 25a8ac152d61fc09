"""Arrays that start at a cache line, for rows that are read again and again in vectors of that size.

NumPy's large arrays start 16 bytes behind one. Where a row is as long as some number of lines, every vector of it then
lies across two, and costs two reads.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

LINE = 64
"""Bytes per cache line."""


def empty_aligned(shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Return a C-contiguous array, not filled, whose first byte lies at a multiple of 64.

    >>> empty_aligned((3, 5), np.float32).ctypes.data % 64
    0
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)
