"""``uicgpu bench topk``: the exact largest inner products beside FAISS and beside the matrix product alone.

Every search begins with the bare arrays: what an index or a screen needs is made within the time. "product alone" is
the matrix product of all pairs, without looking for the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.bench.embeddings import household_weeks
from uicgpu.bench.measure import Arm, Clock, is_idle, machine, summary, take_turns

QUERIES: Final = 2048
K: Final = 10
BLOCK: Final = 8192
"""Columns of one product: its result stays in the cache as far as possible."""


def bench_topk(*, count: int, rounds: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure searches; ``count`` belongs to other benchmarks and is not used."""
    return measure(household_weeks(), rounds, say)


def measure(
    points: NDArray[np.float32], rounds: int, say: Callable[[str], None], queries: int = QUERIES
) -> dict[str, Any]:
    """Processor time of one thread, wall time of two where the machine is idle, and FAISS's share of the exact rows."""
    clocks: list[tuple[str, int, Clock]] = [("processor", 1, "processor")]
    if is_idle():
        clocks.append(("wall_2_threads", 2, "wall"))
    asked = np.ascontiguousarray(points[np.linspace(0, len(points) - 1, queries).astype(np.int64)])
    result: dict[str, Any] = {
        "machine": machine(),
        "rounds": rounds,
        "queries": queries,
        "points": len(points),
        "dimensions": int(points.shape[1]),
        "k": K,
    }
    for name, threads, clock in clocks:
        with threadpool_limits(threads):
            seconds, found = take_turns(_arms(points, asked, threads), rounds, threads, clock, say)
        result[name] = summary(seconds, "uicgpu")
    shared = [len(set(ours) & set(theirs)) for ours, theirs in zip(found["uicgpu"], found["faiss"], strict=True)]
    result["faiss_share"] = round(float(np.mean(shared)) / K, 6)
    return result


def _arms(points: NDArray[np.float32], asked: NDArray[np.float32], threads: int) -> list[Arm]:
    import faiss

    from uicgpu.backends import choose_backend

    backend = choose_backend("cpu", threads=threads)
    faiss.omp_set_num_threads(threads)

    def flat(part: NDArray[np.float32]) -> Callable[[], Any]:
        def search() -> Any:
            index = faiss.IndexFlatIP(points.shape[1])
            index.add(points)
            return index.search(part, K)[1]

        return search

    def product() -> float:
        total, work = 0.0, np.empty((256, BLOCK), np.float32)
        for start in range(0, len(asked), 256):
            part = asked[start : start + 256]
            for column in range(0, len(points), BLOCK):
                block = points[column : column + BLOCK]
                total += float(np.matmul(part, block.T, out=work[: len(part), : len(block)])[0, 0])
        return total

    return [
        Arm("uicgpu", lambda: backend.top_k(asked, points, K)[1], lambda: backend.top_k(asked, points[:9000], K)),
        Arm("faiss", flat(asked), flat(asked[:64])),
        Arm("product alone", product),
    ]
