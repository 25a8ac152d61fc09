"""Predicted cost of assign on a GPU; every number is a prediction, see :mod:`uicgpu.kernels.roofline`."""

from __future__ import annotations

from uicgpu.kernels.assign.gpu_tiles import choose_tile
from uicgpu.kernels.roofline import H100, Hardware, Prediction, predict

EPILOGUE = 20.0
"""Instructions per score outside the tensor cores. Counted in the machine code of a kernel that keeps one score: 13.8,
of one that keeps two: 16.7; the third score adds as much as the second did."""
OUTPUT_BYTES = 20
"""Per point: two int32 labels and three float32 scores."""


def predict_assign(n: int, d: int, k: int, itemsize: int = 2, hardware: Hardware = H100) -> Prediction:
    """Predict one pass of :func:`uicgpu.kernels.assign.cuda.nearest_three` over ``n`` points.

    The tensor cores and the instructions around them are taken one after the other: the warps of a program wait for its
    product. Rows of centroids pass once per tile of points, from the L2 cache; points pass once, or once per tile of
    centroids where they do not stay on the chip.

    >>> prediction = predict_assign(10_000_000, 384, 4096)
    >>> prediction.bound_by, 0.05 < prediction.seconds < 0.09
    ('arithmetic', True)
    """
    tile = choose_tile(d, itemsize, hardware.architecture)
    padded = -(-d // tile.block_d) * tile.block_d
    rows, columns = -(-n // tile.block_n) * tile.block_n, -(-k // tile.block_k) * tile.block_k
    # three products of 11-bit parts at half the rate of float16
    per_operation = (1.0 if itemsize == 2 else 6.0) / hardware.tensor_half
    arithmetic = 2.0 * rows * columns * padded * per_operation + EPILOGUE * rows * columns / hardware.lanes
    passes = 1.0 / tile.block_n + (0.0 if tile.resident else 1.0 / tile.block_k)
    memory = float(n + k) * d * itemsize + float(OUTPUT_BYTES) * n
    return predict(hardware, 2.0 * n * k * d, arithmetic, float(rows) * columns * padded * itemsize * passes, memory)


def predict_unfused(n: int, d: int, k: int, itemsize: int = 2, hardware: Hardware = H100) -> Prediction:
    """Predict a product that writes all scores to memory and a search that reads them back, float32 scores."""
    memory = 8.0 * n * k + float(n) * d * itemsize
    tensor = 2.0 * n * k * d * (1.0 if itemsize == 2 else 6.0) / hardware.tensor_half
    prediction = predict(hardware, 2.0 * n * k * d, tensor, 0.0, memory)
    # two kernels, one after the other
    seconds = tensor + memory / hardware.memory
    return Prediction(hardware.name, seconds, prediction.bound_by, prediction.operations, memory, prediction.ceilings)
