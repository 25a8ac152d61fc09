"""How close two sets of vectors of the same texts are: by angle, and by who is whose neighbour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10


def fidelity(vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> dict[str, float]:
    """Compare unit vectors row by row with a reference.

    Returns
    -------
    dict
        Least and mean cosine; the share of the ten nearest neighbours, and of the nearest one, that are the same.

    >>> fidelity(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32))["cosine_least"]
    1.0
    """
    ours, theirs = vectors.astype(np.float64), reference.astype(np.float64)
    cosines = (ours * theirs).sum(1) / np.maximum(np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1), 1e-30)
    near, expected = nearest(ours), nearest(theirs)
    shared = [len(set(a) & set(b)) / len(b) for a, b in zip(near.tolist(), expected.tolist(), strict=True)]
    return {
        "cosine_least": float(cosines.min()),
        "cosine_mean": float(cosines.mean()),
        "top10_overlap": float(np.mean(shared)),
        "top1_agreement": float((near[:, 0] == expected[:, 0]).mean()),
    }


def nearest(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the ten nearest other rows by inner product, nearest first, ties by the lower row."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    order: NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(vectors) - 1)]
    return order
