"""Behaviour as training data: which user acted on which text, in which order; and what must stay unseen.

The unit is the distinct text, not the item: two items with the same text (case and surrounding space aside) are one.
So a text is never its own positive, never its own negative, and never sits on both sides of a hold-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.encode.texts import clean_text
from uicgpu.errors import InputError
from uicgpu.events.interactions import EventTable
from uicgpu.randomness import generator

LEAST_PAIRS: Final = 300
"""Fewer (user, text) pairs of users with two texts or more teach nothing that a hold-out could confirm."""
LEAST_USERS: Final = 20
LEAST_TEXTS: Final = 40
LONGEST_COUNTED_HISTORY: Final = 50
"""A user with more texts is drawn as if there were so many: one giant user must not decide what is popular."""
PAST_SHARE: Final = 0.8
NO_TEXT: Final = -1


@dataclass(frozen=True)
class Texts:
    """The distinct texts of a catalogue.

    Attributes
    ----------
    texts
        One spelling of each distinct text, sorted by its case-folded form.
    codes
        int64 [items], position in ``texts`` of each item's text, -1 for an item without one.
    """

    texts: list[str]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class History:
    """The distinct texts that each user acted on, in the order of the first event (CSR by user).

    Attributes
    ----------
    offsets
        int64 [users + 1].
    texts
        int32 [pairs], text codes.
    times
        int64 [pairs], microseconds of the first event.
    n_texts
        Number of texts there are.
    """

    offsets: NDArray[np.int64]
    texts: NDArray[np.int32]
    times: NDArray[np.int64]
    n_texts: int

    def __len__(self) -> int:
        return int(self.texts.size)

    @property
    def n_users(self) -> int:
        """Number of users, those without a text included."""
        return int(self.offsets.size - 1)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [users], distinct texts per user."""
        return np.diff(self.offsets)

    @property
    def users(self) -> NDArray[np.int64]:
        """int64 [pairs], the user of each pair."""
        return np.repeat(np.arange(self.n_users), self.lengths)

    @property
    def popularity(self) -> NDArray[np.int64]:
        """int64 [texts], users per text."""
        return np.bincount(self.texts, minlength=self.n_texts).astype(np.int64)

    def matrix(self) -> sparse.csr_array:
        """Binary users x texts matrix, float32, columns sorted."""
        matrix = sparse.csr_array(
            (np.ones(len(self), np.float32), self.texts.astype(np.int64), self.offsets),
            shape=(self.n_users, self.n_texts),
        )
        matrix.sort_indices()
        return matrix

    def take(self, kept: NDArray[np.bool_]) -> History:
        """Keep the pairs where ``kept`` holds; users and text codes stay what they are."""
        offsets = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[self.offsets]
        return History(offsets, self.texts[kept], self.times[kept], self.n_texts)


def distinct(texts: Sequence[object]) -> Texts:
    """Find the distinct texts of a catalogue; the order of the items does not matter.

    >>> found = distinct(["Red hat", " red HAT", "", "Blue hat"])
    >>> found.texts, found.codes.tolist()
    (['Blue hat', 'Red hat'], [1, 1, -1, 0])
    """
    cleaned = [clean_text(value, row) for row, value in enumerate(texts)]
    spelling: dict[str, str] = {}
    for text in cleaned:
        if text:
            folded = text.casefold()
            spelling[folded] = max(spelling.get(folded, text), text)
    order = {folded: place for place, folded in enumerate(sorted(spelling))}
    codes = np.array([order[text.casefold()] if text else NO_TEXT for text in cleaned], np.int64)
    return Texts([spelling[folded] for folded in order], codes)


