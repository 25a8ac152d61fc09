"""Searches in a k-d tree: nearest neighbours, the lightest edge out of a component, the point that a new one hangs on.

All three go down to the nearer box first and leave out every box that is too far, or holds nothing that may be taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree.boxes import FAN, LEAF, squares_in_leaf, squares_to_boxes
from uicgpu.kernels.spanning_tree.square import FLOOR, square_between

DEPTH = 128
"""Boxes that wait on the way down, at most."""


@compiled
def _open(squares: Any, limit: Any, child: Any, width: Any, nodes: Any, bounds: Any, top: Any) -> Any:
    """Put the children of a fan that are not too far on the stack, the nearest last; returns the new top."""
    bottom = top
    for c in range(width):
        if squares[c] > limit or squares[c] == np.inf:
            continue
        place = top
        while place > bottom and bounds[place - 1] < squares[c]:
            nodes[place], bounds[place] = nodes[place - 1], bounds[place - 1]
            place -= 1
        nodes[place], bounds[place] = child + c if child >= 0 else child - c, squares[c]
        top += 1
    return top


@compiled
def nearest_in_boxes(x: Any, boxes: Any, points: Any, own: Any, positions: Any, squares: Any, rows: Any) -> None:
    """Fill ``squares`` and ``rows`` at ``positions`` of ``points``, those of ``x`` if ``own``."""
    order, first, children, root, low, high, blocks, slack = boxes
    count = squares.shape[1]
    nodes, bounds = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.float32)
    inside, space, fan = np.empty(LEAF, np.float32), np.empty(x.shape[1]), np.empty(FAN, np.float32)
    for i in positions:
        point = points[i]
        itself = i if own else -1
        nodes[0], bounds[0], top = 0, np.float32(0), 1
        while top > 0:
            top -= 1
            node = nodes[top]
            limit = squares[i, count - 1] * slack + FLOOR
            if bounds[top] > limit:
                continue
            if node >= 0:
                squares_to_boxes(point, low[node], high[node], fan)
                top = _open(fan, limit, children[node], root if node == 0 else FAN, nodes, bounds, top)
                continue
            leaf = -1 - node
            if squares_in_leaf(point, blocks[leaf], inside) > limit:
                continue
            start = first[leaf]
            for p in range(first[leaf + 1] - start):
                if inside[p] > limit:
                    continue
                j = order[start + p]
                if j == itself:
                    continue
                square = square_between(point, x[j], space)
                place = count - 1
                last = squares[i, place]
                if square > last or (square == last and j > rows[i, place] and rows[i, place] >= 0):
                    continue
                while place > 0 and (
                    squares[i, place - 1] > square or (squares[i, place - 1] == square and rows[i, place - 1] > j)
                ):
                    squares[i, place] = squares[i, place - 1]
                    rows[i, place] = rows[i, place - 1]
                    place -= 1
                squares[i, place] = square
                rows[i, place] = j
                limit = squares[i, count - 1] * slack + FLOOR


@compiled
def summarise(boxes: Any, core: Any, component: Any) -> Any:
    """Return the least core distance of each child of each fan, and its component, -1 where there are several."""
    order, first, children, root, low, _, _, _ = boxes
    least, common = np.full((low.shape[0], FAN), np.inf), np.full((low.shape[0], FAN), -1)
    for node in range(low.shape[0] - 1, -1, -1):
        for c in range(root if node == 0 else FAN):
            if children[node] >= 0:
                child = children[node] + c
                one = common[child, 0]
                for e in range(FAN):
                    least[node, c] = min(least[node, c], least[child, e])
                    one = one if common[child, e] == one else -1
                common[node, c] = one
                continue
            leaf = -1 - children[node] + c
            one = component[order[first[leaf]]]
            for p in range(first[leaf], first[leaf + 1]):
                least[node, c] = min(least[node, c], core[order[p]])
                one = one if component[order[p]] == one else -1
            common[node, c] = one
    return least, common


@compiled
def outward_in_boxes(
    x: Any,
    boxes: Any,
    rows: Any,
    core: Any,
    component: Any,
    light: Any,
    least: Any,
    common: Any,
    weight: Any,
    to: Any,
) -> None:
    """Replace the edges of ``rows`` by lighter ones among all edges outwards not above the component's lightest."""
    order, first, children, root, low, high, blocks, slack = boxes
    nodes, bounds = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.float32)
    inside, space, fan = np.empty(LEAF, np.float32), np.empty(x.shape[1]), np.empty(FAN, np.float32)
    for i in rows:
        point, home = x[i], component[i]
        most = min(weight[i], light[home])
        if core[i] > most:
            continue
        nodes[0], bounds[0], top = 0, np.float32(0), 1
        while top > 0:
            top -= 1
            node = nodes[top]
            limit = most * slack + FLOOR
            if bounds[top] > limit:
                continue
            if node >= 0:
                squares_to_boxes(point, low[node], high[node], fan)
                width = root if node == 0 else FAN
                for c in range(width):
                    if least[node, c] > most or common[node, c] == home:
                        fan[c] = np.inf
                top = _open(fan, limit, children[node], width, nodes, bounds, top)
                continue
            leaf = -1 - node
            if squares_in_leaf(point, blocks[leaf], inside) > limit:
                continue
            start = first[leaf]
            for p in range(first[leaf + 1] - start):
                if inside[p] > most * slack + FLOOR:
                    continue
                j = order[start + p]
                if component[j] == home or core[j] > most:
                    continue
                w = max(square_between(point, x[j], space), core[i], core[j])
                if w > most:
                    continue
                a, b = min(i, j), max(i, j)
                a2, b2 = min(i, to[i]), max(i, to[i])
                if to[i] < 0 or w < weight[i] or (w == weight[i] and (a < a2 or (a == a2 and b < b2))):
                    weight[i], to[i] = w, j
                    most = w


@compiled
def attach_in_boxes(
    x: Any,
    boxes: Any,
    points: Any,
    cores: Any,
    least: Any,
    core: Any,
    positions: Any,
    rows: Any,
    levels: Any,
    gaps: Any,
) -> None:
    """Replace ``rows``, ``levels`` and ``gaps`` at ``positions`` by those of a better point, if there is one."""
    order, first, children, root, low, high, blocks, slack = boxes
    nodes, bounds = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.float32)
    inside, space, fan = np.empty(LEAF, np.float32), np.empty(x.shape[1]), np.empty(FAN, np.float32)
    for i in positions:
        point = points[i]
        nodes[0], bounds[0], top = 0, np.float32(0), 1
        while top > 0:
            top -= 1
            node = nodes[top]
            limit = levels[i] * slack + FLOOR
            if bounds[top] > limit:
                continue
            if node >= 0:
                squares_to_boxes(point, low[node], high[node], fan)
                width = root if node == 0 else FAN
                for c in range(width):
                    if least[node, c] > levels[i]:
                        fan[c] = np.inf
                top = _open(fan, limit, children[node], width, nodes, bounds, top)
                continue
            leaf = -1 - node
            if squares_in_leaf(point, blocks[leaf], inside) > limit:
                continue
            start = first[leaf]
            for p in range(first[leaf + 1] - start):
                if inside[p] > levels[i] * slack + FLOOR:
                    continue
                j = order[start + p]
                if cores[j] > levels[i]:
                    continue
                square = square_between(point, x[j], space)
                level = max(square, core[i], cores[j])
                if level > levels[i]:
                    continue
                if level < levels[i] or square < gaps[i] or (square == gaps[i] and j < rows[i]):
                    rows[i], levels[i], gaps[i] = j, level, square
