"""``uicgpu bench kmeans``: exact Lloyd beside scikit-learn, FAISS and superkmeans on real interest vectors.

Every program gets the same points, the same starting centroids (superkmeans takes its own) and 20 iterations. The
processor time of one thread is the figure; wall time of two threads is added when the machine is otherwise idle.
Tuned on other vectors (film users) than those measured here (household weeks).
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.bench import kmeans_growth
from uicgpu.bench.embeddings import household_weeks
from uicgpu.bench.measure import Arm, is_idle, machine, summary, take_turns
from uicgpu.randomness import generator

CLUSTERS: Final = (64, 256, 1024)
ITERATIONS: Final = 20

Fit = Callable[[NDArray[np.float32], NDArray[np.float32], int], float | None]


def bench_kmeans(*, count: int, rounds: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure all programs that are installed; ``count`` belongs to other benchmarks and is not used."""
    points = np.ascontiguousarray(household_weeks())
    return measure(points, rounds, say) | extras(points, rounds, say)


def measure(
    vectors: NDArray[np.float32], rounds: int, say: Callable[[str], None], clusters: tuple[int, ...] = CLUSTERS
) -> dict[str, Any]:
    """Measure on all ``vectors``, each number of clusters in turn."""
    points = np.ascontiguousarray(vectors)
    result: dict[str, Any] = {"machine": machine(), "rows": len(points), "dim": points.shape[1]}
    result |= {"iterations": ITERATIONS, "rounds": rounds, "clusters": {}}
    for k in clusters:
        result["clusters"][str(k)] = compare(points, choose(k, points), rounds, say)
    return result


def extras(points: NDArray[np.float32], rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Growth, seeding and batches on ``points``."""
    say("kmeans: growth, seeding, batches")
    some = [(name, fit) for name, fit in programs() if name != "superkmeans"]
    return {
        "growth": kmeans_growth.growth(points, choose, some),
        "seeding": kmeans_growth.seeding(points, rounds),
        "batches": kmeans_growth.batches(points, choose(CLUSTERS[0], points)),
    }


def choose(k: int, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Start: ``k`` random rows, the same for the same number of rows."""
    rng = generator(0, f"bench/kmeans/{k}")
    return points[np.sort(rng.choice(len(points), k, replace=False))].copy()


def compare(
    points: NDArray[np.float32], start: NDArray[np.float32], rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Processor time of one thread, wall time of two if the machine is idle, inertia and peak memory."""
    k = len(start)
    say(f"kmeans: k={k}, {len(points)} points")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        arms = [
            Arm(name, _bind(fit, points, start, 1), _bind(fit, points[:4096], start, 1)) for name, fit in programs()
        ]
        arms.append(Arm("product alone", lambda: _product(points, start)))
        seconds, inertia = take_turns(arms, rounds, 1, "processor", say)
    told: dict[str, Any] = {"processor_1_thread": summary(seconds, "uicgpu")}
    told["inertia"] = {name: value for name, value in inertia.items() if value is not None and name != "product alone"}
    if is_idle():
        with warnings.catch_warnings(), threadpool_limits(2):
            warnings.simplefilter("ignore")
            arms = [Arm(name, _bind(fit, points, start, 2)) for name, fit in programs()]
            told["wall_2_threads"] = summary(take_turns(arms, rounds, 2, "wall", say)[0], "uicgpu")
    told["peak_memory_mb"] = kmeans_growth.memory(points, start, [name for name, _ in programs()])
    return told


def _bind(
    fit: Fit, points: NDArray[np.float32], start: NDArray[np.float32], threads: int
) -> Callable[[], float | None]:
    return lambda: fit(points, start, threads)


def _product(points: NDArray[np.float32], start: NDArray[np.float32]) -> float:
    """The matrix products of the iterations and nothing else: what plain Lloyd cannot go below."""
    for _ in range(ITERATIONS):
        for row in range(0, len(points), 4096):
            _ = points[row : row + 4096] @ start.T
    return 0.0


def programs() -> list[tuple[str, Fit]]:
    """Every program that is installed, and how it fits."""
    found: list[tuple[str, Fit]] = [("uicgpu", _uicgpu), ("scikit-learn", _scikit_learn), ("faiss", _faiss)]
    if importlib.util.find_spec("superkmeans"):
        found.append(("superkmeans", _superkmeans))
    return found


def _uicgpu(points: NDArray[np.float32], start: NDArray[np.float32], threads: int) -> float:
    from uicgpu.cluster import KMeans

    model = KMeans(len(start), init=start, max_iter=ITERATIONS, tol=0, device="cpu", threads=threads)
    return float(model.fit(points).inertia_)


def _scikit_learn(points: NDArray[np.float32], start: NDArray[np.float32], threads: int) -> float:
    from sklearn.cluster import KMeans

    model = KMeans(len(start), init=start, n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd").fit(points)
    return float(model.inertia_)


def _faiss(points: NDArray[np.float32], start: NDArray[np.float32], threads: int) -> float:
    import faiss

    faiss.omp_set_num_threads(threads)
    model = faiss.Kmeans(
        points.shape[1], len(start), niter=ITERATIONS, max_points_per_centroid=10**9, min_points_per_centroid=1
    )
    model.train(points, init_centroids=start)
    distances, _ = model.index.search(points, 1)
    return float(distances.sum(dtype=np.float64))


def _superkmeans(points: NDArray[np.float32], start: NDArray[np.float32], threads: int) -> None:
    """Run superkmeans from its own start; it tells no inertia."""
    superkmeans = importlib.import_module("superkmeans")
    model = superkmeans.SuperKMeans(
        n_clusters=len(start),
        dimensionality=points.shape[1],
        iters=ITERATIONS,
        sampling_fraction=1.0,
        max_points_per_cluster=10**8,
        early_termination=False,
        n_threads=threads,
        hierarchical=False,
    )
    model.train(points)
