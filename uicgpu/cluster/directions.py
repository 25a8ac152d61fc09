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

    Raises
    ------
    ValueError
        For a row of zeros, which has no direction; the message names ``name`` and the row.
    """
    out, directed = as_directions(points, points.dtype)
    if not directed.all():
        raise ValueError(
            f"{name} has only zeros in row {int(directed.argmin())}: it has no direction, and metric='cosine' needs "
            "one; leave such rows out or use metric='euclidean'"
        )
    return out


def as_directions(points: NDArray[Any], dtype: Any = np.float32) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return finite ``points`` [n, d] with rows of length 1, and which rows have a direction, bool [n].

    Lengths are taken in float64 after a division by the row's largest entry, so that neither tiny nor huge rows are
    lost. Rows of zeros stay zeros.
    """
    out, directed = np.empty(points.shape, dtype), np.empty(points.shape[0], np.bool_)
    for part in chunks(points.shape[0]):
        block = points[part].astype(np.float64)
        largest = np.abs(block).max(axis=1, initial=0.0)
        directed[part] = largest > 0
        block /= np.where(directed[part], largest, 1.0)[:, None]
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        out[part] = block / np.where(directed[part], lengths, 1.0)[:, None]
    return out, directed


def of_rows(points: NDArray[Any], kept: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the rows ``kept`` (bool [n]) of ``points`` [n, d]: no copy where that is all of them."""
    return points if kept.all() else points[kept]


def unit_means(means: NDArray[np.float64], old: NDArray[Any]) -> NDArray[np.float64]:
    """Return the directions of ``means`` [k, d]; where members cancel out to nothing, the row of ``old`` stays."""
    lengths = np.sqrt(np.einsum("ij,ij->i", means, means))
    turned = lengths > CANCELLED
    return np.where(turned[:, None], means / np.where(turned, lengths, 1.0)[:, None], old)
