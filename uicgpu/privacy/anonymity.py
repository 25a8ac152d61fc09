"""Which clusters may be published as they are? Groups of at least k users; smaller ones are merged or withheld."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from uicgpu.vocabulary import NOISE

K_ANONYMITY: Final = 20
"""Fewest users of whom anything is published."""
ROUNDING: Final = 5
"""Published counts of users are multiples of this."""

SmallClusters = Literal["merge", "suppress"]


@dataclass(frozen=True)
class Publication:
    """Under which cluster each cluster is published.

    Attributes
    ----------
    host
        int64 [clusters]: the cluster itself, the larger one that it was merged into, or -1 for one that is withheld.
    sizes
        int64 [clusters], users of each cluster before merging.
    """

    host: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def merged(self) -> NDArray[np.int64]:
        """Clusters that are published as part of another one."""
        own = np.arange(self.host.size)
        return np.flatnonzero((self.host >= 0) & (self.host != own) & (self.sizes > 0))

    @property
    def withheld(self) -> NDArray[np.int64]:
        """Clusters with users of whom nothing but a number is published."""
        return np.flatnonzero((self.host < 0) & (self.sizes > 0))

    def labels(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Published cluster of each user; users of withheld clusters keep theirs, -1 stays -1."""
        target = np.where(self.host >= 0, self.host, np.arange(self.host.size)).astype(np.int32)
        known = np.asarray(labels) >= 0
        return np.where(known, target[np.where(known, labels, 0)] if target.size else NOISE, NOISE).astype(np.int32)

    def facts(self) -> dict[str, Any]:
        """Counts for the manifest and for the reader."""
        return {
            "merged_clusters": int(self.merged.size),
            "merged_users": int(self.sizes[self.merged].sum()),
            "withheld_clusters": int(self.withheld.size),
            "withheld_users": int(self.sizes[self.withheld].sum()),
        }


def plan_publication(
    sizes: NDArray[np.int64],
    centroids: NDArray[np.float32] | None,
    k: int = K_ANONYMITY,
    small: SmallClusters = "merge",
) -> Publication:
    """Decide what becomes of clusters with fewer than ``k`` users.

    ``merge`` joins the smallest group to the nearest other group, until every group has ``k`` users or one is left; a
    group stands under its largest cluster, and lies at the mean of its clusters' centres, weighted by users.
    ``suppress`` withholds them. What cannot be merged (no centres, fewer than ``k`` users in all) is withheld.

    Parameters
    ----------
    sizes
        int64 [clusters], users per cluster.
    centroids
        float32 [clusters, dim], or None.

    Examples
    --------
    >>> centres = np.array([[0.0], [1.0], [5.0]], np.float32)
    >>> plan_publication(np.array([50, 30, 3]), centres, 20).host.tolist()
    [0, 1, 1]
    """
    sizes = np.asarray(sizes, np.int64)
    host = np.arange(sizes.size, dtype=np.int64)
    if small == "merge" and centroids is not None and sizes.size:
        host = _merge(sizes, np.asarray(centroids, np.float64), k)
    totals = np.bincount(host, weights=sizes, minlength=sizes.size)
    host = np.where((totals[host] >= k) & (sizes > 0), host, NOISE) if sizes.size else host
    return Publication(host, sizes)


def _merge(sizes: NDArray[np.int64], centres: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    host = np.arange(sizes.size, dtype=np.int64)
    total = sizes.astype(np.float64)
    place = centres.copy()
    alive = sizes > 0
    while alive.sum() > 1:
        groups = np.flatnonzero(alive)
        smallest = int(groups[np.argmin(total[groups])])
        if total[smallest] >= k:
            break
        others = groups[groups != smallest]
        nearest = int(others[np.argmin(((place[others] - place[smallest]) ** 2).sum(axis=1))])
        # A group stands under its largest cluster; equal sizes, under the lower id.
        first, second = sorted((smallest, nearest), key=lambda group: (-sizes[group], group))
        together = total[first] + total[second]
        place[first] = (total[first] * place[first] + total[second] * place[second]) / together
        total[first], alive[second] = together, False
        host[host == second] = first
    return host


def rounded_count(count: float, step: int = ROUNDING) -> int:
    """A count of users as it is published: the nearest multiple of ``step``, halves up.

    >>> [rounded_count(number) for number in (20, 22, 23, 1147)]
    [20, 20, 25, 1145]
    """
    return int(step * np.floor(count / step + 0.5))
