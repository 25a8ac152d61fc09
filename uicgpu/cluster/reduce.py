"""Fewer dimensions before a density estimate: distances in hundreds of dimensions hardly differ from each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import chunks


def reduce_points(
    points: NDArray[np.float32], components: int, backend: Backend
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Project ``points`` [n, d] on their first principal axes.

    Returns
    -------
    reduced
        float32 [n, min(components, d, n)]; the points themselves when ``d <= components``.
    facts
        ``dimensions`` used and ``variance_kept`` in [0, 1].
    """
    rows, columns = points.shape
    wanted = min(components, columns, rows)
    if columns <= components:
        return points, {"dimensions": columns, "variance_kept": 1.0}
    mean, axes, shares = backend.principal_axes(points, wanted)

    def part(chunk: slice) -> NDArray[np.float32]:
        return np.asarray(((points[chunk] - mean) @ axes.T), np.float32)

    kept = float(np.clip(np.nan_to_num(shares).astype(np.float64).sum(), 0.0, 1.0))
    return np.concatenate(backend.map(part, chunks(rows))), {"dimensions": wanted, "variance_kept": round(kept, 6)}
