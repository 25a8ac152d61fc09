"""Boruvka's algorithm over neighbour lists; a point is compared with all others only when its list cannot decide.

Every round each component takes its lightest edge outwards. A list sorted by distance bounds what it does not hold:
any other edge of the point weighs at least its core distance and the distance to the last neighbour. Points whose bound
lies below the lightest edge their component knows are compared with all points, lowest bound first, in fixed batches;
after each batch the component's edge is lighter and spares the rest.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree.box_search import outward_in_boxes, summarise
from uicgpu.kernels.spanning_tree.nearest import BLOCK, TILE, Cloud, Map, nearest
from uicgpu.kernels.spanning_tree.square import FLOOR, rough_square, slack_of, square_between

NEIGHBOURS: Final = 24
"""Length of the neighbour lists, at least, where products search."""
FEW_NEIGHBOURS: Final = 12
"""Likewise where boxes do: there a list costs more, and a search for an edge outwards little."""
TILES: Final = 4
"""Tiles per batch of full comparisons."""


class Tree(NamedTuple):
    """A minimum spanning tree under mutual reachability, edges in ascending order.

    Attributes
    ----------
    low, high
        int32 [n - 1], rows of the two ends, ``low < high``.
    weights
        float64 [n - 1], mutual reachability of the two ends.
    cores
        float64 [n], **squared** core distances: nothing is rounded, so that they can be compared for equality.
    """

    low: NDArray[np.int32]
    high: NDArray[np.int32]
    weights: NDArray[np.float64]
    cores: NDArray[np.float64]


def spanning_tree(points: NDArray[np.float32], min_samples: int, run: Map | None = None) -> Tree:
    """Return the minimum spanning tree under mutual reachability.

    Parameters
    ----------
    points
        float32 [n, d], finite, n >= 2.
    min_samples
        Size of the neighbourhood behind the core distance, the point itself included; 1 to n.
    run
        Applies a function to every part, for example :meth:`uicgpu.backends.interface.Backend.map`; BLAS should be held
        to one thread there. The result does not depend on it.
    """
    n = len(points)
    cloud = Cloud(points)
    least = NEIGHBOURS if cloud.boxes is None else FEW_NEIGHBOURS
    squares, lists = nearest(cloud, min(n - 1, max(least, min_samples)), run)
    core = squares[:, min_samples - 2].copy() if min_samples > 1 else np.zeros(n)
    parents = np.arange(n, dtype=np.int32)
    # the lightest edge of each point that a full comparison found, and a bound on all that its list does not hold
    known, other = np.full(n, np.inf), np.full(n, -1, np.int32)
    bounds = np.maximum(core, squares[:, -1]) if squares.shape[1] < n - 1 else np.full(n, np.inf)
    edges: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]] = []
    joined = 0
    while joined < n - 1:
        component = np.empty(n, np.int32)
        _components(parents, component)
        weight, to = np.full(n, np.inf), np.full(n, -1, np.int32)
        _from_lists(squares, lists, core, component, known, other, weight, to)
        light, start, end = np.full(n, np.inf), np.full(n, -1, np.int32), np.full(n, -1, np.int32)
        _lightest(np.arange(n), component, weight, to, light, start, end)
        unsure = np.flatnonzero((bounds < light[component]) & (bounds < weight))
        unsure = unsure[np.argsort(bounds[unsure], kind="stable")]
        seen = None if cloud.boxes is None else summarise(cloud.boxes.arrays, core, component)
        for batch in range(0, len(unsure), TILES * TILE):
            rows = unsure[batch : batch + TILES * TILE]
            rows = rows[bounds[rows] < light[component[rows]]]
            _compare(cloud, rows, core, component, light, seen, weight, to, run)
            found = to[rows] >= 0
            better = found & (weight[rows] <= light[component[rows]])
            known[rows[better]], other[rows[better]] = weight[rows[better]], to[rows[better]]
            # nothing lighter than what was searched for
            bounds[rows] = np.minimum(weight[rows], light[component[rows]])
            _lightest(rows, component, weight, to, light, start, end)
        a, b, w = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n)
        count = _join(parents, component, light, start, end, a, b, w)
        assert count > 0, "every component has an edge outwards"
        edges.append((a[:count].copy(), b[:count].copy(), w[:count].copy()))
        joined += count
    low, high, weights = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    order = np.lexsort((high, low, weights))
    return Tree(low[order], high[order], np.sqrt(weights[order]), core)


def weigh(
    points: NDArray[np.float32],
    low: NDArray[np.int32],
    high: NDArray[np.int32],
    min_samples: int,
    run: Map | None = None,
) -> Tree:
    """Return the tree with these edges, found in lower precision elsewhere, with exact core distances and weights."""
    cloud = Cloud(points)
    squares, _ = nearest(cloud, max(1, min_samples - 1), run)
    core = squares[:, min_samples - 2].copy() if min_samples > 1 else np.zeros(len(points))
    weights = _weights(cloud.x, core, low, high)
    order = np.lexsort((high, low, weights))
    return Tree(low[order], high[order], np.sqrt(weights[order]), core)


def _compare(
    cloud: Cloud,
    rows: NDArray[np.int64],
    core: NDArray[np.float64],
    component: NDArray[np.int32],
    light: NDArray[np.float64],
    seen: tuple[Any, Any] | None,
    weight: NDArray[np.float64],
    to: NDArray[np.int32],
    run: Map | None,
) -> None:
    """Replace the edges of ``rows`` by lighter ones among all edges outwards not above the component's lightest."""

    def part(start: int) -> None:
        chosen = rows[start : start + TILE]
        if cloud.boxes is not None and seen is not None:
            least, common = seen
            outward_in_boxes(cloud.x, cloud.boxes.arrays, chosen, core, component, light, least, common, weight, to)
            return
        places = cloud.places[chosen]
        _compare_rows(
            cloud.near,
            cloud.order,
            cloud.short,
            cloud.norms,
            cloud.half,
            cloud.error,
            chosen,
            places,
            cloud.short[places],
            core,
            component,
            light,
            BLOCK,
            np.empty(TILE * BLOCK, np.float32),
            weight,
            to,
        )

    starts = range(0, len(rows), TILE)
    if run is None:
        for start in starts:
            part(start)
    else:
        run(part, starts)


