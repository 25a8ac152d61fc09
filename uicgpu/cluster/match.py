"""Which new cluster is which old one? Ids that keep their meaning when clusters are fitted again.

Two clusterings of users, some of whom are in both, are compared by shared members. The one-to-one matching with the
most shared weight (Jaccard index of the members both runs know) decides which new cluster carries on an old id; what
was not matched was born, or has died. A new cluster that took a good part of several old ones is a merge, an old one
whose members went to several new ones a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from uicgpu.errors import InputError

LEAST_OVERLAP: Final = 0.1
"""Jaccard index below which two clusters are not the same one."""
PART: Final = 0.25
"""Share of a cluster that counts as a good part of it."""


@dataclass(frozen=True)
class Matching:
    """How new clusters relate to old ones; every list is in ascending order of ids.

    Attributes
    ----------
    ids
        int32 [new clusters]: the id to use for each new cluster: the old one where it was matched, else a new id above
        all that were used before.
    overlap
        float64 [new clusters]: Jaccard index with the matched old cluster, 0 for births.
    births
        New ids.
    deaths
        Old ids that nobody carries on.
    splits
        Old id -> ids (as in ``ids``) of the two or more new clusters that got a good part of its members.
    merges
        Id (as in ``ids``) -> old ids of the two or more clusters whose good part it got.
    shared
        Users in both clusterings that have a cluster in both.
    """

    ids: NDArray[np.int32]
    overlap: NDArray[np.float64]
    births: list[int]
    deaths: list[int]
    splits: dict[int, list[int]]
    merges: dict[int, list[int]]
    shared: int

    def rename(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the new clustering's ``labels`` under the ids that keep their meaning; noise (-1) stays."""
        return np.where(labels < 0, labels, self.ids[np.maximum(labels, 0)]).astype(np.int32)


def match_clusters(
    old_users: Sequence[str] | pl.Series,
    old_labels: NDArray[np.int32],
    new_users: Sequence[str] | pl.Series,
    new_labels: NDArray[np.int32],
    *,
    first_free: int | None = None,
    least_overlap: float = LEAST_OVERLAP,
    part: float = PART,
) -> Matching:
    """Match the clusters of a new fit with those of an old one.

    Parameters
    ----------
    old_users, new_users
        Distinct user ids, in any order.
    old_labels, new_labels
        int32, the cluster of each; -1 is noise and takes no part.
    first_free
        The lowest id never used before; default: one above the largest old label. Pass the run's own counter, so that
        the id of a cluster that died long ago does not come back with another meaning.
    least_overlap
        Jaccard index that a match needs.
    part
        Share of a cluster's (shared) members that counts for splits and merges.

    Raises
    ------
    InputError
        When users and labels differ in number, a user stands twice, or no user is in both.
    """
    old, new = _table(old_users, old_labels, "old"), _table(new_users, new_labels, "new")
    both = old.join(new, on="user", how="inner")
    olds = int(np.max(old_labels, initial=-1)) + 1
    news = int(np.max(new_labels, initial=-1)) + 1
    if both.is_empty():
        raise InputError("the two clusterings share no user", fix="match clusterings of the same users")
    counts = np.zeros((olds, news), np.int64)
    clustered = both.filter((pl.col("old") >= 0) & (pl.col("new") >= 0))
    np.add.at(counts, (clustered["old"].to_numpy(), clustered["new"].to_numpy()), 1)
    of_old, of_new = counts.sum(axis=1), counts.sum(axis=0)
    union = of_old[:, None] + of_new[None, :] - counts
    jaccard = np.where(union > 0, counts / np.maximum(union, 1), 0.0)
    ids, overlap = np.full(news, -1, np.int32), np.zeros(news)
    for a, b in zip(*linear_sum_assignment(-jaccard), strict=True):
        if jaccard[a, b] >= least_overlap:
            ids[b], overlap[b] = a, jaccard[a, b]
    known = {int(label) for label in np.unique(old_labels) if label >= 0}
    fresh = max(olds, first_free or 0)
    births = [int(b) for b in range(news) if ids[b] < 0 and (np.asarray(new_labels) == b).any()]
    for number, b in enumerate(births):
        ids[b] = fresh + number
    from_old = counts / np.maximum(of_old, 1)[:, None]
    into_new = counts / np.maximum(of_new, 1)[None, :]
    splits = {a: [int(ids[b]) for b in np.flatnonzero(from_old[a] >= part)] for a in range(olds)}
    merges = {int(ids[b]): [int(a) for a in np.flatnonzero(into_new[:, b] >= part)] for b in range(news)}
    return Matching(
        ids,
        overlap,
        [int(ids[b]) for b in births],
        sorted(known - set(ids.tolist())),
        {a: sorted(parts) for a, parts in splits.items() if len(parts) > 1},
        {b: parts for b, parts in sorted(merges.items()) if len(parts) > 1},
        int(counts.sum()),
    )


def _table(users: Sequence[str] | pl.Series, labels: NDArray[Any], which: str) -> pl.DataFrame:
    if len(users) != len(labels):
        raise InputError(f"the {which} clustering has {len(users)} users and {len(labels)} labels")
    table = pl.DataFrame(
        {"user": pl.Series(users, dtype=pl.String), which: pl.Series(np.asarray(labels), dtype=pl.Int64)}
    )
    if table["user"].n_unique() != table.height:
        raise InputError(f"a user stands twice in the {which} clustering")
    return table
