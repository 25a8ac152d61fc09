"""Small worlds whose recommendations are known without running anything."""

from __future__ import annotations

import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.events.interactions import NO_TIME, EventTable
from uicgpu.recommend.inputs import Catalogue, TrainingPart


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


def make_part(events: EventTable, vectors=None, texts=None, threads=1, memory=None) -> TrainingPart:
    if vectors is None:
        vectors = np.zeros((events.n_items, 3), np.float32)
    backend = choose_backend("cpu", threads=threads, memory=memory)
    return TrainingPart(events, Catalogue(np.asarray(vectors, np.float32), None, texts), backend)


def random_events(seed=0, users=40, items=30, share=0.25, timed=True) -> EventTable:
    random = np.random.default_rng(seed)
    liked = random.random((users, items)) < share
    liked[:, 0] = True
    who, what = np.nonzero(liked)
    times = random.integers(0, 10**12, who.size) if timed else None
    return make_events(who, what, times, n_users=users, n_items=items)


def unit_vectors(seed, rows, dim=5) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def checkerboard() -> EventTable:
    """User u chose every item of its own parity but item u: the only right answer for user u is item u."""
    who, what = np.nonzero((np.add.outer(np.arange(50), np.arange(50)) % 2 == 0) & ~np.eye(50, dtype=bool))
    return make_events(who, what, n_users=50, n_items=50)


@pytest.fixture
def world():
    """The builders above, for test modules (which are not importable from each other)."""

    class World:
        events = staticmethod(make_events)
        part = staticmethod(make_part)
        random = staticmethod(random_events)
        vectors = staticmethod(unit_vectors)

        @staticmethod
        def everyone(part):
            return part.block(np.arange(part.events.n_users, dtype=np.int32))

        @staticmethod
        def dense(part):
            return part.interactions.matrix().toarray().astype(np.float64)

    return World
