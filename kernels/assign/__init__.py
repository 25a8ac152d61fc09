"""assign: nearest and second-nearest centroid of each point, without an n x k matrix.

``points [n, d]``, ``centroids [k, d]`` -> labels int32 [n], scores float32 [n], second labels int32 [n], second scores
float32 [n]. The score is ``<x, c> - |c|^2 / 2``, so ``|x - c|^2 = |x|^2 - 2 * score`` and the largest score is the
nearest centroid. Equal scores go to the lowest id. With one centroid the second label repeats the first and its score
is ``-inf``. A row with NaN or infinity gets labels -1 and scores ``-inf``. Centroids must be finite.
"""

from __future__ import annotations

from uicgpu.kernels.assign.cpu import assign

__all__ = ["assign"]
