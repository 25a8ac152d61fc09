"""From text vectors to ranking vectors: affine maps with unit length in between, and half-whitening as the first.

Plain vectors are for clustering; ranking vectors are for "which item next". Both come from one encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError

CHUNK: Final = 4096
HALF: Final = 0.5
FLOOR: Final = 1e-3
"""Singular values below this part of the largest count as this part."""
UNSEEN: Final = 1e-6
"""Directions below this part of the largest singular value were not seen in training and are dropped."""


@dataclass(frozen=True)
class Affine:
    """``x -> W x + b``: weight float32 [out, in], bias float32 [out]."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class RankingMap:
    """Affine maps in order; after each one rows are brought to unit length. Without maps: unit length alone.

    The same chain is stored as Dense and Normalize modules, which sentence-transformers reads.
    """

    maps: tuple[Affine, ...] = ()

    def apply(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map rows, float32 [n, dim]; a zero row (an item without text) stays zero."""
        result = np.zeros((vectors.shape[0], self.maps[-1].bias.size if self.maps else vectors.shape[1]), np.float32)
        for start in range(0, vectors.shape[0], CHUNK):
            rows = _unit(np.asarray(vectors[start : start + CHUNK], np.float32))
            blank = ~rows.any(axis=1)
            for affine in self.maps:
                rows = _unit(rows @ affine.weight.T + affine.bias)
            rows[blank] = 0
            result[start : start + CHUNK] = rows
        return result

    def then(self, *maps: Affine) -> RankingMap:
        """Return the map followed by ``maps``."""
        return RankingMap((*self.maps, *maps))


def half_whitening(vectors: NDArray[np.floating], power: float = HALF) -> Affine:
    """Fit half-whitening: shrink the directions in which all texts differ, by the root of their singular value.

    With ``m`` the mean and ``X - m = U S V^T``: ``z = V max(S, 1e-3 S_1)^-power V^T (x - m)``, scaled to an average
    length of about 1. The rotation back by ``V`` changes no cosine and makes the map unique.

    Parameters
    ----------
    vectors
        [n, dim], unit rows of training texts only; zero rows are left out.
    power
        On singular values; .5 is half-whitening, 1 whitens fully.

    Raises
    ------
    InputError
        With fewer than two different vectors.
    """
    rows = np.asarray(vectors, np.float64)
    rows = rows[rows.any(axis=1)]
    mean = rows.mean(axis=0) if rows.shape[0] else np.zeros(rows.shape[1])
    gram = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, rows.shape[0], CHUNK):
        part = rows[start : start + CHUNK] - mean
        gram += part.T @ part
    values, directions = np.linalg.eigh(gram)
    singular = np.sqrt(np.maximum(values, 0))
    largest = float(singular[-1]) if singular.size else 0.0
    if rows.shape[0] < 2 or largest < 1e-6:
        raise InputError(
            f"{rows.shape[0]} training texts give one and the same vector",
            where="half-whitening",
            fix="check the text columns (--text-columns)",
        )
    scale = np.where(singular > UNSEEN * largest, np.maximum(singular, FLOOR * largest) ** -power, 0.0)
    matrix = (directions * scale) @ directions.T
    matrix /= np.sqrt((((rows[:CHUNK] - mean) @ matrix) ** 2).sum(axis=1).mean())
    return Affine(matrix.astype(np.float32), (-(matrix @ mean)).astype(np.float32))


def centring(vectors: NDArray[np.floating]) -> Affine:
    """Return ``x -> x - mean`` with the mean of the training texts: cosines then compare what differs."""
    rows = np.asarray(vectors, np.float64)
    rows = rows[rows.any(axis=1)]
    mean = rows.mean(axis=0) if rows.shape[0] else np.zeros(vectors.shape[1])
    return Affine(np.eye(vectors.shape[1], dtype=np.float32), (-mean).astype(np.float32))


def whitened(vectors: NDArray[np.floating], rows: NDArray[np.int64], before: RankingMap | None = None) -> RankingMap:
    """Append half-whitening and centring, both fitted on ``rows`` of ``vectors``, to ``before``."""
    before = before or RankingMap()
    first = before.then(half_whitening(before.apply(vectors[rows])))
    return first.then(centring(first.apply(vectors[rows])))


def compose(maps: Sequence[RankingMap]) -> RankingMap:
    """Return one map that applies all of them in order."""
    return RankingMap(tuple(affine for one in maps for affine in one.maps))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
    unit: NDArray[np.float32] = (rows / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32)
    return unit
