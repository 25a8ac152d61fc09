"""Fewer dimensions before a density estimate: distances in hundreds of dimensions hardly differ from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import chunks
from uicgpu.cluster.embedding import NEIGHBOURS, Embedding, embed
from uicgpu.kernels.project import project

WAYS: Final = ("pca", "umap", "none")


@dataclass(frozen=True)
class Projection:
    """The first principal axes of some points; without ``axes`` points stay as they are.

    Attributes
    ----------
    mean
        float32 [d].
    axes
        float32 [components, d].
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    def apply(self, points: NDArray[np.float32], backend: Backend) -> NDArray[np.float32]:
        """Return the coordinates of ``points`` [n, d]; those of a row do not depend on the other rows."""
        if not len(self.axes):
            return points

        def part(chunk: slice) -> NDArray[np.float32]:
            return project(np.ascontiguousarray(points[chunk], np.float32), self.mean, self.axes)

        return np.concatenate([np.empty((0, len(self.axes)), np.float32), *backend.map(part, chunks(len(points)))])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return named arrays for :func:`reduction_from_state`."""
        return {"mean": self.mean, "axes": self.axes}


Reduction = Projection | Embedding


def reduction_from_state(state: Mapping[str, NDArray[Any]]) -> Reduction:
    """Rebuild a reduction from its arrays."""
    if "umap_fitted" in state:
        return Embedding(state["umap_fitted"], state["umap_coordinates"])
    return Projection(state["mean"], state["axes"])


def reduce_points(
    points: NDArray[np.float32], components: int, backend: Backend, way: str = "pca", seed: int = 0
) -> tuple[NDArray[np.float32], Reduction, dict[str, Any]]:
    """Bring ``points`` [n, d] to fewer dimensions: their first principal axes, or UMAP.

    Parameters
    ----------
    components
        Dimensions wanted; points that have no more stay as they are.
    way
        ``pca``, ``umap``, or ``none``: all dimensions. So few points that UMAP has nothing to do get their axes.
    seed
        Of UMAP.

    Returns
    -------
    reduced
        float32 [n, min(components, d, n)]; the points themselves when ``d <= components``.
    reduction
        What was done to them, for later points.
    facts
        ``dimensions`` used, and ``variance_kept`` in [0, 1] or, of UMAP, ``reduction`` and ``neighbours``.

    Raises
    ------
    MissingExtraError
        For UMAP, when it is not installed.
    """
    rows, columns = points.shape
    wanted = min(components, columns, rows)
    if way == "umap" and columns > components:
        embedded = embed(points, wanted, seed, backend)
        if embedded is not None:
            facts = {"reduction": way, "dimensions": embedded[0].shape[1], "neighbours": NEIGHBOURS}
            return *embedded, facts
    if way == "none" or columns <= components:
        nothing = Projection(np.empty(0, np.float32), np.empty((0, columns), np.float32))
        return points, nothing, {"dimensions": columns, "variance_kept": 1.0}
    mean, axes, shares = backend.principal_axes(points, wanted)
    projection = Projection(np.ascontiguousarray(mean, np.float32), np.ascontiguousarray(axes, np.float32))
    kept = float(np.clip(np.nan_to_num(shares).astype(np.float64).sum(), 0.0, 1.0))
    return projection.apply(points, backend), projection, {"dimensions": wanted, "variance_kept": round(kept, 6)}
