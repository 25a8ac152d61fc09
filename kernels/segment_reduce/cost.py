"""Predicted cost of segment_reduce on a GPU; every number is a prediction, see :mod:`uicgpu.kernels.roofline`."""

from __future__ import annotations

from uicgpu.kernels.roofline import H100, Hardware, Prediction, predict
from uicgpu.kernels.segment_reduce.pieces import PIECE

ENTRY_BYTES = 8
"""An int32 row and a float32 weight."""
SUM_BYTES = 8
"""The sums are float64."""


def predict_segment_sum(
    entries: int, segments: int, d: int, itemsize: int = 4, hardware: Hardware = H100, reuse: float = 0.0
) -> Prediction:
    """Predict the weighted sums of ``segments`` segments with ``entries`` entries together.

    Parameters
    ----------
    reuse
        Share of the gathered rows that are still in the L2 cache: 0 for far more rows than fit there.

    >>> predict_segment_sum(500_000_000, 10_000_000, 384).bound_by
    'memory'
    """
    gathered = float(entries) * d * itemsize
    # pieces are written and read once more where a segment has several
    pieces = max(0.0, entries / PIECE - segments) * d * SUM_BYTES * 2
    memory = gathered * (1.0 - reuse) + float(entries) * ENTRY_BYTES + float(segments) * d * SUM_BYTES + pieces
    operations = 2.0 * entries * d
    return predict(hardware, operations, operations / hardware.doubles, gathered, memory)


def predict_segment_pool(
    entries: int, segments: int, d: int, itemsize: int = 4, hardware: Hardware = H100, reuse: float = 0.0
) -> Prediction:
    """Predict pooling: as :func:`predict_segment_sum`, with one addition in float64 for eight entries.

    >>> predict_segment_pool(500_000_000, 10_000_000, 384).bound_by
    'memory'
    """
    gathered = float(entries) * d * itemsize
    pieces = max(float(segments), entries / PIECE) * d * SUM_BYTES
    # a piece is written and read once, a result written in float32
    memory = gathered * (1.0 - reuse) + float(entries) * ENTRY_BYTES + 2 * pieces + float(segments) * d * 4
    operations = 2.0 * entries * d
    # a product and a sum are two instructions, because they are not fused; a group's sum is one in double
    arithmetic = operations / hardware.lanes + 2.0 * entries / 8 * d / hardware.doubles
    return predict(hardware, operations, arithmetic, gathered, memory)


def predict_centroid_update(n: int, d: int, itemsize: int = 4, hardware: Hardware = H100) -> Prediction:
    """Predict a centroid update: a stable sort of ``n`` labels, then their segments' sums."""
    sums = predict_segment_sum(n, 0, d, itemsize, hardware)
    # a radix sort of 4-byte keys with 8-byte values passes four times over both
    sort = 4 * 2 * 12.0 * n / hardware.memory
    return Prediction(
        hardware.name,
        sums.seconds + sort,
        sums.bound_by,
        sums.operations,
        sums.bytes_moved + sort * hardware.memory,
        {**sums.ceilings, "sort": sort},
    )
