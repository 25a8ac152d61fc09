"""``uicgpu bench pool``: weighted pooling of users beside SciPy and torch, with and without making unit vectors.

Every program gets the same lists: so many items per user on average, drawn with a long tail (Zipf) from rows of real
vectors, which start at a cache line for all. This one adds groups of eight in float32 and the groups in float64, the
others everything in float32; the result is float32 in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.bench.embeddings import household_weeks
from uicgpu.bench.measure import Arm, Clock, is_idle, machine, summary, take_turns
from uicgpu.kernels.alignment import empty_aligned
from uicgpu.randomness import generator

USERS: Final = 20_000
ITEMS_PER_USER: Final = 50


def bench_pool(*, count: int, rounds: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure pooling; ``count`` belongs to other benchmarks and is not used."""
    return measure(household_weeks(), rounds, say)


def measure(items: NDArray[np.float32], rounds: int, say: Callable[[str], None], users: int = USERS) -> dict[str, Any]:
    """Processor time of one thread; wall time of two where the machine is idle; the largest difference of results."""
    items = _aligned(items)
    offsets, indices, weights = _lists(users, len(items))
    clocks: list[tuple[str, int, Clock]] = [("processor_1_thread", 1, "processor")]
    if is_idle():
        clocks.append(("wall_2_threads", 2, "wall"))
    result: dict[str, Any] = {
        "machine": machine(),
        "rounds": rounds,
        "users": users,
        "entries": int(offsets[-1]),
        "items": len(items),
        "dimensions": int(items.shape[1]),
    }
    for name, threads, clock in clocks:
        for unit in (False, True):
            arms = _arms(items, offsets, indices, weights, threads, unit)
            with threadpool_limits(threads):
                seconds, found = take_turns(arms, rounds, threads, clock, say)
            told = result.setdefault(name, {})["unit vectors" if unit else "sums"] = summary(seconds, "uicgpu")
            for arm, values in found.items():
                told[arm]["largest_difference"] = float(np.abs(found["uicgpu"] - values).max())
    return result


def _lists(users: int, items: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    rng = generator(0, "bench/pool")
    counts = rng.integers(ITEMS_PER_USER // 2, 3 * ITEMS_PER_USER // 2 + 1, users)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    places = rng.permutation(items)
    indices = places[(rng.zipf(1.3, int(offsets[-1])) - 1) % items].astype(np.int32)
    return offsets, indices, rng.random(len(indices), np.float32)


def _arms(
    items: NDArray[np.float32],
    offsets: NDArray[np.int64],
    indices: NDArray[np.int32],
    weights: NDArray[np.float32],
    threads: int,
    unit: bool,
) -> list[Arm]:
    import torch
    from scipy import sparse

    from uicgpu.backends import choose_backend

    backend = choose_backend("cpu", threads=threads)
    matrix = sparse.csr_matrix((weights, indices, offsets), shape=(len(offsets) - 1, len(items)))
    # made before the clock starts: the bag takes 64-bit indices only
    tensors = [torch.from_numpy(array) for array in (indices.astype(np.int64), items, offsets[:-1], weights)]

    def ours() -> NDArray[Any]:
        return backend.segment_pool(offsets, indices, weights, items, unit)

    def scipy() -> NDArray[Any]:
        sums: NDArray[Any] = matrix @ items
        return _unit(sums) if unit else sums

    def bag() -> NDArray[Any]:
        found = torch.nn.functional.embedding_bag(
            tensors[0], tensors[1], tensors[2], mode="sum", per_sample_weights=tensors[3]
        )
        pooled: NDArray[Any] = (torch.nn.functional.normalize(found) if unit else found).numpy()
        return pooled

    return [Arm("uicgpu", ours, ours), Arm("scipy", scipy), Arm("torch", bag, bag)]


def _aligned(items: NDArray[np.float32]) -> NDArray[np.float32]:
    array = empty_aligned(items.shape, np.float32)
    array[:] = items
    return array


def _unit(sums: NDArray[Any]) -> NDArray[Any]:
    norms = np.sqrt(np.einsum("ij,ij->i", sums, sums))[:, None]
    return np.asarray(sums / np.maximum(norms, 1e-12), np.float32)
