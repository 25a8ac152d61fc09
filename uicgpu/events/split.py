"""Which events train, which tune, which test.

Whatever the kind of split, events of one user that carry the same time stay together: their order is unknown, so a
border between them would be an invention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError, SettingsError
from uicgpu.events.interactions import NO_TIME, EventTable
from uicgpu.randomness import generator

SplitKind = Literal["time", "user-time", "user-random", "leave-one-out", "none"]

TRAIN, VALIDATION, TEST = 0, 1, 2
TRAIN_QUANTILE: Final = 0.8
VALIDATION_QUANTILE: Final = 0.9
HELD_OUT_SHARE: Final = 0.2
"""Share of a user's events that a per-user split holds out for test, and of the rest for validation."""
ENOUGH_WARM_USERS: Final = 200
"""Below so many warm test users ``auto`` leaves the cut in time: intervals would be too wide to tell methods apart."""
UNTIMED_SHARE: Final = 0.05
"""Up to this share of events without a time they count as the earliest; above it the events count as untimed."""


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of the events.

    Attributes
    ----------
    kind
        The split that was used; never ``auto``. ``user-random`` when nothing has a time.
    parts
        int8 [events]: 0 train, 1 validation, 2 test.
    train_end, validation_end
        Last microsecond of train and of validation (``time`` only, else ``None``).
    notes
        Sentences that a reader of the evaluation must know.
    """

    events: EventTable
    kind: SplitKind
    parts: NDArray[np.int8]
    train_end: int | None
    validation_end: int | None
    notes: list[str]

    @property
    def train(self) -> EventTable:
        """Events that arms are fitted on while tuning."""
        return self.events.take(self.parts == TRAIN)

    @property
    def validation(self) -> EventTable:
        """Events that settings and blend weights are chosen on."""
        return self.events.take(self.parts == VALIDATION)

    @property
    def test(self) -> EventTable:
        """Events that are scored once."""
        return self.events.take(self.parts == TEST)

    @property
    def past(self) -> EventTable:
        """Train and validation together: what the tested recommender is fitted on."""
        return self.events.take(self.parts != TEST)


def split_events(events: EventTable, kind: str, seed: int) -> Split:
    """Split events into train, validation and test.

    Parameters
    ----------
    kind
        ``time``: one cut for everybody at the .8 and .9 quantiles of event time; the boundary moment belongs to the
        earlier part. ``user-time``: per user the last whole time groups with at least 20 % of the events are test, the
        last groups with at least 20 % of the rest validation; a user's first group always trains.
        ``leave-one-out``: the last group is test, the one before it validation. ``auto``: ``time``, unless that leaves
        fewer than 200 warm test users, then ``user-time``; without times ``user-random`` (64/16/20 of each user's
        items). ``none``: everything trains.
    seed
        Draws the parts of a random split; nothing else is random.

    Raises
    ------
    InputError
        For ``time`` or ``user-time`` when the events have no times.
    """
    if (np.diff(events.users) < 0).any():
        raise InputError("events are not sorted by user", where="split", fix="sort them by user, time and item")
    timed, notes = _timed(events)
    if kind == "none":
        return Split(events, "none", np.zeros(len(events), np.int8), None, None, ["no split: nothing was evaluated"])
    if kind in ("time", "user-time") and not timed:
        raise InputError(
            f"split {kind!r} needs event times, and the events have none",
            where="setting split",
            fix="name the time column with --time-column, or use --split auto for a random split per user",
        )
    if kind == "time":
        return _by_time(events, notes)
    if kind == "user-time":
        return _by_user_time(events, notes)
    if kind == "leave-one-out":
        return _leave_one_out(events, timed, seed, notes)
    if kind == "auto":
        return _automatic(events, timed, seed, notes)
    raise SettingsError(
        f"unknown split {kind!r}", where="setting split", fix="use auto, time, user-time, leave-one-out or none"
    )


def warm_users(split: Split) -> NDArray[np.int32]:
    """Users with a test event and at least one earlier event, ascending int32 codes."""
    tested = np.zeros(split.events.n_users, np.bool_)
    known = tested.copy()
    tested[split.events.users[split.parts == TEST]] = True
    known[split.events.users[split.parts != TEST]] = True
    return np.flatnonzero(tested & known).astype(np.int32)


def _timed(events: EventTable) -> tuple[bool, list[str]]:
    missing = int((events.times == NO_TIME).sum())
    if len(events) == 0 or missing == len(events):
        return False, []
    if missing > UNTIMED_SHARE * len(events):
        return False, [f"{missing:,} of {len(events):,} events have no time, so times were not used for the split"]
    if missing:
        return True, [f"{missing:,} events without a time count as the earliest of their user"]
    return True, []


def _automatic(events: EventTable, timed: bool, seed: int, notes: list[str]) -> Split:
    if not timed:
        return _by_user_random(events, seed, [*notes, "no event times: parts were drawn at random per user (64/16/20)"])
    by_time = _by_time(events, notes)
    warm = warm_users(by_time).size
    if warm >= ENOUGH_WARM_USERS:
        return by_time
    reason = (
        f"one cut in time leaves {warm:,} warm test users, fewer than {ENOUGH_WARM_USERS}: "
        "the last 20 % of each user were tested instead"
    )
    by_user = _by_user_time(events, [*notes, reason])
    if warm_users(by_user).size:
        return by_user
    return _by_user_random(
        events, seed, [*notes, "times do not order the events of any user: parts were drawn at random (64/16/20)"]
    )


def _by_time(events: EventTable, notes: list[str]) -> Split:
    known = np.sort(events.times[events.times != NO_TIME])
    # The ceil(q n)-th smallest time: an observed moment, so that "boundary belongs to the earlier part" is exact.
    train_end, validation_end = (
        int(known[max(0, int(np.ceil(quantile * known.size)) - 1)])
        for quantile in (TRAIN_QUANTILE, VALIDATION_QUANTILE)
    )
    parts = np.full(len(events), TRAIN, np.int8)
    parts[events.times > train_end] = VALIDATION
    parts[events.times > validation_end] = TEST
    return Split(events, "time", parts, train_end, validation_end, notes)


def _by_user_time(events: EventTable, notes: list[str]) -> Split:
    after, _, first_group = _places(events)
    totals = np.bincount(events.users, minlength=events.n_users)[events.users]
    # A group is held out while the events after it are fewer than the share asked for.
    test = (after < HELD_OUT_SHARE * totals) & ~first_group
    held = np.bincount(events.users[test], minlength=events.n_users)[events.users]
    rest = totals - held
    validation = ~test & (after - held < HELD_OUT_SHARE * rest) & ~first_group
    parts = np.where(test, TEST, np.where(validation, VALIDATION, TRAIN)).astype(np.int8)
    return Split(events, "user-time", parts, None, None, notes)


def _leave_one_out(events: EventTable, timed: bool, seed: int, notes: list[str]) -> Split:
    warning = (
        "warning: leave-one-out leaks: the training part holds other users' events from after the tested moment, "
        "and one test event per user gives wide intervals"
    )
    if not timed:
        place = _random_places(events, seed)
        note = "no event times: the item left out was drawn at random"
        back = _largest(place, events)[events.users] - place
        parts = np.where(place == 0, TRAIN, np.where(back == 0, TEST, np.where(back == 1, VALIDATION, TRAIN)))
        return Split(events, "leave-one-out", parts.astype(np.int8), None, None, [*notes, warning, note])
    _, groups_after, first_group = _places(events)
    parts = np.where(groups_after == 0, TEST, np.where(groups_after == 1, VALIDATION, TRAIN))
    parts[first_group] = TRAIN
    return Split(events, "leave-one-out", parts.astype(np.int8), None, None, [*notes, warning])


def _by_user_random(events: EventTable, seed: int, notes: list[str]) -> Split:
    place = _random_places(events, seed)
    counts = (_largest(place, events) + 1)[events.users]
    tested = np.minimum(np.floor(HELD_OUT_SHARE * counts + 0.5), counts - 1)
    validated = np.minimum(np.floor(HELD_OUT_SHARE * (counts - tested) + 0.5), counts - tested - 1)
    back = counts - 1 - place
    parts = np.where(back < tested, TEST, np.where(back < tested + validated, VALIDATION, TRAIN))
    return Split(events, "user-random", parts.astype(np.int8), None, None, notes)


def _places(events: EventTable) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """For each event: the user's events and the user's groups after its time group, and whether that is the first."""
    size = len(events)
    if size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_)
    new_user = np.ones(size, np.bool_)
    new_user[1:] = events.users[1:] != events.users[:-1]
    new_group = new_user.copy()
    new_group[1:] |= events.times[1:] != events.times[:-1]
    if (np.diff(events.times.astype(np.float64))[~new_user[1:]] < 0).any():
        raise InputError("events of one user are not in time order", where="split", fix="sort by user, time and item")
    group = np.cumsum(new_group) - 1
    group_end = np.append(np.flatnonzero(new_group)[1:], size)[group]
    user = np.cumsum(new_user) - 1
    starts = np.flatnonzero(new_user)
    user_end = np.append(starts[1:], size)[user]
    last_group = group[user_end - 1]
    return user_end - group_end, last_group - group, group == group[starts][user]


def _random_places(events: EventTable, seed: int) -> NDArray[np.int64]:
    """Place of each event's item in a random order of the user's distinct items, 0, 1, …; equal items share it."""
    order = np.lexsort((events.items, events.users))
    users, items = events.users[order], events.items[order]
    new = np.ones(order.size, np.bool_)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    pair = np.cumsum(new) - 1
    pair_users = users[new]
    keys = generator(seed, "split").random(pair_users.size)
    shuffled = np.lexsort((keys, pair_users))
    first = np.searchsorted(pair_users, pair_users)
    rank = np.empty(pair_users.size, np.int64)
    rank[shuffled] = np.arange(pair_users.size)
    place = np.empty(order.size, np.int64)
    place[order] = (rank - first)[pair]
    return place


def _largest(place: NDArray[np.int64], events: EventTable) -> NDArray[np.int64]:
    largest = np.full(events.n_users, -1, np.int64)
    np.maximum.at(largest, events.users, place)
    return largest
