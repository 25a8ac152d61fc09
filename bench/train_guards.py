"""Did fine-tuning harm clusters? Known groups of another catalogue, and how well clusters come back on resamples."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.finetune.behaviour import History, distinct

GROUPS: Final = "amazon2023-30x23"
GROUP_COUNT: Final = 23
OWN_CLUSTERS: Final = 20
SEEDS: Final = 30
"""Clusterings behind an NMI: the mean of so many has a standard error of about .003."""
BASES: Final = 24
"""Clusterings behind a stability figure. One alone says more of its own luck than of the vectors."""
RESAMPLES: Final = 3
"""Bootstrap samples that each of them is compared with."""
OWN_BASES: Final = 8
OWN_USERS: Final = 2000

EncodeOf = Callable[[list[str]], NDArray[np.float32]]


def group_figures(data: Path, encoders: Mapping[str, EncodeOf]) -> dict[str, Any]:
    """NMI of k-means clusters with 23 known groups over 30 seeds, and bootstrap ARI: a retention test, out of domain.

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
            "error": round(float(np.std(found) / np.sqrt(SEEDS)), 4),
            "stability": stability(users, GROUP_COUNT, BASES),
        }
    return figures


def own_stability(vectors: Mapping[str, NDArray[np.float32]], past: History) -> dict[str, Any]:
    """Bootstrap ARI of 20 clusters of the set's own users (2,000 evenly spread), by each encoder's plain vectors."""
    rows = np.flatnonzero(past.lengths > 0)
    rows = rows[np.linspace(0, rows.size - 1, min(OWN_USERS, rows.size)).astype(np.int64)]
    matrix = past.matrix()[rows]
    return {
        name: stability(unit(matrix @ centred(values)), OWN_CLUSTERS, OWN_BASES) for name, values in vectors.items()
    }


def stability(users: NDArray[np.float64], clusters: int, bases: int) -> dict[str, float]:
    """ARI of k-means on all users with k-means on bootstrap samples, mean over clusterings and its standard error."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    found = np.zeros((bases, RESAMPLES))
    for base, sample in np.ndindex(found.shape):
        if sample == 0:
            labels = KMeans(clusters, n_init=4, random_state=1000 + base).fit_predict(users)
        drawn = np.random.default_rng(1000 * base + sample).integers(0, users.shape[0], users.shape[0])
        again = KMeans(clusters, n_init=4, random_state=sample).fit(users[drawn])
        found[base, sample] = adjusted_rand_score(labels, again.predict(users))
    means = found.mean(axis=1)
    return {"mean": round(float(means.mean()), 4), "error": round(float(means.std() / np.sqrt(bases)), 4)}


def centred(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit rows after the mean is taken off, float64."""
    return unit(vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length one; zero rows stay."""
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)
