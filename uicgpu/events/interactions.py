"""Clean events and interactions as arrays: the long form that every later room works on.

Nothing here is users x items: an :class:`EventTable` holds one entry per event, :class:`Interactions` one per distinct
(user, item) pair, in CSR order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.vocabulary import Column

DAY_US = 86_400_000_000
"""Microseconds per day."""
NO_TIME = np.iinfo(np.int64).min
"""Stands for "no time" in int64 microsecond arrays."""


@dataclass(frozen=True)
class EventTable:
    """Clean events, sorted by user, then time, then item.

    Attributes
    ----------
    users, items
        int32 codes [events]: position in the sorted user ids, row of ``items.parquet``.
    times
        int64 [events], microseconds since 1970-01-01 UTC, ``NO_TIME`` where unknown.
    kinds
        int32 [events], position in ``kind_names``; 0 when events carry no kind.
    values
        float32 [events], NaN where the event carries no value.
    weights
        float32 [events], weight of the event's kind, before any decay.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    kinds: NDArray[np.int32]
    values: NDArray[np.float32]
    weights: NDArray[np.float32]
    n_users: int
    n_items: int
    kind_names: tuple[str, ...] = ("event",)

    @property
    def timed(self) -> bool:
        """Whether every event has a time."""
        return bool(self.times.size) and bool((self.times != NO_TIME).all())

    def __len__(self) -> int:
        return int(self.users.size)

    def take(self, mask: NDArray[np.bool_]) -> EventTable:
        """Return the events where ``mask`` holds, in the same order and with the same numbers of users and items."""
        return EventTable(
            self.users[mask],
            self.items[mask],
            self.times[mask],
            self.kinds[mask],
            self.values[mask],
            self.weights[mask],
            self.n_users,
            self.n_items,
            self.kind_names,
        )


@dataclass(frozen=True)
class Interactions:
    """Distinct (user, item) pairs in CSR order: by user, then item.

    Attributes
    ----------
    offsets
        int64 [users + 1]; user ``u`` owns entries ``offsets[u]:offsets[u + 1]``.
    items
        int32 [pairs].
    weights
        float32 [pairs], sum of the (decayed) weights of the pair's events; always positive.
    events
        int32 [pairs], number of events.
    first_times, last_times
        int64 [pairs], microseconds, ``NO_TIME`` where unknown.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    events: NDArray[np.int32]
    first_times: NDArray[np.int64]
    last_times: NDArray[np.int64]
    n_users: int
    n_items: int

    def __len__(self) -> int:
        return int(self.items.size)

    @property
    def users(self) -> NDArray[np.int32]:
        """int32 [pairs], the user of each pair."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.offsets))

    @property
    def user_counts(self) -> NDArray[np.int64]:
        """int64 [users], distinct items per user."""
        return np.diff(self.offsets)

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """int64 [items], distinct users per item."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    def history(self, user: int) -> NDArray[np.int32]:
        """Items of one user, ascending."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def matrix(self, *, binary: bool = True) -> sparse.csr_array:
        """Sparse users x items float32 matrix: ones, or the weights."""
        data = np.ones(len(self), np.float32) if binary else self.weights
        return sparse.csr_array((data, self.items, self.offsets), shape=(self.n_users, self.n_items))


def aggregate(events: EventTable, *, half_life: float | None = None, now: int | None = None) -> Interactions:
    """Sum events into interactions.

    Parameters
    ----------
    half_life
        Days after which an event weighs half; ``None`` for no decay. Events without a time do not decay.
    now
        Reference time in microseconds; default: the latest event. A later event than ``now`` has age 0.

    Notes
    -----
    Weights are summed in float64 in the order (user, item, time) and rounded once, so the result does not depend on the
    order of input rows or on threads.
    """
    order = np.lexsort((events.weights, events.times, events.items, events.users))
    users, items = events.users[order], events.items[order]
    times, weights = events.times[order], events.weights[order].astype(np.float64)
    known = times != NO_TIME
    if half_life is not None and known.any():
        latest = int(times[known].max()) if now is None else now
        age = np.where(known, np.maximum(latest - times, 0), 0) / DAY_US
        weights = weights * np.exp2(-age / half_life)
    new = np.ones(users.size, np.bool_)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    starts = np.flatnonzero(new)
    if starts.size == 0:
        empty_time = np.empty(0, np.int64)
        return Interactions(
            np.zeros(events.n_users + 1, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.float32),
            np.empty(0, np.int32),
            empty_time,
            empty_time,
            events.n_users,
            events.n_items,
        )
    ends = np.append(starts[1:], users.size)
    pair_users = users[starts]
    offsets = np.searchsorted(pair_users, np.arange(events.n_users + 1, dtype=np.int32)).astype(np.int64)
    summed = np.add.reduceat(weights, starts)
    tiny = np.finfo(np.float32).tiny
    return Interactions(
        offsets,
        items[starts],
        np.maximum(summed, tiny).astype(np.float32),
        (ends - starts).astype(np.int32),
        times[starts],
        times[ends - 1],
        events.n_users,
        events.n_items,
    )


def load_events(frame: pl.DataFrame, *, n_users: int, n_items: int, kind_names: tuple[str, ...]) -> EventTable:
    """Turn the clean-events frame (``stages/events.parquet``) into arrays.

    The frame has ``user`` int32, ``item`` int32, ``time`` int64 microseconds (nullable), ``kind`` int32, ``value``
    float32 (nullable), ``weight`` float32, already sorted by user, time, item.
    """
    return EventTable(
        frame[Column.USER_CODE].to_numpy(),
        frame[Column.ITEM_CODE].to_numpy(),
        frame[Column.TIME].fill_null(NO_TIME).to_numpy(),
        frame[Column.KIND].to_numpy(),
        frame[Column.VALUE].fill_null(float("nan")).to_numpy(),
        frame[Column.WEIGHT].to_numpy(),
        n_users,
        n_items,
        kind_names,
    )
