"""assign on a GPU, in Triton: best, second and third score of each point, without an n x k matrix and without atomics.

One program holds a tile of points and lets the tiles of centroids pass by. The scores are those of the operands as they
are, accumulated in float32. In half precision they are proposals: the gap between the second and the third score tells
the caller for which points the two nearest centroids are certain (:mod:`uicgpu.backends.cuda.assign`).

Tested in Triton's interpreter on the CPU and compiled for sm_80, sm_90 and sm_100; not executed on a GPU.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from uicgpu.kernels.assign.gpu_tiles import Tile, choose_tile

if TYPE_CHECKING:
    import torch
    import triton.language as tl

Precision = Literal["ieee", "tf32x3"]
"""How float32 operands are multiplied: exactly, or as three products of 11-bit parts on tensor cores. Never left to
Triton, whose default on a GPU is one such product: an error of 1e-3 that the interpreter does not show."""


class Nearest(NamedTuple):
    """Per point; a point whose scores are all NaN or infinite has labels -1 and scores ``-inf``."""

    labels: torch.Tensor
    """int32: the largest score; equal scores go to the lowest id."""
    scores: torch.Tensor
    """float32: ``<x, c> - half_norm(c)``."""
    second_labels: torch.Tensor
    """int32; -1 with one centroid."""
    second_scores: torch.Tensor
    """float32; ``-inf`` with one centroid."""
    third_scores: torch.Tensor
    """float32; ``-inf`` with two centroids."""


def nearest_three(
    points: torch.Tensor,
    centroids: torch.Tensor,
    half_norms: torch.Tensor | None = None,
    precision: Precision = "ieee",
    tile: Tile | None = None,
) -> Nearest:
    """Score every point against every centroid and keep the three largest scores.

    Parameters
    ----------
    points, centroids
        [n, d] and [k, d] of one dtype (float16, bfloat16, float32), unit stride within a row, any stride between rows.
    half_norms
        float32 [k], subtracted from the products; default: ``|c|^2 / 2`` of the centroids as given. Zeros for cosine.
    precision
        For float32 operands.
    tile
        Default: :func:`uicgpu.kernels.assign.gpu_tiles.choose_tile`. For a fixed tile and device the bits are fixed.
    """
    import torch

    n, d = points.shape
    k = centroids.shape[0]
    if points.dtype != centroids.dtype or centroids.shape[1] != d or k == 0 or d == 0:
        raise ValueError(f"points {points.dtype} {tuple(points.shape)}, centroids {tuple(centroids.shape)}")
    if points.stride(1) != 1 or centroids.stride(1) != 1:
        raise ValueError("rows must have unit stride")
    if half_norms is None:
        half_norms = (centroids.double().square().sum(dim=1) / 2).float()
    labels, second_labels = (torch.empty(n, dtype=torch.int32, device=points.device) for _ in range(2))
    scores, second_scores, third_scores = (torch.empty(n, dtype=torch.float32, device=points.device) for _ in range(3))
    out = Nearest(labels, scores, second_labels, second_scores, third_scores)
    if n == 0:
        return out
    kernel, is_interpreted = compiled()
    if tile is None:
        tile = choose_tile(d, points.element_size(), _architecture(points))
    kernel[(-(-n // tile.block_n),)](
        points,
        centroids,
        half_norms,
        *out,
        n,
        k,
        points.stride(0),
        centroids.stride(0),
        **constants(tile, d, precision, is_interpreted and points.dtype == torch.bfloat16),
        num_warps=tile.warps,
        num_stages=tile.stages,
        enable_fp_fusion=False,  # said, because Triton's default changes with its version
    )
    return out


def constants(tile: Tile, d: int, precision: Precision, widen: bool = False) -> dict[str, Any]:
    """Return what is compiled in. Neither n nor k nor a stride is, or every new n would compile anew.

    ``widen`` turns the operands to float32 before the product: Triton's interpreter multiplies the bit patterns of
    bfloat16 (triton-lang/triton#11584). Compiled code never needs it.
    """
    return {
        "D": d,
        "BLOCK_N": tile.block_n,
        "BLOCK_K": tile.block_k,
        "BLOCK_D": tile.block_d,
        "RESIDENT": tile.resident,
        "WIDEN": widen,
        "PRECISION": precision,
    }


@cache
def compiled() -> tuple[Any, bool]:
    """Return the kernel, and whether Triton's interpreter runs it.

    Triton looks its language up in the module of the kernel, and a kernel is compiled or interpreted from the moment
    of its decoration; both happen here, so that importing this file needs neither Triton nor a GPU.
    """
    import triton
    import triton.language

    globals()["tl"] = triton.language
    kernel = triton.jit(_nearest)
    return kernel, not isinstance(kernel, triton.JITFunction)


def _architecture(tensor: torch.Tensor) -> int:
    import torch

    if not tensor.is_cuda:
        return 80
    major, minor = torch.cuda.get_device_capability(tensor.device)
    return 10 * major + minor


def _nearest(  # one function: a nested one would not be interpreted
    points: tl.tensor,
    centroids: tl.tensor,
    half_norms: tl.tensor,
    labels: tl.tensor,
    scores: tl.tensor,
    second_labels: tl.tensor,
    second_scores: tl.tensor,
    third_scores: tl.tensor,
    n: tl.tensor,
    k: tl.tensor,
    point_stride: tl.tensor,
    centroid_stride: tl.tensor,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    RESIDENT: tl.constexpr,
    WIDEN: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    # 64-bit rows: 10M x 384 entries are beyond int32
    row = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    is_row = row < n
    point = points + row[:, None] * point_stride
    column = tl.arange(0, BLOCK_D)
    place = tl.arange(0, BLOCK_K)
    nothing = float("-inf")
    first = tl.full([BLOCK_N], nothing, tl.float32)
    second = tl.full([BLOCK_N], nothing, tl.float32)
    third = tl.full([BLOCK_N], nothing, tl.float32)
    first_id = tl.full([BLOCK_N], -1, tl.int32)
    second_id = tl.full([BLOCK_N], -1, tl.int32)
    chunks = ()  # type: tuple[Any, ...]
    if RESIDENT:
        for begin in tl.static_range(0, D, BLOCK_D):
            inside = (begin + column) < D
            x = tl.load(point + (begin + column)[None, :], mask=is_row[:, None] & inside[None, :], other=0.0)
            chunks = chunks + (x,)  # noqa: RUF005 -- Triton has no unpacking
    for start in range(0, k, BLOCK_K):
        id_ = start + place
        is_centroid = id_ < k
        centroid = centroids + id_.to(tl.int64)[:, None] * centroid_stride
        product = tl.zeros([BLOCK_N, BLOCK_K], tl.float32)
        if RESIDENT:
            for begin in tl.static_range(0, D, BLOCK_D):
                inside = (begin + column) < D
                c = tl.load(
                    centroid + (begin + column)[None, :], mask=is_centroid[:, None] & inside[None, :], other=0.0
                )
                x = chunks[begin // BLOCK_D]
                if WIDEN:
                    x = x.to(tl.float32)
                    c = c.to(tl.float32)
                product = tl.dot(x, tl.trans(c), product, input_precision=PRECISION)
        else:
            for begin in range(0, D, BLOCK_D):
                inside = (begin + column) < D
                x = tl.load(point + (begin + column)[None, :], mask=is_row[:, None] & inside[None, :], other=0.0)
                c = tl.load(
                    centroid + (begin + column)[None, :], mask=is_centroid[:, None] & inside[None, :], other=0.0
                )
                if WIDEN:
                    x = x.to(tl.float32)
                    c = c.to(tl.float32)
                product = tl.dot(x, tl.trans(c), product, input_precision=PRECISION)
        # beyond the last centroid the norm is infinite, so the score is none
        score = product - tl.load(half_norms + id_, mask=is_centroid, other=float("inf"))[None, :]
        # NaN and infinity are no scores: a maximum with indices would not be defined on a row of NaN
        score = tl.where(tl.abs(score) < float("inf"), score, nothing)
        best = tl.max(score, axis=1)
        best_id = tl.min(tl.where(score == best[:, None], id_[None, :], 2147483647), axis=1)
        score = tl.where(id_[None, :] == best_id[:, None], nothing, score)
        next_ = tl.max(score, axis=1)
        next_id = tl.min(tl.where(score == next_[:, None], id_[None, :], 2147483647), axis=1)
        score = tl.where(id_[None, :] == next_id[:, None], nothing, score)
        last = tl.max(score, axis=1)
        # merge; what was there has lower ids and wins ties
        third = tl.maximum(tl.maximum(third, last), tl.maximum(tl.minimum(second, best), tl.minimum(first, next_)))
        wins = best > first
        # the loser of the two firsts, and the second of the winner's side
        loser = tl.where(wins, first, best)
        loser_id = tl.where(wins, first_id, best_id)
        rival = tl.where(wins, next_, second)
        rival_id = tl.where(wins, next_id, second_id)
        # on a tie the older one: the loser if the new tile won, else the rival
        takes_loser = (loser > rival) | (wins & (loser == rival))
        second = tl.where(takes_loser, loser, rival)
        second_id = tl.where(takes_loser, loser_id, rival_id)
        first = tl.where(wins, best, first)
        first_id = tl.where(wins, best_id, first_id)
    tl.store(labels + row, first_id, mask=is_row)
    tl.store(scores + row, first, mask=is_row)
    tl.store(second_labels + row, second_id, mask=is_row)
    tl.store(second_scores + row, second, mask=is_row)
    tl.store(third_scores + row, third, mask=is_row)
