"""The exact nearest neighbours of every point: boxes or products bound the distances, exact differences decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from uicgpu.kernels.spanning_tree.box_search import nearest_in_boxes
from uicgpu.kernels.spanning_tree.boxes import MOST_COLUMNS, Boxes
from uicgpu.kernels.spanning_tree.product_search import nearest_by_products

TILE: Final = 512
BLOCK: Final = 512
"""Rows and columns of one product: it stays in the cache of a core, and so do the block's points."""
UNIT: Final = 2.0**-24
SHORT: Final = 96
"""Columns of a shortened point: 95 coordinates and the length of the rest."""
MANY: Final = 4096
"""With fewer points, finding directions costs more than products do."""
MOST_SHARE: Final = 2
"""Points are shortened where that leaves at most half of their columns."""
SAMPLE: Final = 2048
SORTED: Final = 8
"""Coordinates by which near points come to lie side by side."""
LEAST_ENERGY: Final = 0.5
"""Below this share of the energy too many pairs would have to be looked at twice."""

Map = Callable[[Callable[[Any], Any], Any], Any]


class Cloud:
    """Points made ready for searches: boxes for few columns, else factors of products in an order that keeps near ones.

    Attributes
    ----------
    x
        The points, float32 [n, d].
    boxes
        The k-d tree of few columns, else None; the rest is for products only.
    mean
        float64 [d].
    axes
        float64 [d, SHORT - 1], main directions of the points, or None.
    order, places
        int32 [n], rows in the order of the arrays below, and where each row stands there.
    near
        float32 [n, d], the points in that order.
    short
        float32 [n, m], the factors of products: the points minus their mean, or its coordinates along ``axes`` and the
        length of the rest. By Cauchy-Schwarz the distance of two such rows is not more than that of the points.
    norms
        float64 [n], lengths of these rows.
    half
        float32 [n], half their squares.
    middles
        float32 [blocks, m], mean factors of each block.
    error
        ``error * (a + b)**2`` bounds the error of a squared distance from products, for lengths ``a`` and ``b``.
    """

    def __init__(self, points: NDArray[np.float32]) -> None:
        self.x = np.ascontiguousarray(points, np.float32)
        n, dim = self.x.shape
        self.boxes = Boxes(self.x) if dim <= MOST_COLUMNS and n > 0 else None
        self.mean = self.x.sum(axis=0, dtype=np.float64) / max(n, 1)
        self.axes = None
        if self.boxes is not None:
            return
        self.axes = _main_axes(self.x, self.mean)
        width = dim if self.axes is None else SHORT
        self.order = np.arange(n, dtype=np.int32)
        self.short, self.norms = np.empty((n, width), np.float32), np.empty(n)
        for start in range(0, n, 4096):
            part = slice(start, start + 4096)
            self.short[part], self.norms[part] = self.shorten(self.x[part])
        self.near = self.x
        if self.axes is not None:
            self.order = Boxes(np.ascontiguousarray(self.short[:, :SORTED])).order
            self.near = self.x[self.order]
            self.short, self.norms = self.short[self.order], self.norms[self.order]
        self.places = np.empty(n, np.int32)
        self.places[self.order] = np.arange(n, dtype=np.int32)
        self.half = (self.norms**2 / 2).astype(np.float32)
        self.middles = np.stack([self.short[start : start + BLOCK].mean(axis=0) for start in range(0, n, BLOCK)])
        # width u for the product, and a few u for rounding the factors and halves of squares, and the subtraction
        self.error = (width + 24) * UNIT

    def shorten(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the factors of ``points`` in products, float32, and their lengths, float64."""
        moved = points - self.mean
        squares = np.einsum("ij,ij->i", moved, moved)
        if self.axes is None:
            return moved.astype(np.float32), np.sqrt(squares)
        short = np.empty((len(points), SHORT))
        np.matmul(moved, self.axes, out=short[:, :-1])
        rest = squares - np.einsum("ij,ij->i", short[:, :-1], short[:, :-1])
        short[:, -1] = np.sqrt(np.maximum(rest, 0.0))
        return short.astype(np.float32), np.sqrt(squares)


def _main_axes(x: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Directions that hold most of the points' energy, float64 [d, SHORT - 1]; None where all columns are better."""
    n, dim = x.shape
    if n < MANY or dim < MOST_SHARE * SHORT:
        return None
    sample = x[np.linspace(0, n - 1, SAMPLE).astype(np.int64)] - mean
    energy, axes = eigh(sample.T @ sample, subset_by_index=(dim - SHORT + 1, dim - 1))
    if energy.sum() < LEAST_ENERGY * np.einsum("ij,ij->", sample, sample):
        return None
    return np.ascontiguousarray(axes)


def nearest(cloud: Cloud, count: int, run: Map | None = None) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return squared distances, float64 [n, count], and rows, int32, of the nearest other points, nearest first.

    Equal distances are ordered by row. ``1 <= count < n``.
    """
    n = len(cloud.x)
    squares, rows = np.full((n, count), np.inf), np.full((n, count), -1, np.int32)
    boxes = cloud.boxes

    def part(start: int) -> None:
        tile = slice(start, min(start + TILE, n))
        if boxes is not None:
            nearest_in_boxes(cloud.x, boxes.arrays, cloud.x, True, boxes.order[tile], squares, rows)
            return
        found = np.full((tile.stop - start, count), np.inf), np.full((tile.stop - start, count), -1, np.int32)
        _by_products(cloud, cloud.near[tile], cloud.short[tile], cloud.norms[tile], start, *found)
        squares[cloud.order[tile]], rows[cloud.order[tile]] = found

    starts = range(0, n, TILE)
    if run is None:
        for start in starts:
            part(start)
    else:
        run(part, starts)
    return squares, rows


def nearest_of(
    cloud: Cloud, points: NDArray[np.float32], squares: NDArray[np.float64], rows: NDArray[np.int32]
) -> None:
    """Fill ``squares`` and ``rows``, as of :func:`nearest`, for at most ``TILE`` points that are not of the cloud."""
    if cloud.boxes is not None:
        positions = np.arange(len(points), dtype=np.int32)
        nearest_in_boxes(cloud.x, cloud.boxes.arrays, points, False, positions, squares, rows)
        return
    _by_products(cloud, points, *cloud.shorten(points), -1, squares, rows)


def _by_products(
    cloud: Cloud,
    points: NDArray[np.float32],
    short: NDArray[np.float32],
    norms: NDArray[np.float64],
    first: int,
    squares: NDArray[np.float64],
    rows: NDArray[np.int32],
) -> None:
    # nearest blocks first: the sooner a list holds near points, the fewer others have to be looked at
    gaps = cloud.middles - short.mean(axis=0)
    plan = np.argsort(np.einsum("ij,ij->i", gaps, gaps), kind="stable")
    block = slice(plan[0] * BLOCK, min((plan[0] + 1) * BLOCK, len(cloud.near)))
    # the first block would pass nearly whole through shortened products: all columns take part
    wide = (points - cloud.mean).astype(np.float32), (cloud.near[block] - cloud.mean).astype(np.float32)
    opening = wide[0] @ wide[1].T
    nearest_by_products(
        cloud.near,
        cloud.order,
        cloud.short,
        cloud.norms,
        cloud.half,
        cloud.error,
        points,
        short,
        norms,
        first,
        plan,
        opening,
        (points.shape[1] + 24) * UNIT,
        BLOCK,
        np.empty(TILE * BLOCK, np.float32),
        squares,
        rows,
    )
