"""Soft memberships of density clusters: how much of a point belongs to each of them.

The idea is that of the hdbscan package (McInnes, Healy, Astels, *hdbscan: Hierarchical density based clustering*, JOSS
2 (2017), section on soft clustering): a distance part and a merge part are multiplied, made to sum to one, and scaled
by how surely the point belongs to any cluster. Here, for point ``x`` and cluster ``c``:

- the distance part is one over the distance to the nearest exemplar of ``c``, one of its density peaks;
- the merge part is ``strength(x, c) = min(1, typical_c / level(x, c))``, where ``level`` is the density level at which
  ``x`` and ``c`` become one group, and ``typical_c`` the median core distance of its members;
- ``membership(x, c)`` is proportional to ``distance part^0.5 * strength^2`` and sums to the largest strength.

A member among the denser half of its cluster sums to one; noise that joins late sums to little. Nothing of size n x k
is kept: the two largest memberships of each point are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from uicgpu.backends.interface import Backend
from uicgpu.cluster.distances import chunks
from uicgpu.kernels.spanning_tree import Merges

MOST_EXEMPLARS: Final = 16
"""Exemplars per cluster: its deepest density peaks."""
CELLS: Final = 1 << 20
"""Distances held at once, 8 MB per thread."""


class Memberships(NamedTuple):
    """The two clusters that a point belongs to most.

    Attributes
    ----------
    best, second
        int32 [n]: the own cluster, for noise the one with the largest membership; the largest of the others (ties to
        the lowest id of the fit; the same again when there is one cluster only).
    strength
        float32 [n], membership in ``best``, in [0, 1].
    """

    best: NDArray[np.int32]
    second: NDArray[np.int32]
    strength: NDArray[np.float32]

    def renamed(self, names: NDArray[np.int32]) -> Memberships:
        """Return the same with other cluster ids."""
        return Memberships(names[self.best], names[self.second], self.strength)


@dataclass(frozen=True)
class Soft:
    """What memberships are computed from.

    Attributes
    ----------
    exemplars, starts
        float32 [e, c], grouped by cluster; int64 [k], where each cluster begins.
    meeting
        float64 [k, k], level at which two clusters meet, 0 on the diagonal.
    typical
        float64 [k], median core distance of the members (of those above 0; if none is, the level of the first merge).
    """

    exemplars: NDArray[np.float32]
    starts: NDArray[np.int64]
    meeting: NDArray[np.float64]
    typical: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        exemplars: NDArray[np.float32],
        clusters: NDArray[np.int32],
        met: Merges,
        cores: NDArray[np.float64],
        labels: NDArray[np.int32],
    ) -> Soft:
        """Prepare from exemplars sorted by cluster, levels, and core distances and labels of the fitted points."""
        meeting, typical = met.meeting, met.births.copy()
        for cluster in range(len(typical)):
            # copies of one point have a core distance of 0, which says nothing about the others
            spread = cores[(labels == cluster) & (cores > 0)]
            if spread.size:
                typical[cluster] = np.median(spread)
        return cls(exemplars, np.searchsorted(clusters, np.arange(len(meeting))), meeting, typical)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return named arrays for :meth:`from_state`."""
        return {name: getattr(self, name) for name in ("exemplars", "starts", "meeting", "typical")}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Soft:
        """Rebuild from :meth:`state`."""
        return cls(state["exemplars"], state["starts"], state["meeting"], state["typical"])


def exemplars_of(
    labels: NDArray[np.int32], cores: NDArray[np.float64], peaks: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Rows of the deepest density peaks of every cluster, at most 16 each, and their clusters, grouped by cluster."""
    rows = np.flatnonzero(peaks)
    rows = rows[np.lexsort((rows, cores[rows], labels[rows]))]
    place = np.arange(len(rows)) - np.searchsorted(labels[rows], labels[rows])
    rows = rows[place < MOST_EXEMPLARS]
    return rows, labels[rows]


def soft_memberships(
    soft: Soft,
    points: NDArray[np.float32],
    own: NDArray[np.int32],
    levels: NDArray[np.float64],
    inside: NDArray[np.bool_],
    backend: Backend,
) -> Memberships:
    """Memberships of ``points`` [n, c].

    Parameters
    ----------
    own, levels
        The cluster that a point meets first, int32 [n], and the level at which it does, float64 [n].
    inside
        bool [n], whether it belongs to that cluster; its own cluster is then ``best`` whatever its membership.
    """
    wide = soft.exemplars.astype(np.float64)

    def part(chunk: slice) -> Memberships:
        clusters = own[chunk]
        level = np.maximum(levels[chunk, None], soft.meeting[clusters])
        strength = np.ones_like(level)
        np.divide(soft.typical, level, out=strength, where=level > soft.typical)
        distance = np.minimum.reduceat(cdist(points[chunk].astype(np.float64), wide), soft.starts, axis=1)
        least = distance.min(axis=1, keepdims=True)
        closeness = np.ones_like(distance)
        np.divide(least, distance, out=closeness, where=distance > least)
        share = np.sqrt(closeness) * strength**2
        total, most = share.sum(axis=1), strength.max(axis=1)
        share *= (np.divide(most, total, out=np.zeros_like(most), where=total > 0))[:, None]
        row = np.arange(len(share))
        best = np.where(inside[chunk], clusters, share.argmax(axis=1)).astype(np.int32)
        held = share[row, best].astype(np.float32)
        share[row, best] = -1.0
        return Memberships(best, share.argmax(axis=1).astype(np.int32), held)

    size = max(1, CELLS // max(len(soft.exemplars), soft.meeting.shape[0]))
    parts = backend.map(part, chunks(len(points), min(size, 4096)))
    nothing = Memberships(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    return Memberships(*(np.concatenate(columns) for columns in zip(nothing, *parts, strict=True)))
