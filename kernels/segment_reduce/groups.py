"""Eight weighted rows added at once: float32 products, added as a tree, then added to a float64 sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.prefetch import emit_prefetch

GROUP: Final = 8
"""Entries whose products are added in float32."""
LANES: Final = 16
"""Columns per step."""


@compiled
def add_group(rows: Any, weights: Any, x: Any, coming: Any, total: Any) -> None:
    """Add ``((w0 x0 + w1 x1) + (w2 x2 + w3 x3)) + ((w4 x4 + w5 x5) + (w6 x6 + w7 x7))`` to a float64 vector.

    Only for use inside compiled code.

    Parameters
    ----------
    rows, weights
        int32 or int64 [8] rows of ``x`` and float32 [8].
    x
        float32 [n, d], C-contiguous.
    coming
        Like ``rows``: the rows that a later call will take. They are asked for while these are added.
    total
        float64 [d].
    """
    d = x.shape[1]
    whole = d - d % LANES
    _add_lanes(rows, weights, x, coming, total, whole)
    for j in range(whole, d):
        near = (weights[0] * x[rows[0], j] + weights[1] * x[rows[1], j]) + (
            weights[2] * x[rows[2], j] + weights[3] * x[rows[3], j]
        )
        far = (weights[4] * x[rows[4], j] + weights[5] * x[rows[5], j]) + (
            weights[6] * x[rows[6], j] + weights[7] * x[rows[7], j]
        )
        total[j] += np.float64(near + far)


@intrinsic
def _add_lanes(
    typing_context: Any, rows: Any, weights: Any, x: Any, coming: Any, total: Any, count: Any
) -> tuple[Any, Callable[..., Any]]:
    """The first ``count`` columns, a multiple of 16.

    Written as vector instructions: the loop would be compiled to vectors of half the size, with tests at every call of
    whether the arrays overlap, and could not ask for the coming rows line by line.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        taken, factors, vectors, later, sums = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:5], arguments[:5], strict=True)
        )
        index, singles = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)
        doubles = ir.VectorType(ir.DoubleType(), LANES)
        stride = cgutils.unpack_tuple(builder, vectors.shape)[1]

        def starts(array: Any) -> list[Any]:
            found = []
            for place in range(GROUP):
                row = builder.load(builder.gep(array.data, [index(place)]))
                row = row if row.type == index else builder.sext(row, index)
                found.append(builder.gep(vectors.data, [builder.mul(row, stride)]))
            return found

        def spread(place: int) -> Any:
            empty = ir.Constant(singles, ir.Undefined)
            weight = builder.load(builder.gep(factors.data, [index(place)]))
            first = builder.insert_element(empty, weight, ir.IntType(32)(0))
            return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

        own, ahead, scales = starts(taken), starts(later), [spread(place) for place in range(GROUP)]
        with cgutils.for_range_slice(builder, index(0), arguments[5], index(LANES)) as (column, _):
            for start in ahead:
                emit_prefetch(builder, builder.gep(start, [column]))
            parts = []
            for start, scale in zip(own, scales, strict=True):
                pointer = builder.bitcast(builder.gep(start, [column]), singles.as_pointer())
                parts.append(builder.fmul(scale, builder.load(pointer, align=4)))
            while len(parts) > 1:
                parts = [builder.fadd(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]
            place = builder.bitcast(builder.gep(sums.data, [column]), doubles.as_pointer())
            builder.store(builder.fadd(builder.load(place, align=8), builder.fpext(parts[0], doubles)), place, align=8)
        return context.get_dummy_value()

    return types.none(rows, weights, x, coming, total, types.int64), generate
