"""Cut segments into pieces of bounded length, so that one long segment keeps no device busy alone.

The cut depends on the lengths of the segments alone; with it the order of every sum is fixed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PIECE = 256
"""Entries per piece. A segment of up to so many is summed in the order of its entries, as on the CPU."""


class Pieces(NamedTuple):
    """Pieces in the order of their segments."""

    starts: NDArray[np.int64]
    """First entry of each piece."""
    lengths: NDArray[np.int64]
    """Entries of each piece, 1 to ``PIECE``; an empty segment has no piece."""
    of_segment: NDArray[np.int64]
    """Segment ``s`` owns the pieces ``of_segment[s]:of_segment[s + 1]``."""


def cut_pieces(offsets: NDArray[np.int64], piece: int = PIECE) -> Pieces:
    """Cut the segments ``offsets[s]:offsets[s + 1]``.

    >>> cut_pieces(np.array([0, 3, 3, 8]), piece=3)
    Pieces(starts=array([0, 3, 6]), lengths=array([3, 3, 2]), of_segment=array([0, 1, 1, 3]))
    """
    pieces = -(-np.diff(offsets) // piece)
    of_segment = np.concatenate([[0], np.cumsum(pieces)]).astype(np.int64)
    inside = np.arange(of_segment[-1]) - np.repeat(of_segment[:-1], pieces)
    starts = np.repeat(offsets[:-1], pieces) + piece * inside
    return Pieces(starts, np.minimum(np.repeat(offsets[1:], pieces) - starts, piece), of_segment)
