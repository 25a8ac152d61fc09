"""Hard negatives: texts that the encoder finds near each other put into one block, where each must be told apart."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

NEAREST: Final = 10
TWIN: Final = 0.95
"""Nearer texts are the same thing in other words: never a negative on purpose."""


def near_texts(vectors: NDArray[np.float32], nearest: int = NEAREST, twin: float = TWIN) -> NDArray[np.int64]:
    """Find the nearest other texts of each text by cosine, near-twins left out.

    Parameters
    ----------
    vectors
        float32 [n, dim], unit rows.
    nearest
        Neighbours per text.
    twin
        Cosine from which two texts count as the same thing.

    Returns
    -------
    ndarray
        int64 [n, nearest], rows of ``vectors``; -1 where there are fewer.
    """
    from uicgpu.backends.cpu.search import load_faiss

    faiss = load_faiss()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    asked = min(2 * nearest + 1, vectors.shape[0])
    cosines, found = index.search(np.ascontiguousarray(vectors), asked)
    # equal cosines come in any order: lowest row first
    order = np.lexsort((found, -cosines), axis=1)
    cosines, found = np.take_along_axis(cosines, order, axis=1), np.take_along_axis(found, order, axis=1)
    fit = (found != np.arange(vectors.shape[0])[:, None]) & (cosines < twin) & (found >= 0)
    result = np.full((vectors.shape[0], nearest), -1, np.int64)
    for row in range(vectors.shape[0]):
        kept = found[row, fit[row]][:nearest]
        result[row, : kept.size] = kept
    return result
