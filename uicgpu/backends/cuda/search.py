"""Exact search for the largest inner products on a GPU: FAISS proposes, the canonical dot product ranks on the host.

Not executed on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu import search as host
from uicgpu.backends.cpu.search import Found
from uicgpu.backends.probe import need_library
from uicgpu.kernels.dot import squared_norms

MAX_K = 2048
"""FAISS on a GPU returns at most so many neighbours; more are searched on the host."""
QUERIES = 16384
"""Queries per call."""


def top_k(queries: NDArray[Any], points: NDArray[Any], k: int, number: int, memory: int) -> Found:
    """See :meth:`uicgpu.backends.interface.Backend.top_k`; FAISS cuts points and queries to fit into ``memory``."""
    q, x = host.check_search(queries, points, k)
    scores = np.full((len(q), k), -np.inf, np.float32)
    rows = np.full((len(q), k), -1, np.int64)
    if len(q) == 0 or len(x) == 0:
        return scores, rows
    need_library("faiss", number)
    faiss = host.load_faiss()
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(min(memory // 4, 512 * 2**20))

    host_index = faiss.IndexFlatIP(x.shape[1])

    def search(part: NDArray[np.float32], count: int) -> Found:
        if count > MAX_K:
            if host_index.ntotal == 0:
                host_index.add(x)
            found: Found = host_index.search(part, count)
            return found
        found = faiss.knn_gpu(
            resources,
            np.ascontiguousarray(part),
            x,
            count,
            metric=faiss.METRIC_INNER_PRODUCT,  # its default is the Euclidean distance
            device=number,
            vectorsMemoryLimit=memory // 2,
            queriesMemoryLimit=memory // 4,
        )
        return found

    largest = float(np.sqrt(squared_norms(x).max()))
    for start in range(0, len(q), QUERIES):
        block = slice(start, start + QUERIES)
        scores[block], rows[block] = host.refine(q[block], x, k, largest, search)
    return scores, rows
