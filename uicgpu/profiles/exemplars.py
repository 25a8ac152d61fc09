"""Which items stand for a cluster? Those its users hold more often than others do, and those nearest its centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.privacy.anonymity import K_ANONYMITY
from uicgpu.profiles.counts import Groups
from uicgpu.vocabulary import Column

EXEMPLARS_PER_CLUSTER = 8
PRIOR_USERS = 10.0
"""Imagined average users added to every cluster, so that a small cluster's lift is not taken at its word."""
ITEMS_PER_BLOCK = 65_536

Why = Literal["over-represented", "central"]


@dataclass(frozen=True)
class Exemplar:
    """An item that stands for a cluster; shares are of users who hold it, in the cluster and among all users.

    ``share`` and ``lift`` are None where too few users of the cluster hold it.
    """

    item: int
    why: Why
    share: float | None
    base_share: float
    lift: float | None


def item_titles(items: pl.DataFrame) -> pl.Series:
    """What a person calls each item: its title, else its text, else its id; one per row."""
    named = [
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name))
        for name in (Column.TITLE, Column.TEXT)
        if name in items.columns
    ]
    return items.select(pl.coalesce(*named, pl.col(Column.ITEM)).alias(Column.TITLE))[Column.TITLE]


def smoothed_lift(held: NDArray[np.float64], size: float, base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a cluster's users over the share of all users, with ``PRIOR_USERS`` average users added to the cluster.

    ``((held + a * base) / (size + a)) / base``; 1 where nothing is known.

    Parameters
    ----------
    held
        float64 [items], users of the cluster who hold the item.
    size
        Users of the cluster.
    base
        float64 [items], share of all users who hold the item; positive.
    """
    return (held + PRIOR_USERS * base) / (size + PRIOR_USERS) / base


def choose_exemplars(
    holders: sparse.csr_array,
    groups: Groups,
    centroids: NDArray[np.float32] | None = None,
    item_vectors: NDArray[np.float32] | None = None,
    *,
    number: int = EXEMPLARS_PER_CLUSTER,
    minimum_users: int = K_ANONYMITY,
) -> list[list[Exemplar]]:
    """Return the exemplar items of each group, best first.

    Parameters
    ----------
    holders
        Sparse groups x items: distinct users of the group who hold the item.
    centroids
        float32 [clusters, dim + features], in the space of interest vectors.
    item_vectors
        float32 [items, dim], as encoded; they are centred here on the mean of the items with events, as pooling does.

    Notes
    -----
    About two thirds are the most over-represented items (smoothed lift times share of users), the rest the items
    nearest to the centre. An item qualifies when ``minimum_users`` users of the group hold it. Where fewer than three
    qualify, the items nearest to the centre fill up that ``minimum_users`` users of any cluster hold. Ties go to the
    lowest row.
    """
    users = float(groups.sizes.sum())
    single = int((groups.sizes > 0).sum()) == 1
    base_counts = np.asarray(holders.sum(axis=0)).ravel()
    near = _nearest_items(holders, groups, base_counts, centroids, item_vectors, number, minimum_users)
    result: list[list[Exemplar]] = []
    for group, size in enumerate(groups.sizes.tolist()):
        start, end = holders.indptr[group], holders.indptr[group + 1]
        items, held = holders.indices[start:end], holders.data[start:end]
        order = np.argsort(items, kind="stable")
        items, held = items[order], held[order]
        base = base_counts[items] / users if users else np.zeros(items.size)
        lift = smoothed_lift(held, float(size), base)
        share = held / max(size, 1)
        common = np.flatnonzero((held >= minimum_users) & ((lift > 1.0) | single))
        best = common[np.argsort(-(lift * share)[common], kind="stable")]
        central, anywhere = near[group]
        over = number if not central else number - number // 3
        chosen: dict[int, Why] = {int(items[position]): "over-represented" for position in best[:over]}
        for item in central:
            if len(chosen) < number:
                chosen.setdefault(item, "central")
        for item in anywhere:
            if len(chosen) < 3:
                chosen.setdefault(item, "central")
        held_of = dict(zip(items.tolist(), held.tolist(), strict=True))
        result.append(
            [
                _exemplar(item, why, held_of.get(item, 0.0), size, base_counts[item], users, minimum_users)
                for item, why in chosen.items()
            ]
        )
    return result


def _exemplar(item: int, why: Why, held: float, size: int, total: float, users: float, minimum: int) -> Exemplar:
    base = total / users if users else 0.0
    if held < minimum:
        return Exemplar(item, why, None, base, None)
    lift = float(smoothed_lift(np.array([held]), float(size), np.array([base]))[0]) if base > 0 else 1.0
    return Exemplar(item, why, held / max(size, 1), base, lift)


def _nearest_items(
    holders: sparse.csr_array,
    groups: Groups,
    base_counts: NDArray[np.float64],
    centroids: NDArray[np.float32] | None,
    item_vectors: NDArray[np.float32] | None,
    number: int,
    minimum_users: int,
) -> list[tuple[list[int], list[int]]]:
    """Per group: nearest of its own common items, nearest of all items with events; ``number`` of each at most."""
    if centroids is None or item_vectors is None or not centroids.shape[0] or not item_vectors.shape[0]:
        return [([], []) for _ in groups.labels]
    dim = min(item_vectors.shape[1], centroids.shape[1])
    centres = np.asarray(centroids[:, :dim], np.float64)
    seen, held_enough = base_counts > 0, base_counts >= minimum_users
    mean = _mean_vector(item_vectors, np.flatnonzero(seen))[:dim]
    common = holders.copy()
    common.data = (common.data >= minimum_users).astype(np.float64)
    best: list[list[tuple[float, int]]] = [[] for _ in range(2 * len(groups))]
    for start in range(0, item_vectors.shape[0], ITEMS_PER_BLOCK):
        block = np.asarray(item_vectors[start : start + ITEMS_PER_BLOCK, :dim], np.float64)
        usable = held_enough[start : start + block.shape[0]] & (np.abs(block).max(axis=1, initial=0.0) > 0)
        block = block - mean
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        block = block / np.where(lengths > 0, lengths, 1.0)[:, None]
        mine = common[:, start : start + block.shape[0]].toarray() > 0
        for group, cluster in enumerate(groups.labels):
            if not 0 <= cluster < centres.shape[0]:
                continue
            similarity = np.einsum("ij,j->i", block, centres[cluster])
            for offset, allowed in ((0, usable & mine[group]), (1, usable)):
                rows = np.flatnonzero(allowed)
                rows = rows[np.argsort(-similarity[rows], kind="stable")][:number]
                found = [(-float(similarity[row]), start + int(row)) for row in rows]
                best[2 * group + offset] = sorted(best[2 * group + offset] + found)[:number]
    return [
        ([item for _, item in best[2 * group]], [item for _, item in best[2 * group + 1]])
        for group in range(len(groups))
    ]


def _mean_vector(vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.zeros(vectors.shape[1])
    for start in range(0, rows.size, ITEMS_PER_BLOCK):
        total += np.asarray(vectors[rows[start : start + ITEMS_PER_BLOCK]], np.float64).sum(axis=0)
    return total / max(rows.size, 1)
