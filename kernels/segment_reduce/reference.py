"""The contract of segment_reduce in float64: one obvious loop."""

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
