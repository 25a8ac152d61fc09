"""What everybody chooses: over all time, lately, and within a group of users."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.events.interactions import DAY_US, NO_TIME
from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.inputs import TrainingPart, UserBlock

ALL_TIME_SHARE = 1e-6
"""Weight of the all-time count beside the decayed one: orders items that nobody chose lately."""
PRIOR_USERS = 20.0
"""Users' worth of global popularity that smooths a group's own."""


class Popularity:
    """Number of distinct users of the item."""

    name: ClassVar[str] = "popularity"
    judges_unknown: ClassVar[bool] = False
    scores: NDArray[np.float32]
    """float32 [items], learned."""

    def fit(self, part: TrainingPart) -> Self:
        """Count users per item."""
        self.scores = part.item_counts.astype(np.float32)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the counts for each user, float32 [b, items]."""
        return np.repeat(self.scores[None], len(block), axis=0)


class RecentPopularity:
    """Users of the item, each weighing half after ``half_life`` days since the last event of the pair.

    Parameters
    ----------
    half_life
        Days.
    per_user
        Count only events up to the user's own last event, seen from that moment. Under a split per user the training
        part holds other users' later events; seen from the end of the part, this arm would know the future.
    """

    name: ClassVar[str] = "recent_popularity"
    judges_unknown: ClassVar[bool] = False
    scores: NDArray[np.float32]
    """float32 [items], learned: seen from the last moment of the part."""

    def __init__(self, half_life: float = 30.0, per_user: bool = False) -> None:
        self.half_life = half_life
        self.per_user = per_user

    def fit(self, part: TrainingPart) -> Self:
        """Sum decayed events; pairs without a time count for all-time popularity only."""
        pairs = part.interactions
        timed = np.flatnonzero(pairs.last_times != NO_TIME)
        order = timed[np.lexsort((pairs.items[timed], pairs.last_times[timed]))]
        self._times = pairs.last_times[order]
        self._items = pairs.items[order]
        self._counts = part.item_counts.astype(np.float64)
        self._span = self.half_life * DAY_US
        latest = np.array([part.now], np.int64)
        self.scores = _decayed_counts(latest, self._times, self._items, self._span, self._counts)[0]
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the decayed counts for each user, float32 [b, items]."""
        if not self.per_user:
            return np.repeat(self.scores[None], len(block), axis=0)
        moments = block.part.last_times[block.users]
        order = np.argsort(moments, kind="stable")
        out = np.empty((len(block), self.scores.size), np.float32)
        out[order] = _decayed_counts(moments[order], self._times, self._items, self._span, self._counts)
        return out


class ClusterPopularity:
    """Popularity within the user's cluster, smoothed by everybody's: ``(N_cj + 20 p_j) / (n_c + 20)``.

    ``N_cj`` counts the cluster's users of item j, ``n_c`` its users, ``p_j`` the share of all users who chose j.

    Parameters
    ----------
    labels
        int32 [users], the cluster of each user; negative for none (then popularity itself).
    """

    name: ClassVar[str] = "cluster_popularity"
    judges_unknown: ClassVar[bool] = False
    scores: NDArray[np.float32]
    """float32 [clusters + 1, items], learned; the last row is everybody's popularity."""

    def __init__(self, labels: NDArray[np.int32]) -> None:
        self.labels = labels

    def fit(self, part: TrainingPart) -> Self:
        """Count each cluster's users per item; only users with events count."""
        pairs = part.interactions
        active = part.interactions.user_counts > 0
        clusters = int(self.labels.max(initial=-1)) + 1
        table = np.zeros((clusters + 1, part.events.n_items), np.float64)
        labels = self.labels[pairs.users]
        inside = labels >= 0
        np.add.at(table, (labels[inside], pairs.items[inside]), 1.0)
        share = part.item_counts / max(int(active.sum()), 1)
        sizes = np.bincount(self.labels[active & (self.labels >= 0)], minlength=clusters)
        table[:clusters] = (table[:clusters] + PRIOR_USERS * share) / (sizes[:, None] + PRIOR_USERS)
        table[clusters] = share
        self.scores = table.astype(np.float32)
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the popularity in each user's cluster, float32 [b, items]."""
        labels = self.labels[block.users]
        return self.scores[np.where(labels < 0, self.scores.shape[0] - 1, labels)]


@compiled
def _decayed_counts(moments: Any, times: Any, items: Any, span: float, counts: Any) -> Any:
    """Decayed counts at each of the ascending ``moments``, float32 [moments, items].

    Each item's sum is carried from event to event, so nothing overflows however long the history is.
    """
    columns = counts.size
    out = np.empty((moments.size, columns), np.float32)
    sums = np.zeros(columns, np.float64)
    since = np.zeros(columns, np.int64)
    event = 0
    for row in range(moments.size):
        moment = moments[row]
        while event < times.size and times[event] <= moment:
            item = items[event]
            sums[item] = sums[item] * 2.0 ** (-(times[event] - since[item]) / span) + 1.0 if sums[item] > 0 else 1.0
            since[item] = times[event]
            event += 1
        for item in range(columns):
            value = ALL_TIME_SHARE * counts[item]
            if sums[item] > 0:
                value += sums[item] * 2.0 ** (-(moment - since[item]) / span)
            out[row, item] = value
    return out
