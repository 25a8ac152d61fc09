"""What does a reduction do to HDBSCAN? ``python -m uicgpu.bench.reduce NAME=RUN … --out FILE``.

On the interest vectors of finished runs, one thread: all dimensions, 15 principal axes, and UMAP (the extra ``umap``)
under several seeds. Where the groups of the users are known, the clusters are compared with them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Backend
from uicgpu.bench.finished_runs import known_groups, measure_named_runs
from uicgpu.cluster import Clustering, cluster_vectors
from uicgpu.cluster.quality import agreement, simplified_silhouettes
from uicgpu.cluster.reduce import WAYS
from uicgpu.runs.artefacts import open_run
from uicgpu.settings import Settings
from uicgpu.version import __version__
from uicgpu.vocabulary import Artefact

SEEDS: Final = 5
"""Only UMAP has a use for them; the other two are as they are."""


def bench_reduce(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Compare the three ways on each run; the result names data sets, not places.

    Parameters
    ----------
    runs
        Name of the data set → folder of a finished run.

    Raises
    ------
    MissingExtraError
        Without umap-learn.
    """
    told: dict[str, Any] = {}
    for name, path in sorted(runs.items()):
        points = np.ascontiguousarray(np.load(path / Artefact.INTEREST_VECTORS, allow_pickle=False), np.float32)
        truth = known_groups(open_run(path))
        told[name] = {"users": points.shape[0], "ways": {way: _measure(points, way, truth) for way in WAYS}}
    return {"sets": told, "seeds": SEEDS, "uicgpu_version": __version__}


def _measure(points: NDArray[np.float32], way: str, truth: NDArray[Any] | None) -> dict[str, Any]:
    """Means over the seeds; the processor time is a median, after one fit that only compiles."""
    backend = choose_backend("cpu", threads=1)
    found, seconds = [], []
    for seed in (0, *range(SEEDS)):
        started = time.process_time()
        settings = Settings.model_validate({"algorithm": "hdbscan", "reduce": way, "seed": seed})
        found.append(cluster_vectors(points, settings, backend))
        seconds.append(time.process_time() - started)
    found = found[1:]
    labels = [each.labels for each in found]
    between = [adjusted_rand_score(one, other) for one, other in itertools.combinations(labels, 2)]
    clusters = [int(each.facts["k"]) for each in found]
    told = {
        "dimensions": int(found[0].facts["dimensions"]),
        "clusters": [min(clusters), max(clusters)],
        "noise": _mean([each.facts["noise"] / len(points) for each in found]),
        "largest": _mean([np.bincount(each).max() / len(points) for each in labels]),
        "silhouette_simplified": _mean([_silhouette(points, each, backend) for each in found]),
        "ari_between_seeds": _mean(between),
        "cpu_seconds": round(float(np.median(seconds[1:])), 3),
    }
    if truth is not None:
        agreed = [agreement(each, truth) for each in labels]
        told |= {measure: _mean([each[measure] for each in agreed]) for measure in ("nmi", "ari")}
    return told


def _silhouette(points: NDArray[np.float32], found: Clustering, backend: Backend) -> float:
    return float(simplified_silhouettes(points, found.labels, found.centroids.astype(np.float64), backend).mean())


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def markdown_table(result: Mapping[str, Any]) -> str:
    """Return one row per data set and way."""
    lines = [
        "| data | users | `--reduce` | clusters | noise | largest | silhouette | NMI | ARI | between seeds | CPU s |",
        "| --- " * 11 + "|",
    ]
    for name, told in result["sets"].items():
        for way in WAYS:
            found = told["ways"][way]
            known = [f"{found[figure]:.3f}" if figure in found else "" for figure in ("nmi", "ari")]
            least, most = found["clusters"]
            lines.append(
                f"| {name} | {told['users']} | `{way}` | {least if least == most else f'{least}–{most}'} | "
                f"{found['noise']:.1%} | {found['largest']:.1%} | {found['silhouette_simplified']:.3f} | "
                f"{' | '.join(known)} | {found['ari_between_seeds']:.3f} | {found['cpu_seconds']:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    measure_named_runs(__doc__, bench_reduce)
