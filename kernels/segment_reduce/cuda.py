"""segment_reduce on a GPU, in Triton: one program per piece of a segment, in float64, in a fixed order, no atomics.

A piece is summed in the order of its entries; the sums of a long segment's pieces are then summed in the same way. The
product of two float32 numbers is exact in float64, so a segment of one piece has the bits of the CPU. Pooling keeps the
CPU's order for segments of any length.

Tested in Triton's interpreter on the CPU and compiled for sm_80, sm_90 and sm_100; not executed on a GPU.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.segment_reduce.pieces import cut_pieces

if TYPE_CHECKING:
    import torch
    import triton.language as tl

BLOCK_D = 128
"""Columns per program: a row of 384 is read by three."""
WARPS = 2


def segment_sum(
    offsets: NDArray[np.int64], rows: torch.Tensor | None, weights: torch.Tensor | None, vectors: torch.Tensor
) -> torch.Tensor:
    """Return the weighted sum per segment, float64 [segments, d], on the device of ``vectors``.

    Parameters
    ----------
    offsets
        int64 [segments + 1] on the host, ascending from 0.
    rows, weights
        int32 or int64 [entries] rows of ``vectors`` and float32 [entries]; None for the rows in order, and for 1.
    vectors
        [rows, d] of any float dtype, unit stride within a row.
    """
    import torch

    pieces = cut_pieces(offsets)
    starts = torch.from_numpy(pieces.starts).to(vectors.device)
    lengths = torch.from_numpy(pieces.lengths).to(vectors.device)
    sums = sum_pieces(starts, lengths, rows, weights, vectors)
    counts = np.diff(pieces.of_segment)
    if counts.max(initial=0) > 1:
        return segment_sum(pieces.of_segment, None, None, sums)
    out = torch.zeros((len(counts), vectors.shape[1]), dtype=torch.float64, device=vectors.device)
    out[torch.from_numpy(np.flatnonzero(counts)).to(vectors.device)] = sums
    return out


def segment_pool(
    offsets: NDArray[np.int64], rows: torch.Tensor, weights: torch.Tensor, vectors: torch.Tensor
) -> torch.Tensor:
    """Return the sums of :func:`uicgpu.kernels.segment_reduce.pool.segment_pool`, float32 [segments, d].

    Parameters
    ----------
    offsets
        int64 [segments + 1] on the host, ascending from 0.
    rows, weights
        int32 or int64 [entries] rows of ``vectors`` and float32 [entries].
    vectors
        [rows, d] of any float dtype up to float32, unit stride within a row.
    """
    import torch

    pieces = cut_pieces(offsets)
    starts, lengths, firsts, counts = (
        torch.from_numpy(array).to(vectors.device)
        for array in (pieces.starts, pieces.lengths, pieces.of_segment[:-1], np.diff(pieces.of_segment))
    )
    sums = sum_groups(starts, lengths, rows, weights, vectors)
    return sum_pieces(firsts, counts, None, None, sums).float()


def sum_by_label(
    vectors: torch.Tensor, labels: torch.Tensor, groups: int, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Return the sum of the vectors of each label and the number of rows of each: a centroid update without atomics.

    Labels are sorted, equal ones by row, and the groups summed as segments, so equal input gives equal bits however
    unevenly the rows are spread. Rows with label -1 belong to no group; an empty group sums to zero.

    Parameters
    ----------
    labels
        int [n], from -1 to ``groups`` - 1.
    weights
        float32 [n], or None for 1.
    """
    import torch

    ordered, order = torch.sort(labels, stable=True)
    borders = torch.searchsorted(ordered, torch.arange(groups + 1, dtype=labels.dtype, device=labels.device))
    offsets = borders.cpu().numpy().astype(np.int64)
    rows = order[int(offsets[0]) :].contiguous()
    offsets = offsets - offsets[0]
    return segment_sum(offsets, rows, None if weights is None else weights[rows], vectors), np.diff(offsets)


