"""Which number of clusters does ``k = "auto"`` take? ``python -m uicgpu.bench.choose_k NAME=RUN … --out FILE``.

On the interest vectors of finished runs. Where the groups of the users are known, every number tried is also compared
with them: a good criterion takes a number near the best agreement without having seen it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uicgpu.backends import choose_backend
from uicgpu.bench.finished_runs import known_groups, measure_named_runs
from uicgpu.cluster.choose_k import choose_k
from uicgpu.cluster.quality import agreement
from uicgpu.cluster.starts import fit_kmeans
from uicgpu.randomness import seed_of
from uicgpu.runs.artefacts import open_run
from uicgpu.version import __version__
from uicgpu.vocabulary import Artefact


def bench_choose_k(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Choose the number of clusters for each run; the result names data sets, not places.

    Parameters
    ----------
    runs
        Name of the data set → folder of a finished run.
    """
    backend = choose_backend("cpu", threads=1)
    told: dict[str, Any] = {}
    for name, path in sorted(runs.items()):
        points = np.ascontiguousarray(np.load(path / Artefact.INTEREST_VECTORS, allow_pickle=False), np.float32)
        chosen, table = choose_k(points, seed_of(0, "cluster/choose-k"), backend)
        truth = known_groups(open_run(path))
        if truth is not None:
            for row in table:
                found = agreement(fit_kmeans(points, row["k"], 0, backend).labels, truth)
                row |= {measure: round(found[measure], 4) for measure in ("nmi", "ari")}
        groups = None if truth is None else len(set(truth.tolist()) - {None})
        told[name] = {"users": points.shape[0], "chosen": chosen, "groups": groups, "grid": table}
    return {"sets": told, "uicgpu_version": __version__}


def markdown_table(result: Mapping[str, Any]) -> str:
    """Return one row per data set: the number taken, its figures, and the next best number."""
    lines = ["| data | users | k taken | silhouette | stability | score | next best |", "| --- " * 7 + "|"]
    for name, told in result["sets"].items():
        competing = sorted((row for row in told["grid"] if row["competes"]), key=lambda row: (-row["score"], row["k"]))
        first, *rest = competing
        second = f"{rest[0]['k']} ({rest[0]['score']:.3f})" if rest else "none"
        lines.append(
            f"| {name} | {told['users']} | {told['chosen']} | {first['silhouette']:.3f} | {first['stability']:.3f} | "
            f"{first['score']:.3f} | {second} |"
        )
    return "\n".join(lines)


def agreement_table(result: Mapping[str, Any], name: str) -> str:
    """Return one row per number tried on a data set whose groups are known."""
    lines = ["| k | silhouette | stability | score | NMI | ARI |", "| --- " * 6 + "|"]
    lines += [
        f"| {row['k']} | {row['silhouette']:.3f} | {row['stability']:.3f} | {row['score']:.3f} | {row['nmi']:.3f} | "
        f"{row['ari']:.3f} |"
        for row in result["sets"][name]["grid"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    measure_named_runs(__doc__, bench_choose_k)
