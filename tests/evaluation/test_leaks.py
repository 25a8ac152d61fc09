"""Nothing from after the split can reach anything that trains, to the byte.

Every stage that learns is asked twice: on the events as they are, and with the test events exchanged. All arrays that
it holds, at any depth, have to be the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from uicgpu.backends import choose_backend
from uicgpu.evaluation.ablation import group_users
from uicgpu.evaluation.learning import learn
from uicgpu.events.interactions import EventTable
from uicgpu.events.split import TEST, TRAIN, VALIDATION, Split, split_events
from uicgpu.finetune.data import prepare
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.stage import _training_part
from uicgpu.recommend import Catalogue, Recommender, held_back, ranker
from uicgpu.recommend.features import TIME, Features, feature_groups
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.runs.progress import SilentProgress
from uicgpu.settings import Settings

KINDS = ("time", "user-time", "user-random", "leave-one-out")
MACHINERY = {"backend", "catalogue", "_booster"}
"""Attributes that hold no data of ours: the device, what texts say, LightGBM's handle beside the model's text."""


def digest(value, seen=None) -> str:
    """A hash over everything that a value holds, attributes and arrays at any depth."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)][0]
    if isinstance(value, np.ndarray):
        told = f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    elif sparse.issparse(value):
        told = " ".join(digest(part, seen) for part in (value.indptr, value.indices, value.data))
    elif isinstance(value, dict):
        told = "{" + ",".join(f"{key}:{digest(value[key], seen)}" for key in sorted(value, key=str)) + "}"
    elif isinstance(value, (list, tuple)):
        told = "[" + ",".join(digest(entry, seen) for entry in value) + "]"
    elif hasattr(value, "__dict__"):
        seen[id(value)] = ("itself", value)
        kept = {name: held for name, held in vars(value).items() if name not in MACHINERY}
        told = type(value).__name__ + digest(kept, seen)
    else:
        told = repr(value)
    seen[id(value)] = (
        hashlib.sha256(told.encode()).hexdigest(),
        value,
    )  # the value is kept, or its id would come again
    return seen[id(value)][0]


def topical(events):
    """Texts of two topics by the parity of the item, and categories."""
    random = np.random.default_rng(0)
    vectors = random.normal(0, 0.5, (events.n_items, 6))
    vectors[np.arange(events.n_items), np.arange(events.n_items) % 2] += 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Catalogue(vectors.astype(np.float32), [("ab"[item % 2],) for item in range(events.n_items)])


def other_events(split: Split, seed: int, part: int = TEST) -> Split:
    """The same split with other events in one part: other users, items, times, kinds, values, weights, another number.

    The new ones come after everything that is kept, as the old ones did under a cut in time.
    """
    random = np.random.default_rng(seed)
    kept = split.parts != part
    events, number = split.events, int(random.integers(1, 2 * (~kept).sum() + 2))
    latest = events.times[kept].max() if events.timed else 0
    new = {
        "users": random.integers(0, events.n_users, number).astype(np.int32),
        "items": random.integers(0, events.n_items, number).astype(np.int32),
        "times": (latest + 1 + random.integers(0, 10**12, number) if events.timed else events.times[:1].repeat(number)),
        "kinds": random.integers(0, 3, number).astype(np.int32),
        "values": random.normal(size=number).astype(np.float32),
        "weights": random.random(number).astype(np.float32) + 1,
    }
    joined = {name: np.concatenate([getattr(events, name)[kept], column]) for name, column in new.items()}
    parts = np.concatenate([split.parts[kept], np.full(number, part, np.int8)])
    order = np.lexsort((joined["items"], joined["times"], joined["users"]))
    ordered = {name: column[order] for name, column in joined.items()}
    return replace(
        split, events=EventTable(**ordered, n_users=events.n_users, n_items=events.n_items), parts=parts[order]
    )