def build_history(events: EventTable, texts: Texts) -> History:
    """Return each user's distinct texts in time order; repeats are dropped, the first event is kept.

    Parameters
    ----------
    events
        Training events only, sorted by user, time and item. Whatever is in here may be learned.
    texts
        The catalogue's texts, one code per item.
    """
    codes = texts.codes[events.items]
    known = codes >= 0
    users, codes, times = events.users[known].astype(np.int64), codes[known], events.times[known]
    order = np.lexsort((codes, times, users))
    users, codes, times = users[order], codes[order], times[order]
    _, first = np.unique(users * max(len(texts), 1) + codes, return_index=True)
    first.sort()
    users, codes, times = users[first], codes[first], times[first]
    offsets = np.searchsorted(users, np.arange(events.n_users + 1)).astype(np.int64)
    return History(offsets, codes.astype(np.int32), times, len(texts))


def hold_out_texts(history: History, share: float, seed: int, name: str) -> NDArray[np.bool_]:
    """Draw the share of the texts with behaviour that is to be unseen, bool [texts].

    All behaviour of these texts must then be removed from training (:meth:`History.take`), which makes them cold.
    """
    used = np.flatnonzero(history.popularity > 0)
    chosen = generator(seed, f"finetune/{name}").permutation(used)[: round(share * used.size)]
    held = np.zeros(history.n_texts, np.bool_)
    held[chosen] = True
    return held


def split_in_time(history: History, share: float = PAST_SHARE) -> tuple[History, History]:
    """Split each user's texts into the first ``share`` and the later rest.

    Texts of one user with the same time stay together: their order is unknown. A user's first group is always past.
    """
    starts, lengths = history.offsets[:-1], history.lengths
    users = history.users
    place = np.arange(len(history)) - np.repeat(starts, lengths)
    group = np.ones(len(history), np.bool_)
    group[1:] = (np.diff(history.times) != 0) | (np.diff(users) != 0)
    first_of_group = np.maximum.accumulate(np.where(group, np.arange(len(history)), 0))
    start_place = place[first_of_group] if len(history) else place
    last_place = _last_of_group(place, group)
    past = (last_place < np.ceil(share * lengths)[users]) | (start_place == 0)
    return history.take(past), history.take(~past)


def _last_of_group(place: NDArray[np.int64], group: NDArray[np.bool_]) -> NDArray[np.int64]:
    if not place.size:
        return place
    bounds = np.append(np.flatnonzero(group)[1:], place.size) - 1
    last: NDArray[np.int64] = place[bounds][np.cumsum(group) - 1]
    return last


def draw_probability(history: History) -> NDArray[np.float64]:
    """Probability that a text is drawn by drawing a user, then one of the user's texts; float64 [texts], at least 1e-9.

    Users with two texts or more are drawn with weight ``min(history length, 50)``, then a text evenly. It is roughly
    the text's share of the behaviour, with giant users bounded.
    """
    lengths = history.lengths
    weights = np.where(lengths >= 2, np.minimum(lengths, LONGEST_COUNTED_HISTORY), 0).astype(np.float64)
    per_pair = np.repeat(weights / np.maximum(lengths, 1), lengths)
    drawn = np.bincount(history.texts, weights=per_pair, minlength=history.n_texts)
    probability: NDArray[np.float64] = np.maximum(drawn / max(drawn.sum(), 1e-12), 1e-9)
    return probability


def check_enough(history: History) -> None:
    """Refuse behaviour that is too little to learn from.

    Raises
    ------
    InputError
        With what there is and what is needed.
    """
    usable = history.lengths >= 2
    users, pairs = int(usable.sum()), int(history.lengths[usable].sum())
    texts = int((history.take(usable[history.users]).popularity > 0).sum())
    if pairs < LEAST_PAIRS or users < LEAST_USERS or texts < LEAST_TEXTS:
        raise InputError(
            f"too little behaviour to train on: {pairs:,} pairs of {users:,} users with two texts or more, "
            f"over {texts:,} texts; needed are {LEAST_PAIRS:,} pairs, {LEAST_USERS} users and {LEAST_TEXTS} texts",
            where="the events that train (after --split, --min-value and items without text)",
            fix="bring more events, use --split none, or keep the encoder as it is",
        )
