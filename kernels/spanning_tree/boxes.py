"""A k-d tree over few columns: boxes around ever smaller groups of points, and the points of the last ones.

Boxes and the float32 squares of a leaf only exclude. Both are sums of squares of differences, so their error is
relative: ``slack`` times a limit covers it, and whatever is left is decided by :func:`square_between`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled

MOST_COLUMNS: Final = 30
"""Beyond this many columns boxes exclude too little."""
LEAF: Final = 64
"""Points of a leaf, at most."""
FAN: Final = 8
"""Children whose boxes are compared at once: a vector of float32."""


class Boxes:
    """A tree of fans: the boxes of up to eight children side by side; a child is another fan or a leaf.

    Attributes
    ----------
    order
        int32 [n], rows in the order of the tree: neighbours in it are close to each other.
    first
        int64 [leaves + 1], where each leaf starts in ``order``.
    children
        int64 [fans], the first child of each fan; all children follow it. ``-1 - leaf`` where children are leaves.
    low, high
        float32 [fans, d, 8], corners of the boxes around the points of each child, column by column.
    blocks
        float32 [leaves, d, LEAF], the points of each leaf, column by column; infinity where there is none.
    slack
        One plus the relative error of a float32 square.
    """

    def __init__(self, x: NDArray[np.float32]) -> None:
        n, dim = x.shape
        depth = 1
        while (n - 1) // 2**depth + 1 > LEAF:
            depth += 1
        self.order = np.arange(n, dtype=np.int32)
        self.first = np.array([(n * leaf) >> depth for leaf in range(2**depth + 1)], np.int64)
        self.blocks = np.full((2**depth, dim, LEAF), np.inf, np.float32)
        self.slack = 1.0 + (dim + 8) * 2.0**-23
        # the root's fan takes one to three levels of the binary tree, all others three
        levels = [(depth - 1) % 3 + 1]
        while sum(levels) < depth:
            levels.append(3)
        self.root = 2 ** levels[0]
        counts = [2 ** sum(levels[:step]) for step in range(len(levels))]
        starts = np.cumsum([0, *counts])
        fans = [start + FAN * np.arange(count) for start, count in zip(starts[1:], counts[:-1], strict=False)]
        self.children = np.concatenate([*fans, -1 - 2 ** levels[-1] * np.arange(counts[-1])])
        self.low = np.full((len(self.children), dim, FAN), np.inf, np.float32)
        self.high = np.full_like(self.low, -np.inf)
        corners = np.empty((2, 2 ** (depth + 1) - 1, dim), np.float32)
        _grow(x, self.order, self.first, depth, corners[0], corners[1], self.blocks)
        for step, count in enumerate(counts):
            width, level = 2 ** levels[step], sum(levels[: step + 1])
            nodes = slice(2**level - 1, 2 ** (level + 1) - 1)
            for side, corner in zip((self.low, self.high), corners, strict=True):
                around = corner[nodes].reshape(count, width, dim)
                side[starts[step] : starts[step + 1], :, :width] = around.transpose(0, 2, 1)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What compiled searches take."""
        return self.order, self.first, self.children, self.root, self.low, self.high, self.blocks, self.slack


@compiled
def _select(order: Any, keys: Any, start: Any, stop: Any, middle: Any) -> None:
    """Move the ``middle - start`` smallest keys of ``order[start:stop]`` to the front (Hoare's quickselect)."""
    left, right = start, stop - 1
    while left < right:
        pivot = keys[order[(left + right) // 2]]
        i, j = left, right
        while i <= j:
            while keys[order[i]] < pivot:
                i += 1
            while keys[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@compiled
def _grow(x: Any, order: Any, first: Any, depth: Any, low: Any, high: Any, blocks: Any) -> None:
    dim = x.shape[1]
    leaves = 1 << depth
    for level in range(depth + 1):
        wide = leaves >> level
        for place in range(1 << level):
            node = (1 << level) - 1 + place
            start, stop = first[place * wide], first[(place + 1) * wide]
            for j in range(dim):
                low[node, j] = high[node, j] = x[order[start], j]
            for p in range(start + 1, stop):
                row = x[order[p]]
                for j in range(dim):
                    low[node, j] = min(low[node, j], row[j])
                    high[node, j] = max(high[node, j], row[j])
            if level < depth:
                widest = 0
                for j in range(1, dim):
                    if high[node, j] - low[node, j] > high[node, widest] - low[node, widest]:
                        widest = j
                _select(order, x[:, widest], start, stop, first[place * wide + wide // 2])
            else:
                for p in range(start, stop):
                    for j in range(dim):
                        blocks[place, j, p - start] = x[order[p], j]


@intrinsic
def _squares(typing_context: Any, point: Any, low: Any, high: Any, out: Any) -> tuple[Any, Callable[..., Any]]:
    """Fill ``out`` with squared distances from a point to boxes with corners ``low`` and ``high``; returns the least.

    Corners are float32 [d, width], ``width`` that of ``out``, a multiple of 8. Written as vector instructions: the
    sums stay in registers, where the plain loops store and load them for every column and take four times as long.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        point, low, high, out = (
            context.make_array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        index, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), FAN)
        zero = ir.Constant(vector, [0.0] * FAN)
        least = cgutils.alloca_once_value(builder, ir.Constant(vector, [float("inf")] * FAN))
        columns, width = builder.extract_value(point.shape, 0), builder.extract_value(out.shape, 0)

        def load(array: Any, place: Any) -> Any:
            return builder.load(builder.bitcast(builder.gep(array.data, [place]), vector.as_pointer()), align=4)

        def larger(one: Any, two: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", one, two), one, two)

        with cgutils.for_range_slice(builder, index(0), width, index(FAN)) as (start, _):
            total = cgutils.alloca_once(builder, vector)
            builder.store(zero, total)
            with cgutils.for_range(builder, columns) as column:
                single = builder.load(builder.gep(point.data, [column.index]))
                own = builder.insert_element(ir.Constant(vector, ir.Undefined), single, ir.IntType(32)(0))
                own = builder.shuffle_vector(own, own, ir.Constant(ir.VectorType(ir.IntType(32), FAN), [0] * FAN))
                place = builder.add(builder.mul(column.index, width), start)
                below, above = builder.fsub(load(low, place), own), builder.fsub(own, load(high, place))
                gap = larger(larger(below, above), zero)
                builder.store(builder.fadd(builder.load(total), builder.fmul(gap, gap)), total)
            found = builder.load(total)
            builder.store(found, builder.bitcast(builder.gep(out.data, [start]), vector.as_pointer()), align=4)
            so_far = builder.load(least)
            builder.store(builder.select(builder.fcmp_ordered("<", found, so_far), found, so_far), least)
        lanes = builder.load(least)
        parts = [builder.extract_element(lanes, ir.IntType(32)(lane)) for lane in range(FAN)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.select(builder.fcmp_ordered("<", one, two), one, two) for one, two in pairs]
        return parts[0]

    return types.float32(point, low, high, out), generate


@compiled
def squares_to_boxes(point: Any, low: Any, high: Any, squares: Any) -> Any:
    """Squared distances from a point to the boxes of a fan: lower bounds on all in them, up to the slack."""
    return _squares(point, low, high, squares)


@compiled
def squares_in_leaf(point: Any, block: Any, squares: Any) -> Any:
    """Squared distances from a point to those of a leaf, float32 [LEAF], up to the slack; returns the least."""
    return _squares(point, block, block, squares)
