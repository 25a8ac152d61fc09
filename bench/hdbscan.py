"""``uicgpu bench hdbscan``: exact HDBSCAN beside hdbscan-rs on real interest vectors and on a few columns of them.

And how its time grows with the number of points, on another set: one vector per basket.
"""

from __future__ import annotations

import importlib
import importlib.util
import resource
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.bench.embeddings import baskets, household_weeks
from uicgpu.bench.measure import Arm, machine, summary, take_turns
from uicgpu.kernels.spanning_tree import spanning_tree

SIZES: Final = ((4000, None), (10_000, None), (10_000, 10), (20_000, 10), (50_000, 10))
"""Points and principal axes (None: all columns)."""
GROWTH: Final = (4000, 10_000, 25_000, 50_000, 100_000)
WARM_UP: Final = 4200
"""Points of the set whose growth is measured, all columns; so many first, to compile."""
SMALLEST: Final = 50
SAMPLES: Final = 10
"""``min_cluster_size`` and ``min_samples``; both count the point itself."""


def bench_hdbscan(*, count: int, rounds: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure all programs that are installed; ``count`` belongs to other benchmarks and is not used."""
    result = measure(household_weeks(), rounds, say)
    result["growth"] = growth(baskets(), say)
    return result


def growth(
    vectors: NDArray[np.float32], say: Callable[[str], None], sizes: tuple[int, ...] = GROWTH
) -> dict[str, dict[str, float]]:
    """Processor seconds of one thread for the spanning tree, once per size, and the process's peak memory so far.

    ``exponent`` is the slope from the size before on doubly logarithmic axes.
    """
    result: dict[str, dict[str, float]] = {}
    before: tuple[int, float] | None = None
    with threadpool_limits(1):
        for rows in (WARM_UP, *sizes):
            points = np.ascontiguousarray(vectors[np.linspace(0, len(vectors) - 1, rows).astype(np.int64)])
            start = time.process_time()
            spanning_tree(points, SAMPLES)
            seconds = time.process_time() - start
            if rows == WARM_UP:
                continue
            told = {"seconds": round(seconds, 2)}
            told["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if before is not None:
                told["exponent"] = round(float(np.log(seconds / before[1]) / np.log(rows / before[0])), 2)
            before = rows, seconds
            result[str(rows)] = told
            say(f"hdbscan: tree of {rows} x {points.shape[1]} in {seconds:.1f} s")
    return result


def measure(
    vectors: NDArray[np.float32],
    rounds: int,
    say: Callable[[str], None],
    sizes: tuple[tuple[int, int | None], ...] = SIZES,
) -> dict[str, Any]:
    """Processor time of one thread, agreement of the labels."""
    from sklearn.metrics import adjusted_rand_score

    from uicgpu.backends import choose_backend

    backend = choose_backend("cpu", threads=1)
    result: dict[str, Any] = {"machine": machine(), "rounds": rounds, "sizes": {}}
    for rows, axes in sizes:
        points = vectors[np.linspace(0, len(vectors) - 1, rows).astype(np.int64)]
        if axes is not None:
            mean, directions, _ = backend.principal_axes(points, axes)
            points = ((points - mean) @ directions.T).astype(np.float32)
        points = np.ascontiguousarray(points, np.float32)
        say(f"hdbscan: {rows} x {points.shape[1]}")
        arms = [Arm(name, _bind(fit, points), _bind(fit, points[:600])) for name, fit in _programs()]
        with threadpool_limits(1):
            seconds, labels = take_turns(arms, rounds, 1, "processor", say)
        told: dict[str, Any] = {"processor": summary(seconds, "uicgpu")}
        told["clusters"] = {name: int(found.max()) + 1 for name, found in labels.items()}
        told["noise"] = {name: round(float((found < 0).mean()), 4) for name, found in labels.items()}
        told["agreement"] = {
            name: round(float(adjusted_rand_score(labels["uicgpu"], found)), 4) for name, found in labels.items()
        }
        result["sizes"][f"{rows}x{points.shape[1]}"] = told
    return result


def _bind(fit: Callable[[Any], Any], points: NDArray[np.float32]) -> Callable[[], Any]:
    return lambda: fit(points)


def _programs() -> list[tuple[str, Callable[[Any], Any]]]:
    found: list[tuple[str, Callable[[Any], Any]]] = [("uicgpu", _uicgpu)]
    if importlib.util.find_spec("hdbscan_rs"):
        found.append(("hdbscan-rs", _hdbscan_rs))
    return found


def _uicgpu(points: NDArray[np.float32]) -> NDArray[np.int32]:
    from uicgpu.backends import choose_backend

    return choose_backend("cpu", threads=1).hdbscan(points, SMALLEST, SAMPLES)[0]


def _hdbscan_rs(points: NDArray[np.float32]) -> NDArray[np.int32]:
    library = importlib.import_module("hdbscan_rs")
    model = library.HDBSCAN(min_cluster_size=SMALLEST, min_samples=SAMPLES)
    return np.asarray(model.fit_predict(points.astype(np.float64)), np.int32)
