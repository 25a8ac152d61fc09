"""The contract of assign in float64: obvious, slow, and stores n x k scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Scores = NDArray[np.float32]


def assign(points: NDArray[Any], centroids: NDArray[Any]) -> tuple[Labels, Scores, Labels, Scores]:
    """Return labels, scores, second labels, second scores (see the package's docstring)."""
    x, c = points.astype(np.float32).astype(np.float64), centroids.astype(np.float32).astype(np.float64)
    with np.errstate(invalid="ignore"):
        scores = x @ c.T - 0.5 * (c * c).sum(axis=1)
    bad = ~np.isfinite(x).all(axis=1)
    scores[bad] = -np.inf
    rows = np.arange(len(x))
    best = scores.argmax(axis=1)
    best_scores = scores[rows, best]
    scores[rows, best] = -np.inf
    second = scores.argmax(axis=1) if len(c) > 1 else best
    second_scores = scores[rows, second]
    labels, second_labels = best.astype(np.int32), second.astype(np.int32)
    labels[bad] = second_labels[bad] = -1
    with np.errstate(over="ignore"):
        return labels, best_scores.astype(np.float32), second_labels, second_scores.astype(np.float32)