def shuffled(events, rows, seed):
    """The same events with items, kinds, values and weights exchanged among some rows; users and times stay."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    changed = {}
    for name in ("items", "kinds", "values", "weights"):
        column = getattr(events, name).copy()
        column[rows] = column[order]
        changed[name] = column
    return replace(events, **changed)


def counted(split: Split) -> str:
    """Everything that is counted on train, and on train with validation: no setting is tuned here."""
    backend, told = choose_backend("cpu", threads=1), []
    for events in (split.train, split.past):
        part = TrainingPart(events, topical(split.events), backend, half_life=30)
        for name, attribute in vars(TrainingPart).items():
            if isinstance(attribute, cached_property) and (name != "transitions" or events.timed):
                getattr(part, name)
        features = Features(part, (), feature_groups(split.kind, part)[0])
        told += [part, part.similar_texts(5), features, group_users(part, Settings(k=2), 2)]
    return digest(told)


def learned(split: Split, level: str = "quick") -> str:
    """All that is learned on train and validation, and the arms that are then fitted on both together."""
    backend, catalogue = choose_backend("cpu", threads=1), topical(split.events)
    given = Settings(k=2, tune=level, threads=1)
    found = learn(split, catalogue, given, backend, None, [], lambda steps: None)
    assert found.rankers or level == "off"
    told = found.told(split.kind, [])
    recommender = Recommender(told, backend).fit(split.past, catalogue)
    return digest([found, told, recommender])


@pytest.fixture
def eager_ranker(monkeypatch):
    """A ranker is trained, however few users there are and whether it gains or not."""
    monkeypatch.setattr(ranker, "TREES", 15)
    monkeypatch.setattr(held_back, "FEWEST_USERS", 10)
    monkeypatch.setattr(held_back, "_gains", lambda better, simpler: True)


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6))
def test_counts_idf_centres_vectors_clusters_and_features(world, kind, seed):
    events = world.tastes(seed, users=24, items=16, chosen=6, timed=kind != "user-random")
    split = split_events(events, "auto" if kind == "user-random" else kind, 0)
    assert split.kind == kind
    told = counted(split)
    assert told == counted(other_events(split, seed))
    moved = split_events(shuffled(events, split.parts == TEST, seed), "auto" if kind == "user-random" else kind, 0)
    # A random split is drawn over a user's distinct items, so there only the parts are held fixed.
    if kind != "user-random":
        assert told == counted(moved)
    for part in (TRAIN, VALIDATION):
        assert told != counted(other_events(split, seed, part))  # or the comparison would see nothing


@pytest.mark.parametrize("kind", KINDS)
def test_settings_weights_rankers_and_arms(world, kind, eager_ranker):
    events = world.tastes(11, users=60, items=30, chosen=10, timed=kind != "user-random")
    split = split_events(events, "auto" if kind == "user-random" else kind, 0)
    told = learned(split)
    assert told == learned(other_events(split, 5))
    assert told != learned(other_events(split, 5, VALIDATION))


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(("time", "user-time", "leave-one-out")), seed=st.integers(0, 10**6))
def test_what_an_encoder_is_trained_on(world, kind, seed):
    events = world.tastes(seed, users=60, items=60, chosen=14)
    texts = [f"text {item}" for item in range(60)]
    given = Settings(split=kind)

    def data(table):
        return digest(prepare(_training_part(table, given, SilentProgress()), texts, Recipe("head"), 0))

    split = split_events(events, kind, 0)
    told = data(events)
    assert told == data(shuffled(events, split.parts == TEST, seed))
    # For an encoder validation is unseen as well.
    assert told == data(shuffled(events, split.parts != TRAIN, seed))
    assert told != data(shuffled(events, split.parts == TRAIN, seed))


@pytest.mark.parametrize("kind", ["user-time", "leave-one-out"])
def test_the_known_leak_an_items_age_under_a_split_per_user(world, kind, eager_ranker):
    """There the part that trains holds events from after a test event, so age and recent counts tell the future."""
    events = world.tastes(12, users=60, items=30, chosen=10)
    split = split_events(events, kind, 0)
    part = TrainingPart(split.past, topical(events), choose_backend("cpu", threads=1))
    assert part.now > split.test.times.min()  # the leak is there
    first_test = split.test.times.min()
    cut = replace(split, parts=np.where((split.parts != TEST) & (events.times > first_test), TEST, split.parts))
    before = TrainingPart(cut.past, topical(events), choose_backend("cpu", threads=1))
    with_future, without = (Features(one, (), ["time"]).times[0] for one in (part, before))
    assert not np.array_equal(with_future, without)  # an item's age differs by what came after the test event
    found = learn(split, topical(events), Settings(k=2, threads=1), part.backend, None, [], lambda steps: None)
    assert "time" not in found.groups and "time" in found.groups_off
    assert "recent_popularity" not in found.arms
    names = found.rankers[0].model.split("feature_names=")[1].split("\n")[0].split()
    assert names and not set(TIME) & set(names) and not any("recent_popularity" in name for name in names)


def test_under_one_cut_in_time_nothing_that_trains_is_later_than_a_test_event(world, eager_ranker):
    events = world.tastes(12, users=60, items=30, chosen=10)
    split = split_events(events, "time", 0)
    assert split.past.times.max() <= split.validation_end < split.test.times.min()
    found = learn(
        split, topical(events), Settings(k=2, threads=1), choose_backend("cpu", 1), None, [], lambda steps: None
    )
    assert "time" in found.groups and set(TIME) <= set(found.rankers[0].model.split("feature_names=")[1].split())
