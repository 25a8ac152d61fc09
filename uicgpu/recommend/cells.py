"""Near vectors among very many: only the cells around a query are searched."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.randomness import generator

PROBES: Final = 16
"""Cells that a query looks into."""
POINTS_PER_CELL: Final = 64
"""Vectors per cell that the cells are learned from."""
ITERATIONS: Final = 10


class Cells:
    """An inverted file: vectors by the centroid they are closest to, about ``sqrt(n)`` cells.

    A query is compared with all centroids and then, exactly, with the vectors of the ``PROBES`` closest cells (Jégou,
    Douze and Schmid, "Product quantization for nearest neighbor search", 2011, without the quantisation). What is found
    depends on the query alone, not on the others of its block. All heavy work is the backend's ``assign`` and
    ``top_k``, so a GPU does it too; not executed on a GPU.

    Parameters
    ----------
    vectors
        float32 [n, dim], unit length.
    seed
        Draws what the cells are learned from.
    """

    def __init__(self, vectors: NDArray[np.float32], seed: int, backend: Backend) -> None:
        from uicgpu.cluster import KMeans

        number = max(1, int(len(vectors) ** 0.5))
        draws = generator(seed, "recommend/cells")
        most = min(len(vectors), POINTS_PER_CELL * number)
        sample = np.sort(draws.choice(len(vectors), most, replace=False))
        model = KMeans(
            number,
            max_iter=ITERATIONS,
            random_state=int(draws.integers(2**31)),
            device=backend.device,
            threads=backend.threads,
        ).fit(vectors[sample])
        self.backend = backend
        self.centroids = np.ascontiguousarray(model.cluster_centers_, np.float32)
        labels = backend.assign(backend.to_device(vectors), backend.to_device(self.centroids)).labels
        self.rows: NDArray[np.int64] = np.argsort(labels, kind="stable").astype(np.int64)
        self.vectors = np.ascontiguousarray(vectors[self.rows])
        self.offsets = np.concatenate(([0], np.cumsum(np.bincount(labels, minlength=number))))

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Like ``Backend.top_k``: the k largest inner products found, best first, ties by lower row.

        Both [n, k], padded with minus infinity and -1 where the cells hold fewer.
        """
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        _, probes = self.backend.top_k(queries, self.centroids, min(PROBES, len(self.centroids)))
        for cell in np.unique(probes):
            own = slice(self.offsets[cell], self.offsets[cell + 1])
            if own.start == own.stop:
                continue
            asked = np.flatnonzero((probes == cell).any(axis=1))
            found, places = self.backend.top_k(
                np.ascontiguousarray(queries[asked]), self.vectors[own], min(k, own.stop - own.start)
            )
            both = np.concatenate([scores[asked], found], axis=1)
            ids = np.concatenate([rows[asked], self.rows[own][places]], axis=1)
            order = np.lexsort((ids, -both), axis=1)[:, :k]
            scores[asked] = np.take_along_axis(both, order, axis=1)
            rows[asked] = np.take_along_axis(ids, order, axis=1)
        return scores, rows