@compiled
def _weights(x: Any, core: Any, low: Any, high: Any) -> Any:
    out, space = np.empty(low.shape[0]), np.empty(x.shape[1])
    for e in range(low.shape[0]):
        out[e] = max(square_between(x[low[e]], x[high[e]], space), core[low[e]], core[high[e]])
    return out


@compiled
def _find(parents: Any, node: Any) -> Any:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def _components(parents: Any, component: Any) -> None:
    for i in range(parents.shape[0]):
        component[i] = _find(parents, i)


@compiled
def _before(w: Any, a: Any, b: Any, w2: Any, a2: Any, b2: Any) -> Any:
    """Order of edges: lighter first, then by the lower end, then by the higher end."""
    if w != w2:
        return w < w2
    low, low2 = min(a, b), min(a2, b2)
    return low < low2 or (low == low2 and max(a, b) < max(a2, b2))


@compiled
def _from_lists(
    squares: Any, lists: Any, core: Any, component: Any, known: Any, other: Any, weight: Any, to: Any
) -> None:
    for i in range(lists.shape[0]):
        if other[i] >= 0 and component[other[i]] != component[i]:
            weight[i], to[i] = known[i], other[i]
        for place in range(lists.shape[1]):
            square = squares[i, place]
            if square > weight[i]:
                break
            j = lists[i, place]
            if component[j] == component[i]:
                continue
            w = max(square, core[i], core[j])
            if to[i] < 0 or _before(w, i, j, weight[i], i, to[i]):
                weight[i], to[i] = w, j


@compiled
def _lightest(rows: Any, component: Any, weight: Any, to: Any, light: Any, start: Any, end: Any) -> None:
    for i in rows:
        c = component[i]
        if to[i] >= 0 and (start[c] < 0 or _before(weight[i], i, to[i], light[c], start[c], end[c])):
            light[c], start[c], end[c] = weight[i], i, to[i]


@compiled
def _compare_rows(
    near: Any,
    order: Any,
    short: Any,
    norms: Any,
    half: Any,
    error: float,
    rows: Any,
    places: Any,
    gathered: Any,
    core: Any,
    component: Any,
    light: Any,
    block_size: int,
    work: Any,
    weight: Any,
    to: Any,
) -> None:
    n, count = near.shape[0], rows.shape[0]
    space, slack = np.empty(near.shape[1]), slack_of(near.shape[1])
    for block in range(0, n, block_size):
        stop = min(block + block_size, n)
        width = stop - block
        products = work[: count * width].reshape(count, width)
        np.dot(gathered, short[block:stop].T, products)
        longest = norms[block:stop].max()
        for r in range(count):
            i, own = rows[r], places[r]
            home = component[i]
            most = min(weight[i], light[home])
            base = norms[own] * norms[own] - error * (norms[own] + longest) ** 2 - FLOOR
            limit = (base - most) / 2
            for p in range(width):
                if products[r, p] - half[block + p] < limit:
                    continue
                j = order[block + p]
                if component[j] == home or core[j] > most:
                    continue
                if rough_square(near[own], near[block + p]) > most * slack + FLOOR:
                    continue
                w = max(square_between(near[own], near[block + p], space), core[i], core[j])
                if w <= most and (to[i] < 0 or _before(w, i, j, weight[i], i, to[i])):
                    weight[i], to[i] = w, j
                    most = w
                    limit = (base - most) / 2


@compiled
def _join(parents: Any, component: Any, light: Any, start: Any, end: Any, low: Any, high: Any, weights: Any) -> Any:
    count = 0
    for c in range(component.shape[0]):
        if component[c] != c or start[c] < 0:
            continue
        a, b = _find(parents, start[c]), _find(parents, end[c])
        if a == b:
            continue
        parents[max(a, b)] = min(a, b)
        low[count], high[count] = min(start[c], end[c]), max(start[c], end[c])
        weights[count] = light[c]
        count += 1
    return count
