"""What recommenders are fitted on and what they score: the catalogue, the training part, a block of users."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import NO_TIME, EventTable, Interactions, aggregate
from uicgpu.interests.pool import InterestPooler


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items.

    Attributes
    ----------
    item_vectors
        float32 [items, dim], L2-normalised text vectors; a zero row for an item without text.
    categories
        Values of each item's category (``()`` where unknown), or ``None``.
    texts
        Title of each item, quoted in reasons; ``""`` where there is none.
    """

    item_vectors: NDArray[np.float32]
    categories: list[tuple[str, ...]] | None = None
    texts: list[str] | None = None


class TrainingPart:
    """One part of the events together with everything that is derived from it and from nothing else.

    Parameters
    ----------
    events
        The events that arms may learn from; later parts are not in here.
    catalogue
        Its ``item_vectors`` has one row per item code.
    half_life
        Days after which an event weighs half in the interest vectors; ``None`` for no decay.
    pooler
        Makes the interest vectors; default: one fitted on this part. See :meth:`histories`.

    Attributes
    ----------
    interactions : Interactions
        The distinct (user, item) pairs of ``events``.
    item_counts : int64 [items]
        Distinct users per item.
    known : bool [items]
        Items with an event.
    now : int
        The latest moment of the part, microseconds; ``NO_TIME`` if nothing has a time.
    """

    def __init__(
        self,
        events: EventTable,
        catalogue: Catalogue,
        backend: Backend,
        *,
        half_life: float | None = None,
        pooler: InterestPooler | None = None,
    ) -> None:
        if catalogue.item_vectors.shape[0] != events.n_items:
            raise InputError(
                f"{catalogue.item_vectors.shape[0]:,} item vectors for {events.n_items:,} items",
                where="recommend",
                fix="give one row of item_vectors per item code, zeros where there is no text",
            )
        self.events = events
        self.catalogue = catalogue
        self.backend = backend
        self.half_life = half_life
        self._pooler = pooler
        self._similar: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
        self.interactions: Interactions = aggregate(events, half_life=half_life)
        self.item_counts: NDArray[np.int64] = self.interactions.item_counts
        self.known: NDArray[np.bool_] = self.item_counts > 0
        times = events.times[events.times != NO_TIME]
        self.now: int = int(times.max()) if times.size else int(NO_TIME)

    @cached_property
    def pooler(self) -> InterestPooler:
        """Centre and idf of the part that arms are fitted on."""
        return self._pooler or InterestPooler().fit(self.interactions, self.catalogue.item_vectors)

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """Centred unit item vectors, float32 [items, dim]."""
        return self.pooler.centred(self.catalogue.item_vectors)

    @cached_property
    def user_vectors(self) -> NDArray[np.float32]:
        """Interest vectors of the part's users, float32 [users, dim]."""
        return self.pooler.transform(self.interactions, self.catalogue.item_vectors, backend=self.backend)

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """Items whose text says something, bool [items]."""
        return np.asarray(self.directions.any(axis=1), np.bool_)

    def similar_texts(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """For each item the other items with events whose texts are closest: int64 items and float32 cosines.

        Both [items, number]; the closest first, ties by lower item, -1 where there is none. Items without events have
        such neighbours too but are nobody's; items without a text have none. The widest table asked for so far is kept.
        """
        number = max(1, number)
        if self._similar is None or self._similar[0].shape[1] < number:
            near = np.full((self.events.n_items, number), -1, np.int64)
            cosines = np.zeros((self.events.n_items, number), np.float32)
            rows, asked = np.flatnonzero(self.known & self.has_text), np.flatnonzero(self.has_text)
            if rows.size:
                points = np.ascontiguousarray(self.directions[rows])
                queries = points if rows.size == asked.size else np.ascontiguousarray(self.directions[asked])
                scores, found = self.backend.top_k(queries, points, min(number + 1, rows.size))
                items = np.where(found >= 0, rows[np.maximum(found, 0)], -1)
                # The item itself is among them, unless more than `number` texts are equal: then the last one goes.
                other = (items >= 0) & (items != asked[:, None])
                other &= other.cumsum(axis=1) <= number
                row, column = np.nonzero(other)
                place = other.cumsum(axis=1)[row, column] - 1
                near[asked[row], place] = items[row, column]
                cosines[asked[row], place] = scores[row, column]
            self._similar = (near, cosines)
        return self._similar[0][:, :number], self._similar[1][:, :number]

    def closest_texts(self, number: int) -> sparse.csr_array:
        """The same as a table of positive cosines: float32 [items, items], row = neighbour, column = item."""
        near, cosines = self.similar_texts(number)
        kept = (near >= 0) & (cosines > 0)
        columns = np.repeat(np.arange(self.events.n_items), kept.sum(axis=1))
        size = (self.events.n_items, self.events.n_items)
        table = sparse.coo_array((cosines[kept], (near[kept], columns)), shape=size).tocsr()
        table.sort_indices()
        return table

    @cached_property
    def steps_back(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Per pair, how far back in the user's history it lies: in events and in baskets (equal times), 0 = last.

        Pairs count by their last time; pairs of one moment share both numbers, because their order is unknown.
        """
        pairs = self.interactions
        users, times = pairs.users, pairs.last_times
        order = np.lexsort((-times.astype(np.float64), users))
        sorted_users, sorted_times = users[order], times[order]
        new_user = np.ones(order.size, np.bool_)
        new_user[1:] = sorted_users[1:] != sorted_users[:-1]
        new_group = new_user.copy()
        new_group[1:] |= sorted_times[1:] != sorted_times[:-1]
        group = np.cumsum(new_group) - 1
        first_row = np.flatnonzero(new_group)[group] if order.size else np.empty(0, np.int64)
        starts = np.flatnonzero(new_user)[np.cumsum(new_user) - 1] if order.size else np.empty(0, np.int64)
        events_back, baskets_back = np.empty(order.size, np.float32), np.empty(order.size, np.float32)
        events_back[order] = first_row - starts
        baskets_back[order] = group - group[starts] if order.size else 0
        return events_back, baskets_back

    @cached_property
    def transitions(self) -> sparse.csr_array:
        """How often one item followed or accompanied another, float64 [items, items] without a diagonal."""
        from uicgpu.recommend.sequential import count_transitions

        return count_transitions(self)

    @cached_property
    def last_times(self) -> NDArray[np.int64]:
        """int64 [users], each user's last moment, ``NO_TIME`` where there is none."""
        last = np.full(self.events.n_users, NO_TIME, np.int64)
        np.maximum.at(last, self.events.users, self.events.times)
        return last

    def histories(self, events: EventTable) -> TrainingPart:
        """Other histories in the same space of interests: users to be scored by arms that were fitted on this part."""
        return TrainingPart(events, self.catalogue, self.backend, half_life=self.half_life, pooler=self.pooler)

    def block(self, users: NDArray[np.int32]) -> UserBlock:
        """Take the histories of ``users`` out of the part."""
        pairs = self.interactions
        lengths = pairs.user_counts[users]
        offsets = np.zeros(users.size + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        rows = np.repeat(pairs.offsets[users] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return UserBlock(self, users, offsets, pairs.items[rows], rows)


@dataclass(frozen=True)
class UserBlock:
    """Some users of a training part, in CSR order, as arms score them.

    Attributes
    ----------
    users
        int32 [b], user codes.
    offsets
        int64 [b + 1]; user ``users[r]`` owns entries ``offsets[r]:offsets[r + 1]``.
    items
        int32 [entries], the users' items, ascending per user.
    rows
        int64 [entries], the entry's row in the part's interactions.
    """

    part: TrainingPart
    users: NDArray[np.int32]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.users.size)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [b], distinct items per user."""
        return np.diff(self.offsets)

    @property
    def ones(self) -> NDArray[np.float32]:
        """float32 [entries] of 1: the binary history."""
        return np.ones(self.items.size, np.float32)
