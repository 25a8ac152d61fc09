"""segment_reduce: weighted sum of vectors per segment, the one operation behind pooling and centroid updates.

Segment ``s`` owns the entries ``offsets[s]:offsets[s + 1]`` (offsets int64, ascending). Entry ``e`` adds ``weights[e] *
vectors[indices[e]]``. The sum is float64 [segments, d], taken in the order of the entries; an empty segment is zero.
``weights`` may be None (all 1) and ``indices`` may be None (entry ``e`` is row ``e``).
"""

from __future__ import annotations

from uicgpu.kernels.segment_reduce.cpu import segment_sum

__all__ = ["segment_sum"]
