"""Points as directions: rows of length 1, for clustering by cosine."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.cluster.distances import chunks

CANCELLED: Final = 1e-9
"""A mean of unit vectors that is shorter has no direction left but rounding."""


def unit_rows(points: NDArray[Any], name: str = "X") -> NDArray[Any]:
    """Return finite ``points`` [n, d] with rows of length 1, in their own float type; always a copy.

    Lengths are taken in float64 after a division by the row's largest entry, so that neither tiny nor huge rows are
    lost.

    Raises
    ------
    ValueError
        For a row of zeros, which has no direction; the message names ``name`` and the row.
    """
    out = np.empty(points.shape, points.dtype)
    for part in chunks(points.shape[0]):
        block = points[part].astype(np.float64)
        largest = np.abs(block).max(axis=1, initial=0.0)
        if not largest.all():
            row = part.start + int(np.flatnonzero(largest == 0)[0])
            raise ValueError(
                f"{name} has only zeros in row {row}: it has no direction, and metric='cosine' needs one; "
                "leave such rows out or use metric='euclidean'"
            )
        block /= largest[:, None]
        out[part] = block / np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
    return out


def unit_means(means: NDArray[np.float64], old: NDArray[Any]) -> NDArray[np.float64]:
    """Return the directions of ``means`` [k, d]; where members cancel out to nothing, the row of ``old`` stays."""
    lengths = np.sqrt(np.einsum("ij,ij->i", means, means))
    turned = lengths > CANCELLED
    return np.where(turned[:, None], means / np.where(turned, lengths, 1.0)[:, None], old)
