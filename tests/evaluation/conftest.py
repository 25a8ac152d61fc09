"""Events whose evaluation can be foretold."""

from __future__ import annotations

import numpy as np
import pytest

from uicgpu.events.interactions import NO_TIME, EventTable


def make_events(users, items, times=None, *, n_users=None, n_items=None) -> EventTable:
    users, items = np.asarray(users, np.int32), np.asarray(items, np.int32)
    times = np.full(users.size, NO_TIME, np.int64) if times is None else np.asarray(times, np.int64)
    order = np.lexsort((items, times, users))
    return EventTable(
        users[order],
        items[order],
        times[order],
        np.zeros(users.size, np.int32),
        np.full(users.size, np.nan, np.float32),
        np.ones(users.size, np.float32),
        n_users or int(users.max(initial=-1)) + 1,
        n_items or int(items.max(initial=-1)) + 1,
    )


def two_tastes(seed=0, users=80, items=60, chosen=14, timed=True) -> EventTable:
    """Users of two tastes, each choosing from its own half of the items, with popular items chosen more often."""
    random = np.random.default_rng(seed)
    who, what = [], []
    for user in range(users):
        own = np.arange(user % 2, items, 2)
        weight = 1.0 / (1 + np.arange(own.size))
        picked = random.choice(own, chosen, replace=False, p=weight / weight.sum())
        who += [user] * chosen
        what += picked.tolist()
    times = random.permutation(len(who)) * 1_000_000 if timed else None
    return make_events(who, what, times, n_users=users, n_items=items)


@pytest.fixture(scope="session")
def world():
    """The builders above, for test modules (which are not importable from each other)."""

    class World:
        events = staticmethod(make_events)
        tastes = staticmethod(two_tastes)

    return World
