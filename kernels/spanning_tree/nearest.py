"""The exact nearest neighbours of every point: boxes or products bound the distances, exact differences decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled, compiled_maximum
from uicgpu.kernels.spanning_tree.box_search import nearest_in_boxes
from uicgpu.kernels.spanning_tree.boxes import MOST_COLUMNS, Boxes
from uicgpu.kernels.spanning_tree.square import square_between

TILE: Final = 512
BLOCK: Final = 1024
"""Rows and columns of one product."""
PIECE: Final = 128
"""Columns that are passed over together when none of them can be a neighbour."""
UNIT: Final = 2.0**-24

Map = Callable[[Callable[[Any], Any], Any], Any]


class Cloud:
    """Points made ready for products: moved to their mean, which shortens them against their distances.

    Attributes
    ----------
    x
        The points, float32 [n, d].
    mean
        float64 [d].
    moved
        Points minus their mean, rounded to float32.
    norms
        float64 [n], lengths of the moved points.
    half
        float32 [n], half their squares.
    boxes
        The k-d tree of few columns, else None.
    error
        ``error * (a + b)**2`` bounds the error of a squared distance from products, for lengths ``a`` and ``b``.
    """

    def __init__(self, points: NDArray[np.float32]) -> None:
        self.x = np.ascontiguousarray(points, np.float32)
        n, dim = self.x.shape
        self.mean = self.x.sum(axis=0, dtype=np.float64) / max(n, 1)
        self.moved = np.empty_like(self.x)
        self.norms = np.empty(n)
        for start in range(0, n, 4096):
            part = slice(start, start + 4096)
            self.moved[part], self.norms[part] = self.move(self.x[part])
        self.half = (self.norms**2 / 2).astype(np.float32)
        self.boxes = Boxes(self.x) if dim <= MOST_COLUMNS and n > 0 else None
        # d u for the product, and a few u for moving the points, rounding halves of squares, and the subtraction
        self.error = (dim + 24) * UNIT

    def move(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return points minus the mean of the cloud, float32, and their lengths, float64."""
        moved = (points - self.mean).astype(np.float32)
        return moved, np.sqrt(np.einsum("ij,ij->i", moved, moved, dtype=np.float64))


def nearest(cloud: Cloud, count: int, run: Map | None = None) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return squared distances, float64 [n, count], and rows, int32, of the nearest other points, nearest first.

    Equal distances are ordered by row. ``1 <= count < n``.
    """
    n = len(cloud.x)
    squares, rows = np.full((n, count), np.inf), np.full((n, count), -1, np.int32)

    boxes = cloud.boxes

    def part(start: int) -> None:
        stop = min(start + TILE, n)
        if boxes is not None:
            nearest_in_boxes(cloud.x, boxes.arrays, cloud.x, True, boxes.order[start:stop], squares, rows)
            return
        nearest_of(
            cloud,
            cloud.x[start:stop],
            cloud.moved[start:stop],
            cloud.norms[start:stop],
            start,
            squares[start:stop],
            rows[start:stop],
        )

    starts = range(0, n, TILE)
    if run is None:
        for start in starts:
            part(start)
    else:
        run(part, starts)
    return squares, rows


def nearest_of(
    cloud: Cloud,
    points: NDArray[np.float32],
    moved: NDArray[np.float32],
    norms: NDArray[np.float64],
    first: int,
    squares: NDArray[np.float64],
    rows: NDArray[np.int32],
) -> None:
    """Fill ``squares`` and ``rows`` for at most ``TILE`` points: rows from ``first`` of the cloud, or others if -1."""
    if cloud.boxes is not None:
        positions = np.arange(len(points), dtype=np.int32)
        nearest_in_boxes(cloud.x, cloud.boxes.arrays, points, False, positions, squares, rows)
        return
    work = np.empty(TILE * BLOCK, np.float32)
    _nearest(
        cloud.x, cloud.moved, cloud.norms, cloud.half, cloud.error, points, moved, norms, first, work, squares, rows
    )


@compiled_maximum
def _top(row: Any, half: Any) -> Any:
    best = np.float32(-np.inf)
    for j in range(row.shape[0]):
        value = row[j] - half[j]
        best = value if value > best else best
    return best


@compiled
def _nearest(
    x: Any,
    moved: Any,
    norms: Any,
    half: Any,
    error: float,
    points: Any,
    points_moved: Any,
    points_norms: Any,
    first: int,
    work: Any,
    squares: Any,
    rows: Any,
) -> None:
    n, count, tile = x.shape[0], squares.shape[1], points.shape[0]
    space = np.empty(x.shape[1])
    for block in range(0, n, BLOCK):
        end = min(block + BLOCK, n)
        width = end - block
        products = work[: tile * width].reshape(tile, width)
        np.dot(points_moved, moved[block:end].T, products)
        longest = norms[block:end].max()
        for r in range(tile):
            own = points_norms[r] * points_norms[r]
            margin = error * (points_norms[r] + longest) ** 2
            itself = first + r if first >= 0 else -1
            for piece in range(0, width, PIECE):
                limit = (own - squares[r, count - 1] - margin) / 2
                last = min(piece + PIECE, width)
                if _top(products[r, piece:last], half[block + piece : block + last]) < limit:
                    continue
                for p in range(piece, last):
                    j = block + p
                    if products[r, p] - half[j] < limit or j == itself:
                        continue
                    square = square_between(points[r], x[j], space)
                    if square >= squares[r, count - 1]:
                        continue
                    place = count - 1
                    while place > 0 and squares[r, place - 1] > square:
                        squares[r, place] = squares[r, place - 1]
                        rows[r, place] = rows[r, place - 1]
                        place -= 1
                    squares[r, place] = square
                    rows[r, place] = j
                    limit = (own - squares[r, count - 1] - margin) / 2
