"""What stands in for the Triton kernels where Triton is not installed: the same functions on host tensors, with torch.

Where a process runs with ``TRITON_INTERPRET=1`` the real kernels run instead, in Triton's interpreter.
"""

from __future__ import annotations

import os

import torch


def is_interpreting() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def nearest_three(points, centroids, half_norms=None, precision="ieee", tile=None):
    from uicgpu.kernels.assign.cuda import Nearest

    assert points.dtype == centroids.dtype == torch.float16 and half_norms.dtype == torch.float32
    assert points.stride(1) == centroids.stride(1) == 1
    scores = points.float() @ centroids.float().T - half_norms
    scores = torch.where(scores.abs() < torch.inf, scores, -torch.inf)
    # a stable descending sort: the lowest id first among equal scores
    values, ids = torch.sort(scores, dim=1, descending=True, stable=True)
    values = torch.nn.functional.pad(values, (0, 2), value=-torch.inf)[:, :3]
    ids = torch.nn.functional.pad(ids, (0, 2), value=-1)[:, :3].int()
    ids[values == -torch.inf] = -1
    first, second, third = values.unbind(1)
    return Nearest(*(column.contiguous() for column in (ids[:, 0], first, ids[:, 1], second, third)))


def sum_groups(starts, lengths, rows, weights, vectors):
    assert vectors.stride(1) == 1 or vectors.shape[1] == 1
    out = torch.zeros((len(starts), vectors.shape[1]), dtype=torch.float64)
    for piece, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        for first in range(start, start + length, 8):
            entries = slice(first, min(first + 8, start + length))
            products = torch.zeros((8, vectors.shape[1]))
            products[: entries.stop - first] = weights[entries, None] * vectors[rows[entries].long()].float()
            while len(products) > 1:
                products = products[0::2] + products[1::2]
            out[piece] += products[0].double()
    return out


def sum_pieces(starts, lengths, rows, weights, vectors):
    assert vectors.stride(1) == 1 or vectors.shape[1] == 1
    out = torch.zeros((len(starts), vectors.shape[1]), dtype=torch.float64)
    for piece, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        for entry in range(start, start + length):
            row = entry if rows is None else int(rows[entry])
            factor = 1.0 if weights is None else weights[entry].double()
            out[piece] += factor * vectors[row].double()
    return out
