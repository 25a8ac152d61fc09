"""Tiles of queries against blocks of points; with many queries on shortened points, nearest blocks first.

With orthonormal main directions ``V`` of the points, ``<q, x> <= <V'q, V'x> + |rest of q| |rest of x|`` (see
:mod:`uicgpu.kernels.assign.projection`): one product of a quarter of the columns bounds all scores. Points and queries
are put into an order that keeps near ones together, so that a tile of queries soon holds good candidates and the bound
excludes nearly all of the other blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.assign.points import Points
from uicgpu.kernels.assign.projection import EXTRA, UNIT, Widths, finish_points
from uicgpu.kernels.largest_products.scan import NOBODY, scan
from uicgpu.kernels.spanning_tree.boxes import Boxes

TILE: Final = 256
"""Queries per tile."""
BLOCK: Final = 512
"""Points per block: a tile's products stay in the cache of a core."""
WIDTHS: Final[Widths] = ((96, 0.6),)
"""Columns of a shortened point, and the share of the energy below which they exclude too little."""
SORTED: Final = 8
"""Directions along which near points come to lie side by side."""
MANY_POINTS: Final = 8192
MANY_QUERIES: Final = 1024
"""With fewer, finding directions costs more than they save."""
SHORTEST: Final = 2.0**-100
OPENING: Final = 1 / 64
"""While a tile still takes a larger share of the pairs, its limits are low: most would pass shortened products."""
MOST_SCORED: Final = 1 / 16
"""Where more of the pairs pass shortened products, the rest of a tile is searched with all columns."""
SPARE: Final = 2 * TILE * BLOCK
"""Pairs that may pass beyond that share."""

Map = Callable[[Callable[[Any], Any], Any], Any]
Found = tuple[NDArray[np.float32], NDArray[np.int64]]


class _Screen:
    """Shortened points in the order in which they are searched.

    Attributes
    ----------
    axes
        float32 [d, width], main directions, and zeros for two columns more.
    order
        int64 [n], rows in that order.
    short
        float32 [n, width]: coordinates, 1, and the length of the rest.
    middles
        float32 [blocks, width], means of the blocks.
    error
        ``error * |q| * |x|`` bounds the error of a product of shortened rows.
    """

    def __init__(self, points: Points) -> None:
        points.project(WIDTHS)
        width = points.projected.shape[1]
        self.axes = np.zeros((points.x.shape[1], width), np.float32)
        self.axes[:, :-EXTRA] = points.axes
        self.order = Boxes(np.ascontiguousarray(points.projected[:, :SORTED])).order.astype(np.int64)
        self.short = points.projected[self.order]
        starts = range(0, len(self.short), BLOCK)
        self.middles = np.stack([self.short[start : start + BLOCK].mean(axis=0) for start in starts])
        self.point = points.margins.point
        # the projections of both sides, the product itself, and what full products need
        self.error = 2.04 * self.point + 4 * (width + 4) * UNIT

    def shorten(self, queries: Points) -> NDArray[np.float32]:
        """Return the queries' factors of products, float32 [n, width]: coordinates, 0, and the length of the rest."""
        short: NDArray[np.float32] = queries.x @ self.axes
        finish_points(short, queries.squares, self.point)
        short[:, -EXTRA] = 0.0
        return short


def largest_products(points: Points, queries: Points, k: int, run: Map) -> Found:
    """Return the scores and rows of the ``k`` points with the largest canonical dot products with each query.

    Parameters
    ----------
    points, queries
        Finite, with equally many columns; neither may be empty.
    run
        Applies a function to every part; the result does not depend on it. BLAS should be held to one thread there.

    Returns
    -------
    scores, rows
        float32 and int64 [queries, k], best first, equal scores by ascending row; with fewer than ``k`` points the rest
        is -infinity and -1.
    """
    n, dim = queries.x.shape
    scores, rows = np.full((n, k), -np.inf, np.float32), np.full((n, k), NOBODY, np.int64)
    limits = np.full(n, -np.inf, np.float32)
    nothing, shown = queries.squares == 0, min(k, len(points.x))
    scores[nothing, :shown], rows[nothing, :shown] = 0, np.arange(shown)
    limits[nothing] = np.inf
    lengths = np.sqrt(queries.squares)
    reach = lengths * points.longest
    many = n >= MANY_QUERIES and len(points.x) >= MANY_POINTS
    # coordinates of shorter ones would lose their digits
    many = many and min(points.longest, lengths[~nothing].min(initial=1.0)) > SHORTEST
    screen = _Screen(points) if many and points.width(WIDTHS) else None
    # twice the bound d u |q||x| of a float32 product also covers rounding the score and the limit
    errors = (2 * (dim + 2) * UNIT if screen is None else screen.error) * reach
    # products of very small factors lose their digits, those of very large ones overflow
    errors += np.where(reach < 2.0**126, (dim + 2) * 2.0**-126, np.inf)
    places = np.arange(n)
    if screen is not None:
        short = screen.shorten(queries)
        places = Boxes(np.ascontiguousarray(short[:, :SORTED])).order.astype(np.int64)

    def tile(start: int) -> None:
        own = places[start : start + TILE]
        asked = np.ascontiguousarray(queries.x[own])
        heaps = scores[own], rows[own], limits[own]
        if screen is None:
            _search(points.x, asked, errors[own], heaps)
        else:
            _search_screened(points.x, screen, asked, short[own], errors[own], heaps)
        order = np.lexsort((heaps[1], -heaps[0]), axis=-1)
        scores[own], rows[own] = (np.take_along_axis(part, order, axis=1) for part in heaps[:2])

    run(tile, range(0, n, TILE))
    rows[rows == NOBODY] = -1
    return scores, rows


def _search(x: NDArray[np.float32], asked: NDArray[np.float32], errors: NDArray[np.float64], heaps: Any) -> None:
    work, order = np.empty(TILE * BLOCK, np.float32), np.arange(len(x))
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        scan(_product(asked, x[block], work), asked, x, order[block], errors, *heaps)


def _search_screened(
    x: NDArray[np.float32],
    screen: _Screen,
    asked: NDArray[np.float32],
    short: NDArray[np.float32],
    errors: NDArray[np.float64],
    heaps: Any,
) -> None:
    work, spare, whole = np.empty(TILE * BLOCK, np.float32), SPARE, True
    plan = np.argsort(-(screen.middles @ short.mean(axis=0)), kind="stable")
    for start in plan * BLOCK:
        block = slice(start, start + BLOCK)
        order = screen.order[block]
        pairs = len(asked) * len(order)
        if whole:
            scored = scan(_product(asked, x[order], work), asked, x, order, errors, *heaps)
            whole = spare < 0 or scored > OPENING * pairs
        else:
            scored = scan(_product(short, screen.short[block], work), asked, x, order, errors, *heaps)
            spare += MOST_SCORED * pairs - scored
            whole = spare < 0


def _product(a: NDArray[np.float32], b: NDArray[np.float32], work: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):  # what overflows is not looked at
        return np.matmul(a, b.T, out=work[: len(a) * len(b)].reshape(len(a), len(b)))
