"""Which tile the GPU form of assign uses: a function of columns, width of the operands and architecture, nothing else.

Each tile is compiled ahead of time and its registers, spills and shared memory stand in ``kernels/budgets.json``. That
a tile is the *fastest* one is a prediction (:mod:`uicgpu.kernels.assign.cost`): no tile was timed on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One program handles ``block_n`` points against ``block_k`` centroids at a time, ``block_d`` columns per product.

    Attributes
    ----------
    resident
        The points stay on the chip as ``ceil(d / block_d)`` chunks and only the centroids stream; otherwise the points
        are read again for every tile of centroids, from the L2 cache.
    warps, stages
        Warps per program; loads in flight per loop.
    """

    block_n: int
    block_k: int
    block_d: int
    resident: bool
    warps: int
    stages: int


SHARED_LIMIT = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}
"""Bytes of shared memory one block may have, per architecture. A kernel over the limit compiles and fails at launch."""
LARGE = (80, 90, 100)
"""Architectures with room for a tile of points that stays on the chip; every other one, known or not, reads again."""


def choose_tile(d: int, itemsize: int, architecture: int) -> Tile:
    """Return the tile for ``d`` columns of ``itemsize`` bytes on ``sm_<architecture>``.

    >>> choose_tile(384, 2, 80)
    Tile(block_n=128, block_k=64, block_d=128, resident=True, warps=8, stages=2)
    """
    if itemsize > 2:
        return Tile(64, 64, 32, resident=False, warps=4, stages=2)
    if d <= 64:
        return Tile(128, 64, 16 if d <= 16 else 32 if d <= 32 else 64, resident=True, warps=8, stages=2)
    if architecture not in LARGE:
        return Tile(128, 64, 32, resident=False, warps=8, stages=3)
    if d <= 384:
        return Tile(128, 64, 128, resident=True, warps=8, stages=2)
    if d <= (512 if architecture == 80 else 768):
        return Tile(128, 32, 128, resident=True, warps=8, stages=1)
    if d <= 768:
        return Tile(64, 64, 64, resident=True, warps=4, stages=1)
    if architecture == 80:
        return Tile(128, 64, 32, resident=False, warps=8, stages=3)
    return Tile(128, 128, 64, resident=False, warps=8, stages=3)
