"""Sixteen neighbouring numbers compared or copied at once, where the compiler would take them singly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from uicgpu.kernels.compilation import compiled

LANES: Final = 16


@intrinsic
def at_least(typing_context: Any, row: Any, first: Any, threshold: Any) -> tuple[Any, Callable[..., Any]]:
    """Bits of ``row[first + bit] >= threshold`` for 16 entries of a C-contiguous float32 array; NaN is no."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        floats = ir.VectorType(ir.FloatType(), LANES)
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), floats.as_pointer())
        limits = ir.Constant(floats, ir.Undefined)
        for lane in range(LANES):
            limits = builder.insert_element(limits, arguments[2], ir.IntType(32)(lane))
        found = builder.fcmp_ordered(">=", builder.load(pointer, align=4), limits)
        return builder.zext(builder.bitcast(found, ir.IntType(LANES)), ir.IntType(64))

    return types.int64(row, types.int64, types.float32), generate


@intrinsic
def may_reach(
    typing_context: Any, row: Any, first: Any, less: Any, first_less: Any, threshold: Any
) -> tuple[Any, Callable[..., Any]]:
    """Bits of ``row[first + bit] - less[first_less + bit] >= threshold`` for 16 entries, float32; NaN is yes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        floats = ir.VectorType(ir.FloatType(), LANES)
        minuend, subtrahend = (
            builder.load(
                builder.bitcast(
                    builder.gep(
                        context.make_array(signature.args[a])(context, builder, arguments[a]).data, [arguments[a + 1]]
                    ),
                    floats.as_pointer(),
                ),
                align=4,
            )
            for a in (0, 2)
        )
        limits = ir.Constant(floats, ir.Undefined)
        for lane in range(LANES):
            limits = builder.insert_element(limits, arguments[4], ir.IntType(32)(lane))
        found = builder.fcmp_unordered(">=", builder.fsub(minuend, subtrahend), limits)
        return builder.zext(builder.bitcast(found, ir.IntType(LANES)), ir.IntType(64))

    return types.int64(row, types.int64, less, types.int64, types.float32), generate


@intrinsic
def _copy_lanes(typing_context: Any, rows: Any, first: Any, out: Any, position: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        floats = ir.VectorType(ir.FloatType(), LANES).as_pointer()
        source, target = (
            builder.bitcast(
                builder.gep(
                    context.make_array(signature.args[a])(context, builder, arguments[a]).data, [arguments[a + 1]]
                ),
                floats,
            )
            for a in (0, 2)
        )
        builder.store(builder.load(source, align=4), target, align=4)
        return context.get_dummy_value()

    return types.none(rows, types.int64, out, types.int64), generate


@compiled
def copy_row(rows: Any, i: Any, out: Any, position: Any) -> None:
    """Copy row ``i`` of a C-contiguous float32 matrix [n, d] to place ``position * d`` of a vector."""
    d = rows.shape[1]
    start, whole = position * d, d - d % LANES
    for j in range(0, whole, LANES):
        _copy_lanes(rows, i * d + j, out, start + j)
    for j in range(whole, d):
        out[start + j] = rows[i, j]


@intrinsic
def lowest_bit(typing_context: Any, bits: Any) -> tuple[Any, Callable[..., Any]]:
    """Position of the lowest bit that is set in an integer that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.int64), generate
