"""Does ``--consensus`` give steadier clusters? ``python -m uicgpu.bench.consensus NAME=RUN … --out FILE``.

On the interest vectors of finished runs, one thread. Three ways to the same number of clusters are compared: what a run
does by default, the same with as many starts as the consensus has fits, and the consensus. Each is fitted to everybody
under several seeds, and to bootstrap resamples (the same ones for all three); agreement is the adjusted Rand index of
the labels of all users.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from uicgpu.backends import choose_backend
from uicgpu.bench.finished_runs import known_groups, measure_named_runs
from uicgpu.cluster.consensus import fit_consensus
from uicgpu.cluster.distances import cluster_means
from uicgpu.cluster.quality import agreement, simplified_silhouettes
from uicgpu.cluster.starts import Fit, fit_kmeans
from uicgpu.randomness import generator
from uicgpu.runs.artefacts import open_run
from uicgpu.version import __version__
from uicgpu.vocabulary import Artefact, StageName

RUNS: Final = 20
SEEDS: Final = 5
RESAMPLES: Final = 6
FINE: Final = 20
"""Clusters of the second comparison, where single fits are known to disagree; the first takes the run's own number."""
Weights = NDArray[np.float64] | None
BACKEND: Final = choose_backend("cpu", threads=1)
WAYS: Final[Mapping[str, Callable[[NDArray[np.float32], int, int, Weights], Fit]]] = {
    "default": lambda x, k, seed, weights: fit_kmeans(x, k, seed, BACKEND, weights=weights),
    f"{RUNS} starts": lambda x, k, seed, weights: fit_kmeans(x, k, seed, BACKEND, weights=weights, starts=RUNS),
    f"consensus {RUNS}": lambda x, k, seed, weights: fit_consensus(x, k, seed, BACKEND, RUNS, weights=weights),
}


def bench_consensus(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Compare the three ways on each run; the result names data sets, not places.

    Parameters
    ----------
    runs
        Name of the data set → folder of a finished run.
    """
    told: dict[str, Any] = {}
    for name, path in sorted(runs.items()):
        run = open_run(path)
        points = np.ascontiguousarray(np.load(path / Artefact.INTEREST_VECTORS, allow_pickle=False), np.float32)
        truth = known_groups(run)
        numbers = sorted({int(run.facts(StageName.CLUSTER)["clusters"]), FINE} if truth is None else {FINE + 3})
        told[name] = {
            "users": points.shape[0],
            "clusters": {str(k): {way: _measure(points, k, way, truth) for way in WAYS} for k in numbers},
        }
    return {"sets": told, "seeds": SEEDS, "resamples": RESAMPLES, "uicgpu_version": __version__}


def _measure(points: NDArray[np.float32], k: int, way: str, truth: NDArray[Any] | None) -> dict[str, Any]:
    fit = WAYS[way]
    rows = points.shape[0]
    started = time.process_time()
    fits = [fit(points, k, seed, None) for seed in range(SEEDS)]
    seconds = (time.process_time() - started) / SEEDS
    labels = [each.labels for each in fits]
    resampled = []
    for number in range(RESAMPLES):
        drawn = generator(number, "bench/consensus").integers(0, rows, rows)
        counts = np.bincount(drawn, minlength=rows)
        chosen = np.flatnonzero(counts)
        part = fit(points[chosen], k, SEEDS + number, counts[chosen].astype(np.float64))
        resampled.append(BACKEND.assign(points, part.lloyd.centroids).labels)
    across = [adjusted_rand_score(one, other) for one, other in itertools.combinations(labels, 2)]
    back = [adjusted_rand_score(labels[0], other) for other in resampled]
    told = {
        "ari_between_seeds": round(float(np.mean(across)), 4),
        "ari_with_resamples": round(float(np.mean(back)), 4),
        "inertia": round(float(np.mean([each.lloyd.inertia for each in fits])), 3),
        "silhouette_simplified": round(float(np.mean([_silhouette(points, each) for each in fits])), 4),
        "cpu_seconds": round(seconds, 3),
    }
    if truth is not None:
        found = [agreement(each, truth) for each in labels]
        told |= {name: round(float(np.mean([each[name] for each in found])), 4) for name in ("nmi", "ari")}
    return told


def _silhouette(points: NDArray[np.float32], fit: Fit) -> float:
    means = cluster_means(points, fit.labels, fit.lloyd.centroids.shape[0], BACKEND)
    return float(simplified_silhouettes(points, fit.labels, means, BACKEND).mean())


def markdown_table(result: Mapping[str, Any]) -> str:
    """Return one row per data set, number of clusters and way."""
    lines = [
        "| data | users | k | way | ARI between seeds | ARI with resamples | inertia | silhouette | NMI | CPU s |",
        "| --- " * 10 + "|",
    ]
    for name, told in result["sets"].items():
        for k, ways in sorted(told["clusters"].items(), key=lambda entry: int(entry[0])):
            for way in WAYS:
                found = ways[way]
                nmi = f"{found['nmi']:.3f}" if "nmi" in found else ""
                relative = found["inertia"] / ways["default"]["inertia"]
                lines.append(
                    f"| {name} | {told['users']} | {k} | {way} | {found['ari_between_seeds']:.3f} | "
                    f"{found['ari_with_resamples']:.3f} | {relative:.4f} | {found['silhouette_simplified']:.3f} | "
                    f"{nmi} | {found['cpu_seconds']:.2f} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    measure_named_runs(__doc__, bench_consensus)
