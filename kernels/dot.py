"""The canonical dot product: float32 factors, a float64 sum in one fixed order; it alone decides labels and ranks.

A BLAS product may give other last bits for another tile shape, and for two equal columns of one tile. It is used to
bound; whatever it leaves undecided is decided here. The product of two float32 numbers is exact in float64, so a fused
multiply-add and a separate multiply and add give the same bits, and the order of the additions is written down: the
result is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled, compiled_bound

LANES = 8
"""Doubles per vector."""
STRIDE = 2 * LANES
"""Elements per step: element ``i`` goes to partial sum ``i % 16``, the rest beyond a multiple of 16 to a last one."""


@intrinsic
def _sum_of_lanes(
    typing_context: Any, x: Any, x_start: Any, y: Any, y_start: Any, count: Any
) -> tuple[Any, Callable[..., Any]]:
    """Sum ``x[x_start + i] * y[y_start + i]`` for ``i < count``, a multiple of 16, in 16 partial sums.

    Written as vector instructions because the plain loop may not be vectorised without letting the compiler choose the
    order of the additions; it then takes three times as long.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        starts = [
            builder.gep(context.make_array(signature.args[a])(context, builder, arguments[a]).data, [arguments[a + 1]])
            for a in (0, 2)
        ]
        index, singles = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)
        doubles = ir.VectorType(ir.DoubleType(), LANES)
        kind = ir.FunctionType(doubles, [doubles] * 3)
        # fused where the machine can, two steps where it cannot: the same bits, see above
        multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f64")
        sums = [cgutils.alloca_once_value(builder, ir.Constant(doubles, [0.0] * LANES)) for _ in range(2)]
        steps = cgutils.for_range_slice(builder, index(0), arguments[4], index(STRIDE))
        with steps as (start, _):
            for half, partial in enumerate(sums):
                place = builder.add(start, index(LANES * half))
                factors = []
                for array in starts:
                    pointer = builder.bitcast(builder.gep(array, [place]), singles.as_pointer())
                    factors.append(builder.fpext(builder.load(pointer, align=4), doubles))
                builder.store(builder.call(multiply_add, [*factors, builder.load(partial)]), partial)
        both = builder.fadd(builder.load(sums[0]), builder.load(sums[1]))
        parts = [builder.extract_element(both, ir.IntType(32)(lane)) for lane in range(LANES)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(parts[i], parts[i + half]) for i in range(half)]
        return parts[0]

    return types.float64(x, types.int64, y, types.int64, types.int64), generate


@compiled
def dot(x: Any, y: Any) -> Any:
    """Return ``<x, y>`` of two contiguous float32 vectors as float64. Only for use inside compiled code."""
    d = x.shape[0]
    whole = d - d % STRIDE
    total = _sum_of_lanes(x, 0, y, 0, whole)
    rest = 0.0
    for i in range(whole, d):
        rest += np.float64(x[i]) * np.float64(y[i])
    return total + rest


@compiled
def dot_of_rows(x: Any, i: Any, y: Any, j: Any) -> Any:
    """Return ``dot(x[i], y[j])`` of C-contiguous float32 matrices: the same bits, without making the two slices.

    A slice counts one more holder of the array, and one less at its end; among short sums that is felt.
    """
    d = x.shape[1]
    whole = d - d % STRIDE
    total = _sum_of_lanes(x, i * d, y, j * d, whole)
    rest = 0.0
    for column in range(whole, d):
        rest += np.float64(x[i, column]) * np.float64(y[j, column])
    return total + rest


@compiled_bound
def float32_dot_of_rows(x: Any, i: Any, y: Any, j: Any) -> Any:
    """Return ``<x_i, y_j>`` summed in float32 in any order: half the time, may exclude with a margin, never decides."""
    total = np.float32(0.0)
    for column in range(x.shape[1]):
        total += x[i, column] * y[j, column]
    return total


@compiled
def squared_norms(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``<x_i, x_i>`` of each row of a C-contiguous float32 [n, d] array, float64 [n]."""
    out = np.empty(x.shape[0], np.float64)
    for i in range(x.shape[0]):
        out[i] = dot(x[i], x[i])
    return out
