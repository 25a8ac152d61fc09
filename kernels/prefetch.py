"""Ask for rows before they are needed, where they are gathered in an order that no hardware can foresee."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from uicgpu.kernels.alignment import LINE
from uicgpu.kernels.compilation import compiled

SECOND_LEVEL: Final = 2
"""LLVM's locality: into the second-level cache. Rows of some kilobytes that are asked for early would only push each
other out of the first level."""


def emit_prefetch(builder: Any, pointer: Any) -> None:
    """Let generated code ask for the cache line at ``pointer``; any address is allowed, nothing is read."""
    number, address = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [address], kind)
    builder.call(function, [builder.bitcast(pointer, address), number(0), number(SECOND_LEVEL), number(1)])


@intrinsic
def _prefetch(typing_context: Any, array: Any, position: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the line of byte ``position`` of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        emit_prefetch(builder, builder.gep(builder.bitcast(data, ir.IntType(8).as_pointer()), [arguments[1]]))
        return context.get_dummy_value()

    return types.none(array, types.int64), generate


@compiled
def prefetch_row(x: Any, row: Any) -> None:
    """Ask for row ``row`` of a C-contiguous [n, d] array. Only for use inside compiled code; no result changes.

    Every line is asked for: on an AMD Zen 4 asking for every second or third of them gained nothing.
    """
    prefetch_columns(x, row, 0, x.shape[1])


@compiled
def prefetch_columns(x: Any, row: Any, first: Any, stop: Any) -> None:
    """Ask for columns ``first`` to ``stop`` of a row, see :func:`prefetch_row`."""
    start = row * x.shape[1]
    for position in range((start + first) * x.itemsize, (start + stop) * x.itemsize, LINE):
        _prefetch(x, position)
