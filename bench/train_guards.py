"""Did fine-tuning harm clusters? Known groups of another catalogue, and how well clusters come back on resamples."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends import choose_backend
from uicgpu.cluster.clustering import cluster_vectors
from uicgpu.cluster.stability import bootstrap_stability
from uicgpu.finetune.behaviour import History, distinct
from uicgpu.settings import Settings

GROUPS: Final = "amazon2023-30x23"
GROUP_COUNT: Final = 23
OWN_CLUSTERS: Final = 20
RESAMPLES: Final = 10
SEEDS: Final = 5

EncodeOf = Callable[[list[str]], NDArray[np.float32]]


def group_figures(data: Path, encoders: Mapping[str, EncodeOf]) -> dict[str, Any]:
    """NMI of k-means clusters with 23 known groups over five seeds, and bootstrap ARI: a retention test, out of domain.

    A user is the mean of the centred unit vectors of the titles of their history.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score as nmi

    rows = [
        json.loads(line)
        for name in ("training", "validation", "test")
        for line in (data / GROUPS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    rows = [row for row in rows if row["category"] != "Baby_Products"]
    titles = [[str((event.get("product") or {}).get("title") or "") for event in row["history"]] for row in rows]
    flat = distinct([title for history in titles for title in history])
    truth = [row["category"] for row in rows]
    place = np.cumsum([0] + [len(history) for history in titles])
    figures = {}
    for name, encode in encoders.items():
        vectors = centred(encode(flat.texts))
        padded = np.concatenate([vectors, np.zeros((1, vectors.shape[1]))])  # code -1: no title
        users = unit(np.stack([padded[flat.codes[a:b]].mean(axis=0) for a, b in itertools.pairwise(place)]))
        found = [
            nmi(truth, KMeans(GROUP_COUNT, n_init=4, random_state=seed).fit_predict(users)) for seed in range(SEEDS)
        ]
        figures[name] = {
            "nmi": round(float(np.mean(found)), 4),
            "sd": round(float(np.std(found)), 4),
            "stability": stability(users, GROUP_COUNT),
        }
    return figures


def own_stability(vectors: Mapping[str, NDArray[np.float32]], past: History) -> dict[str, Any]:
    """Bootstrap ARI of 20 clusters of the set's own users, by the plain vectors of each encoder."""
    matrix = past.matrix()[past.lengths > 0]
    return {name: stability(unit(matrix @ centred(values)), OWN_CLUSTERS) for name, values in vectors.items()}


def stability(users: NDArray[np.float64], clusters: int) -> dict[str, Any]:
    """Bootstrap ARI of a k-means clustering, :func:`uicgpu.cluster.stability.bootstrap_stability`."""
    settings = Settings(k=clusters, stability_runs=RESAMPLES, threads=1)
    backend = choose_backend("cpu", 1, 2**32)
    points = np.ascontiguousarray(users, np.float32)
    found = bootstrap_stability(points, settings, backend, cluster_vectors(points, settings, backend))
    return {key: found[key] if key in ("runs", "users") else round(found[key], 4) for key in ("mean", "low", "high")}


def centred(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit rows after the mean is taken off, float64."""
    return unit(vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length one; zero rows stay."""
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)