def sum_pieces(
    starts: torch.Tensor,
    lengths: torch.Tensor,
    rows: torch.Tensor | None,
    weights: torch.Tensor | None,
    vectors: torch.Tensor,
) -> torch.Tensor:
    """Return the sum of each piece, float64 [pieces, d]; see :func:`segment_sum` for the rest."""
    import torch

    if vectors.stride(1) != 1 and vectors.shape[1] > 1:
        raise ValueError("rows must have unit stride")
    d = vectors.shape[1]
    out = torch.empty((len(starts), d), dtype=torch.float64, device=vectors.device)
    if out.numel() == 0:
        return out
    compiled()[(len(starts), -(-d // BLOCK_D))](
        starts,
        lengths,
        starts if rows is None else rows,
        starts if weights is None else weights,
        vectors,
        out,
        vectors.stride(0),
        D=d,
        HAS_ROWS=rows is not None,
        HAS_WEIGHTS=weights is not None,
        BLOCK_D=BLOCK_D,
        num_warps=WARPS,
        enable_fp_fusion=False,  # said, because Triton's default changes with its version
    )
    return out


def sum_groups(
    starts: torch.Tensor, lengths: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor, vectors: torch.Tensor
) -> torch.Tensor:
    """Return the sum of each piece, float64 [pieces, d], groups of eight entries in float32; see `segment_pool`."""
    import torch

    if vectors.stride(1) != 1 and vectors.shape[1] > 1:
        raise ValueError("rows must have unit stride")
    d = vectors.shape[1]
    out = torch.empty((len(starts), d), dtype=torch.float64, device=vectors.device)
    if out.numel() == 0:
        return out
    compiled_groups()[(len(starts), -(-d // BLOCK_D))](
        starts,
        lengths,
        rows,
        weights,
        vectors,
        out,
        vectors.stride(0),
        D=d,
        BLOCK_D=BLOCK_D,
        num_warps=WARPS,
        enable_fp_fusion=False,  # a fused multiply-add would not round the product
    )
    return out


@cache
def compiled() -> Any:
    """Return the kernel; see :func:`uicgpu.kernels.assign.cuda.compiled`."""
    import triton
    import triton.language

    globals()["tl"] = triton.language
    return triton.jit(_sum_pieces)


@cache
def compiled_groups() -> Any:
    """Return the kernel of pooling."""
    import triton
    import triton.language

    globals()["tl"] = triton.language
    return triton.jit(_sum_groups)


def _sum_pieces(
    starts: tl.tensor,
    lengths: tl.tensor,
    rows: tl.tensor,
    weights: tl.tensor,
    vectors: tl.tensor,
    out: tl.tensor,
    stride: tl.tensor,
    D: tl.constexpr,
    HAS_ROWS: tl.constexpr,
    HAS_WEIGHTS: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    piece = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = column < D
    start = tl.load(starts + piece)
    length = tl.load(lengths + piece)
    total = tl.zeros([BLOCK_D], tl.float64)
    for step in range(0, length):
        entry = start + step
        if HAS_ROWS:
            row = tl.load(rows + entry).to(tl.int64)  # 64 bits: row * stride passes 2^31
        else:
            row = entry
        x = tl.load(vectors + row * stride + column, mask=inside, other=0.0).to(tl.float64)
        if HAS_WEIGHTS:
            x = x * tl.load(weights + entry).to(tl.float64)
        total = total + x
    tl.store(out + piece * D + column, total, mask=inside)


def _sum_groups(
    starts: tl.tensor,
    lengths: tl.tensor,
    rows: tl.tensor,
    weights: tl.tensor,
    vectors: tl.tensor,
    out: tl.tensor,
    stride: tl.tensor,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    piece = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = column < D
    start = tl.load(starts + piece)
    length = tl.load(lengths + piece)
    last = start + length - 1
    total = tl.zeros([BLOCK_D], tl.float64)
    for first in range(0, length, 8):
        for half in tl.static_range(2):
            for pair in tl.static_range(2):
                for one in tl.static_range(2):
                    # a last group is filled with its last entry, at a weight of 0
                    wanted = start + first + 4 * half + 2 * pair + one
                    entry = tl.minimum(wanted, last)
                    row = tl.load(rows + entry).to(tl.int64)  # 64 bits: row * stride passes 2^31
                    weight = tl.load(weights + entry) * (wanted <= last).to(tl.float32)
                    x = tl.load(vectors + row * stride + column, mask=inside, other=0.0).to(tl.float32)
                    if one == 0:
                        left = weight * x
                    else:
                        two = left + weight * x
                if pair == 0:
                    left_two = two
                else:
                    four = left_two + two
            if half == 0:
                left_four = four
            else:
                total = total + (left_four + four).to(tl.float64)
    tl.store(out + piece * D + column, total, mask=inside)
