"""The contract of segment_reduce: obvious loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def segment_sum(
    offsets: NDArray[np.int64], indices: NDArray[Any] | None, weights: NDArray[Any] | None, vectors: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the weighted sum per segment (see the package's docstring)."""
    out = np.zeros((len(offsets) - 1, vectors.shape[1]))
    for segment in range(len(offsets) - 1):
        for entry in range(int(offsets[segment]), int(offsets[segment + 1])):
            weight = np.float64(1.0 if weights is None else np.float32(weights[entry]))
            row = vectors[entry if indices is None else indices[entry]]
            out[segment] += weight * row.astype(np.float32).astype(np.float64)
    return out


def segment_pool(
    offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: NDArray[Any], unit: bool
) -> NDArray[np.float32]:
    """Return the pooled vector per segment, float32 [segments, d].

    Groups of eight entries in float32, added as a tree; pieces of 256 entries and segments in float64. A missing entry
    of a group counts as zero. ``unit`` scales to length 1, or to 0 below 1e-6 of the weights.
    """
    out = np.zeros((len(offsets) - 1, vectors.shape[1]), np.float32)
    for segment in range(len(offsets) - 1):
        start, stop = int(offsets[segment]), int(offsets[segment + 1])
        total = np.zeros(vectors.shape[1])
        for first in range(start, stop, 256):
            piece = np.zeros(vectors.shape[1])
            for group in range(first, min(first + 256, stop), 8):
                products = np.zeros((8, vectors.shape[1]), np.float32)
                for entry in range(group, min(group + 8, first + 256, stop)):
                    products[entry - group] = np.float32(weights[entry]) * vectors[indices[entry]].astype(np.float32)
                pairs = products[0::2] + products[1::2]
                fours = pairs[0::2] + pairs[1::2]
                piece += (fours[0] + fours[1]).astype(np.float64)
            total += piece
        out[segment] = total
        if unit:
            row = out[segment].astype(np.float64)
            length = np.sqrt(row @ row)
            weight = weights[start:stop].astype(np.float32).astype(np.float64).sum()
            out[segment] = row / length if length > 1e-6 * weight else 0.0
    return out
