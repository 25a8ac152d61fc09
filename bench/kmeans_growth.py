"""What ``uicgpu bench kmeans`` adds to the comparison: memory per program, growth, seeding, batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.bench.measure import Arm, summary, take_turns

Points = NDArray[np.float32]
Fit = Callable[[Points, Points, int], float | None]
CLUSTERS: Final = 256
"""Clusters where rows and columns vary."""
COLUMNS: Final = (96, 192, 384)
SEEDED: Final = 256


def memory(points: Points, start: Points, programs: list[str]) -> dict[str, int]:
    """Most megabytes that each program held at once beside the points, each in a process of its own."""
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "points.npy", points)
        np.save(Path(folder) / "start.npy", start)
        for name in programs:
            done = subprocess.run(
                [sys.executable, "-m", __name__, folder, name], capture_output=True, text=True, check=True
            )
            told[name] = int(json.loads(done.stdout))
    return told


def growth(points: Points, choose: Callable[[int, Points], Points], programs: list[tuple[str, Fit]]) -> dict[str, Any]:
    """Processor seconds of one thread with growing rows, columns and clusters; one round each, in turn.

    ``choose(k, points)`` returns the start.
    """
    rows = [points[: len(points) * part // 4] for part in (1, 2, 4)]
    columns = [np.ascontiguousarray(points[:, :width]) for width in COLUMNS if width <= points.shape[1]]
    told: dict[str, Any] = {"clusters_where_others_vary": CLUSTERS, "rows": {}, "columns": {}, "clusters": {}}
    for each in rows:
        told["rows"][str(len(each))] = _seconds(each, choose(CLUSTERS, each), programs)
    for each in columns:
        told["columns"][str(each.shape[1])] = _seconds(each, choose(CLUSTERS, each), programs)
    for k in (64, 256, 1024):
        told["clusters"][str(k)] = _seconds(points, choose(k, points), programs)
    return told


def seeding(points: Points, rounds: int) -> dict[str, Any]:
    """k-means‖ beside greedy k-means++: processor seconds of choosing, inertia of what was chosen and after Lloyd."""
    from uicgpu.cluster import KMeans

    def begin(init: str, iterations: int) -> Any:
        return KMeans(SEEDED, init=init, max_iter=iterations, tol=0, device="cpu", threads=1)

    def fit(init: str) -> Callable[[], float]:
        return lambda: float(begin(init, 1).fit(points).inertia_)

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        arms = [Arm(init, fit(init)) for init in ("k-means++", "k-means||")]
        seconds, inertia = take_turns(arms, rounds, 1, "processor")
        final = {init: float(begin(init, 20).fit(points).inertia_) for init in inertia}
    return {
        "clusters": SEEDED,
        "start_and_one_iteration": summary(seconds, "k-means++"),
        "inertia_after_one_iteration": inertia,
        "inertia_after_20_iterations": final,
    }


def batches(points: Points, start: Points) -> dict[str, Any]:
    """Batches beside Lloyd's iteration to the end, from one start: seconds and inertia."""
    from uicgpu.cluster import KMeans, MiniBatchKMeans

    told = {}
    for estimator in (KMeans, MiniBatchKMeans):
        model = estimator(len(start), init=start, tol=0.0, device="cpu", threads=1)
        begin = time.process_time()
        model.fit(points)
        told[estimator.__name__] = {
            "seconds": round(time.process_time() - begin, 3),
            "inertia": float(model.inertia_),
            "passes": int(model.n_iter_),
        }
    return told


def _seconds(points: Points, start: Points, programs: list[tuple[str, Fit]]) -> dict[str, float]:
    told = {}
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for name, fit in programs:
            begin = time.process_time()
            fit(points, start, 1)
            told[name] = round(time.process_time() - begin, 3)
    return told


def _measure(folder: str, name: str) -> int:
    """Megabytes over what was held before the fit; imports and compilation come first."""
    from uicgpu.bench.kmeans import programs

    points, start = (np.load(Path(folder) / f"{part}.npy", allow_pickle=False) for part in ("points", "start"))
    fit = dict(programs())[name]
    fit(points[:4096], start, 1)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _held("VmRSS")
    fit(points, start, 1)
    return max(0, _held("VmHWM") - before) // 1024


def _held(entry: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stdout.write(json.dumps(_measure(*sys.argv[1:])))
