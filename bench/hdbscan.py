"""``uicgpu bench hdbscan``: exact HDBSCAN beside hdbscan-rs on real interest vectors and on a few columns of them.

And how its time grows with the number of points, on another set: one vector per basket.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.bench.embeddings import baskets, household_weeks
from uicgpu.bench.measure import Arm, Clock, forget_peak, is_idle, machine, peak_bytes, summary, take_turns
from uicgpu.kernels.spanning_tree import spanning_tree

SIZES: Final = ((4000, None), (10_000, None), (10_000, 10), (20_000, 10), (50_000, 10))
"""Points and principal axes (None: all columns)."""
GROWTH: Final = (4000, 10_000, 25_000, 50_000, 100_000)
WARM_UP: Final = 4200
"""Points of the set whose growth is measured, all columns; so many first, to compile."""
SMALLEST: Final = 50
SAMPLES: Final = 10
"""``min_cluster_size`` and ``min_samples``; both count the point itself."""
PEER_THREADS: Final = "RAYON_NUM_THREADS"
"""What hdbscan-rs reads once per process."""

Fit = Callable[[NDArray[np.float32], int], NDArray[np.int32]]


def bench_hdbscan(*, count: int, rounds: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure all programs that are installed; ``count`` belongs to other benchmarks and is not used."""
    wall = {}
    if is_idle():
        say("hdbscan: wall time of two threads, in a process of its own")
        wall = _in_own_process(str(rounds), 2)
    os.environ[PEER_THREADS] = "1"
    result = measure(household_weeks(), rounds, say)
    for size, told in wall.items():
        result["sizes"][size]["wall_2_threads"] = told
    say("hdbscan: growth, in a process of its own, whose peak memory nothing else has raised")
    result["growth"] = _in_own_process("growth", 1)
    return result


def _in_own_process(what: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "uicgpu.bench.hdbscan", what]
    environment = os.environ | {PEER_THREADS: str(threads)}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def growth(
    vectors: NDArray[np.float32], say: Callable[[str], None], sizes: tuple[int, ...] = GROWTH
) -> dict[str, dict[str, float]]:
    """Processor seconds of one thread for the spanning tree, once per size, and the process's peak memory meanwhile.

    ``exponent`` is the slope from the size before on doubly logarithmic axes.
    """
    result: dict[str, dict[str, float]] = {}
    before: tuple[int, float] | None = None
    with threadpool_limits(1):
        for rows in (WARM_UP, *sizes):
            points = np.ascontiguousarray(vectors[np.linspace(0, len(vectors) - 1, rows).astype(np.int64)])
            forget_peak()
            start = time.process_time()
            spanning_tree(points, SAMPLES)
            seconds = time.process_time() - start
            if rows == WARM_UP:
                continue
            told = {"seconds": round(seconds, 2)}
            told["peak_bytes"] = peak_bytes()
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

    result: dict[str, Any] = {"machine": machine(), "rounds": rounds, "sizes": {}}
    for points in _selections(vectors, sizes):
        size = f"{len(points)}x{points.shape[1]}"
        say(f"hdbscan: {size}")
        seconds, labels = _turns(points, rounds, 1, "processor", say)
        told: dict[str, Any] = {"processor": summary(seconds, "uicgpu")}
        told["clusters"] = {name: int(found.max()) + 1 for name, found in labels.items()}
        told["noise"] = {name: round(float((found < 0).mean()), 4) for name, found in labels.items()}
        told["agreement"] = {
            name: round(float(adjusted_rand_score(labels["uicgpu"], found)), 4) for name, found in labels.items()
        }
        result["sizes"][size] = told
    return result


def wall(
    vectors: NDArray[np.float32], rounds: int, sizes: tuple[tuple[int, int | None], ...] = SIZES
) -> dict[str, Any]:
    """Wall time of two threads per size; hdbscan-rs has as many as its environment said when it was loaded."""
    return {
        f"{len(points)}x{points.shape[1]}": summary(_turns(points, rounds, 2, "wall", lambda _: None)[0], "uicgpu")
        for points in _selections(vectors, sizes)
    }


def _selections(
    vectors: NDArray[np.float32], sizes: tuple[tuple[int, int | None], ...]
) -> Iterator[NDArray[np.float32]]:
    from uicgpu.backends import choose_backend

    for rows, axes in sizes:
        points = vectors[np.linspace(0, len(vectors) - 1, rows).astype(np.int64)]
        if axes is not None:
            mean, directions, _ = choose_backend("cpu", threads=1).principal_axes(points, axes)
            points = ((points - mean) @ directions.T).astype(np.float32)
        yield np.ascontiguousarray(points, np.float32)


def _turns(
    points: NDArray[np.float32], rounds: int, threads: int, clock: Clock, say: Callable[[str], None]
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    arms = [Arm(name, _bind(fit, points, threads), _bind(fit, points[:600], threads)) for name, fit in _programs()]
    with threadpool_limits(threads):
        return take_turns(arms, rounds, threads, clock, say)


def _bind(fit: Fit, points: NDArray[np.float32], threads: int) -> Callable[[], Any]:
    return lambda: fit(points, threads)


def _programs() -> list[tuple[str, Fit]]:
    found: list[tuple[str, Fit]] = [("uicgpu", _uicgpu)]
    if importlib.util.find_spec("hdbscan_rs"):
        found.append(("hdbscan-rs", _hdbscan_rs))
    return found


def _uicgpu(points: NDArray[np.float32], threads: int) -> NDArray[np.int32]:
    from uicgpu.backends import choose_backend

    return choose_backend("cpu", threads=threads).hdbscan(points, SMALLEST, SAMPLES)[0]


def _hdbscan_rs(points: NDArray[np.float32], threads: int) -> NDArray[np.int32]:
    library = importlib.import_module("hdbscan_rs")
    model = library.HDBSCAN(min_cluster_size=SMALLEST, min_samples=SAMPLES)
    return np.asarray(model.fit_predict(points.astype(np.float64)), np.int32)


if __name__ == "__main__":
    figures = (
        growth(baskets(), lambda _: None) if sys.argv[1] == "growth" else wall(household_weeks(), int(sys.argv[1]))
    )
    sys.stdout.write(json.dumps(figures))
