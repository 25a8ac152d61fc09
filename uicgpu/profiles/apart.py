"""What sets a cluster apart from the one most like it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.privacy.text import clean_label
from uicgpu.profiles.mixes import LONGEST_VALUE, Share
from uicgpu.profiles.terms import Term

LEAST_DIFFERENCE = 0.03
"""Categories whose shares differ by less are not named."""


def nearest_clusters(centroids: NDArray[np.float32], eligible: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nearest other eligible cluster of each cluster by Euclidean distance, -1 where there is none.

    Ties go to the lowest id. ``centroids`` is float32 [k, d], ``eligible`` bool [k].
    """
    points = np.asarray(centroids, np.float64)
    nearest = np.full(points.shape[0], -1, np.int64)
    for cluster in range(points.shape[0]):
        distances = ((points - points[cluster]) ** 2).sum(axis=1)
        distances[~eligible] = np.inf
        distances[cluster] = np.inf
        best = int(distances.argmin())
        if np.isfinite(distances[best]):
            nearest[cluster] = best
    return nearest


def cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Cosine of two centroids, None if one is zero."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    lengths = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / lengths if lengths > 0 else None


def contrast(
    terms: Sequence[Term], other_terms: Sequence[Term], shares: Sequence[Share], other_shares: Sequence[Share]
) -> dict[str, Any]:
    """Terms that only one of the two has, and the categories whose shares differ most."""
    mine, theirs = {term.term for term in terms}, {term.term for term in other_terms}
    here = {entry.value: entry.share for entry in shares}
    there = {entry.value: entry.share for entry in other_shares}
    both = sorted(here.keys() & there.keys(), key=lambda value: (-abs(here[value] - there[value]), value))
    return {
        "categories": [
            {"category": clean_label(value, LONGEST_VALUE), "share": here[value], "other_share": there[value]}
            for value in both
            if abs(here[value] - there[value]) >= LEAST_DIFFERENCE
        ][:3],
        "terms": [term.term for term in terms if term.term not in theirs][:4],
        "other_terms": [term.term for term in other_terms if term.term not in mine][:4],
    }
