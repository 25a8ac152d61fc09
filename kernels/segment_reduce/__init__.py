"""segment_reduce: weighted sum of vectors per segment, the one operation behind pooling and centroid means.

Segment ``s`` owns the entries ``offsets[s]:offsets[s + 1]`` (offsets int64, ascending). Entry ``e`` adds ``weights[e] *
vectors[indices[e]]``. The sum is float64 [segments, d], taken in the order of the entries; an empty segment is zero.
``weights`` may be None (all 1) and ``indices`` may be None (entry ``e`` is row ``e``).

``segment_pool`` is the form for many users: float32 results, optionally of length 1, with the order of
:mod:`uicgpu.kernels.segment_reduce.pool`; indices and weights are given.
"""

from __future__ import annotations

from uicgpu.kernels.segment_reduce.cpu import segment_sum
from uicgpu.kernels.segment_reduce.pool import segment_pool

__all__ = ["segment_pool", "segment_sum"]
