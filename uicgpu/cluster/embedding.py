"""UMAP before a density estimate: coordinates that keep neighbourhoods, and a rule that places later points in them.

The package umap-learn (the extra ``umap``) lays out the points of a fit. It is given exact neighbours, a start on the
principal axes and a seed, and runs on one thread: equal points give equal bytes. Its own model could be kept only as
code that a file would run, so later points are placed without it, by the first step of its ``transform``: the mean
coordinates of the nearest fitted points, weighted as UMAP weights neighbours. A fitted point gets its own coordinates.

References
----------
L. McInnes, J. Healy, J. Melville, "UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction",
arXiv:1802.03426 (2018), algorithm 3 for the weights.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import MissingExtraError
from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.project import project
from uicgpu.kernels.spanning_tree import Cloud, nearest
from uicgpu.kernels.spanning_tree.nearest import TILE, nearest_of
from uicgpu.randomness import seed_of

NEIGHBOURS: Final = 15
"""Neighbours of a point that its coordinates should keep, the point itself included."""
HALVINGS: Final = 64
"""Steps towards a point's scale; more than a float64 can tell apart."""
FLAT: Final = 1e-6
"""A principal axis on which points spread less, relative to the first, is rounding, and UMAP would divide by it."""
ENGINE: Final = "umap-learn"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embedding:
    """Where UMAP put the points of a fit.

    Attributes
    ----------
    fitted
        The distinct points, float32 [m, d], more than 15 of them.
    coordinates
        float32 [m, components].
    """

    fitted: NDArray[np.float32]
    coordinates: NDArray[np.float32]

    def apply(self, points: NDArray[np.float32], backend: Backend) -> NDArray[np.float32]:
        """Return coordinates of ``points`` [n, d], float32 [n, components]; a row's do not depend on the other rows."""
        x = np.ascontiguousarray(points, np.float32)
        placed = np.empty((len(x), self.coordinates.shape[1]), np.float32)
        cloud = Cloud(self.fitted)

        def part(start: int) -> None:
            own = x[start : start + TILE]
            squares, rows = np.full((len(own), NEIGHBOURS), np.inf), np.full((len(own), NEIGHBOURS), -1, np.int32)
            nearest_of(cloud, own, squares, rows)
            _blend(squares, rows, self.coordinates, placed[start : start + TILE])

        backend.map(part, range(0, len(x), TILE))
        return placed

    def state(self) -> dict[str, NDArray[Any]]:
        """Return named arrays for a file; the constructor takes them back in this order."""
        return {"umap_fitted": self.fitted, "umap_coordinates": self.coordinates}


def embed(
    points: NDArray[np.float32], components: int, seed: int, backend: Backend
) -> tuple[NDArray[np.float32], Embedding] | None:
    """Lay out ``points`` [n, d] by UMAP in at most ``components`` dimensions.

    Equal points count once, so that they get equal coordinates. Points that lie in fewer dimensions get as many
    coordinates as these.

    Returns
    -------
    tuple or None
        Coordinates, float32 [n, <= components], and what places later points. None for points of which at most 15 are
        distinct: they are one neighbourhood.

    Raises
    ------
    MissingExtraError
        Without umap-learn.
    """
    library = umap_library()
    distinct, copies = _distinct(points)
    if len(distinct) <= NEIGHBOURS:
        return None
    mean, axes, _ = backend.principal_axes(distinct, components)
    start = project(distinct, np.ascontiguousarray(mean, np.float32), np.ascontiguousarray(axes, np.float32))
    spread = np.ptp(start, axis=0)
    start = np.ascontiguousarray(start[:, spread > FLAT * spread[0]])
    if not start.size:
        return None
    squares, rows = nearest(Cloud(distinct), NEIGHBOURS - 1, backend.map)
    own = np.arange(len(distinct), dtype=np.int32)[:, None]
    known = np.hstack([own, rows]), np.hstack([np.zeros((len(distinct), 1)), np.sqrt(squares)]).astype(np.float32)
    if backend.name == "cuda" and backend.engines.get("umap") != ENGINE:
        _log.warning("UMAP runs on the CPU: that of cuML gives other coordinates each time")
        backend.engines["umap"] = ENGINE
    model = library.UMAP(
        n_neighbors=NEIGHBOURS,
        n_components=start.shape[1],
        metric="euclidean",
        min_dist=0.0,  # density is wanted, not room for labels
        init=start,
        random_state=seed_of(seed, "cluster/umap"),
        n_jobs=1,
        precomputed_knn=known,
    )
    with warnings.catch_warnings():
        # it says that its own transform cannot be used, which it is not
        warnings.filterwarnings("ignore", message=".*precomputed_knn", category=UserWarning)
        coordinates = np.ascontiguousarray(model.fit_transform(distinct), np.float32)
    return coordinates[copies], Embedding(distinct, coordinates)


def umap_library() -> Any:
    """Import umap-learn, or raise MissingExtraError. This takes seconds: the library compiles parts of itself."""
    check_umap()
    module = importlib.import_module("umap")
    if not hasattr(module, "UMAP"):
        raise _missing("the package umap is not umap-learn")
    return module


def check_umap() -> None:
    """Raise MissingExtraError where there is no package of this name; nothing is imported."""
    if importlib.util.find_spec("umap") is None:
        raise _missing("UMAP is not installed")


def _missing(message: str) -> MissingExtraError:
    return MissingExtraError(f"--reduce umap: {message}", fix="pip install 'uicgpu[umap]'; or take --reduce pca")


def _distinct(points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the distinct rows in the order of their first appearance, and which of them each row is."""
    x = points + np.float32(0)  # -0 becomes 0, its equal
    keys = np.ascontiguousarray(x).view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return x[first[order]], place[which]


@compiled
def _blend(squares: Any, rows: Any, coordinates: Any, placed: Any) -> None:
    """Weighted mean of the neighbours' coordinates, per point; the only neighbour at distance 0 decides alone."""
    count = squares.shape[1]
    target = math.log2(count)
    beyond, weights = np.empty(count), np.empty(count)
    for i in range(squares.shape[0]):
        if squares[i, 0] == 0.0:
            placed[i] = coordinates[rows[i, 0]]
            continue
        first = math.sqrt(squares[i, 0])
        for j in range(count):
            beyond[j] = math.sqrt(squares[i, j]) - first
            weights[j] = 1.0
        # weights exp(-beyond / scale) that add up to log2(count); they do at a scale below the farthest's
        low, high = 0.0, beyond[count - 1]
        if high > 0.0:
            for _ in range(HALVINGS):
                scale = (low + high) / 2
                total = 0.0
                for j in range(count):
                    weights[j] = math.exp(-beyond[j] / scale)
                    total += weights[j]
                if total > target:
                    high = scale
                else:
                    low = scale
        total = 0.0
        for j in range(count):
            total += weights[j]
        for column in range(coordinates.shape[1]):
            value = 0.0
            for j in range(count):
                value += weights[j] * coordinates[rows[i, j], column]
            placed[i, column] = value / total
