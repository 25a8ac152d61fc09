from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.errors import InputError
from uicgpu.events.split import split_events
from uicgpu.finetune.behaviour import (
    build_history,
    check_enough,
    distinct,
    draw_probability,
    hold_out_texts,
    split_in_time,
)
from uicgpu.finetune.data import prepare
from uicgpu.finetune.recipe import Recipe


def test_texts_that_differ_in_case_and_space_are_one():
    found = distinct(["Red hat", " red HAT ", None, "", "blue"])
    assert found.codes.tolist() == [1, 1, -1, -1, 0]


def test_history_keeps_the_first_event_of_a_text_in_time_order(build):
    events = build.events([0, 0, 0, 0, 1], [2, 0, 1, 0, 2], [5, 1, 3, 9, 0], 2, 4)
    history = build_history(events, distinct(["a", "A", "b", ""]))
    # items 0 and 1 are one text: user 0 acted on it at time 1 first, on b at time 5
    assert history.offsets.tolist() == [0, 2, 3]
    assert history.texts.tolist() == [0, 1, 1]
    assert history.times.tolist() == [1, 5, 0]


def test_items_without_text_teach_nothing(build):
    history = build_history(build.events([0, 0], [0, 1], [1, 2], 1, 2), distinct(["", "b"]))
    assert history.texts.tolist() == [0]


def test_events_of_one_moment_stay_on_one_side(build):
    events = build.events([0] * 10, list(range(10)), [1, 2, 3, 4, 5, 6, 7, 7, 7, 8], 1, 10)
    past, later = split_in_time(build_history(events, distinct([f"text {n:02d}" for n in range(10)])))
    # four fifths end inside the three texts of moment 7: all three are later
    assert past.times.tolist() == [1, 2, 3, 4, 5, 6]
    assert later.times.tolist() == [7, 7, 7, 8]


def test_a_user_with_one_moment_only_is_past(build):
    past, later = split_in_time(build_history(build.events([0, 0], [0, 1], [4, 4], 1, 2), distinct(["a", "b"])))
    assert (len(past), len(later)) == (2, 0)


worlds = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 59), st.integers(0, 40)), min_size=400, max_size=450)


@settings(max_examples=10, deadline=None)
@given(worlds, st.integers(0, 5))
def test_nothing_held_out_and_nothing_from_after_the_split_is_learned(build, triples, seed):
    users, items, times = (list(part) for part in zip(*triples, strict=True))
    events = build.events(users, items, times, 25, 60)
    texts = [f"text {n // 2}" for n in range(60)]  # every text is carried by two items
    split = split_events(events, "time", seed)
    try:
        data = prepare(split.train, texts, Recipe("head"), seed)
    except InputError as error:
        assert "too little" in error.message
        return
    for part in (data.past, data.later):
        assert not data.held[part.texts].any()
        assert (part.times <= split.train_end).all()
    assert not data.held[data.rows].any()
    # later is later, user by user
    newest = np.full(25, -1, np.int64)
    np.maximum.at(newest, data.past.users, data.past.times)
    assert (data.later.times > newest[data.later.users]).all()
    # whoever is in a text's place by another item is held out with it
    cold_items = data.held[data.texts.codes[events.items]]
    assert set(data.texts.codes[events.items[cold_items]]).isdisjoint(data.past.texts)


@settings(max_examples=10, deadline=None)
@given(worlds, st.randoms())
def test_the_order_of_events_does_not_matter(build, triples, shuffler):
    texts = distinct([f"text {n}" for n in range(60)])
    one = build_history(build.events(*(list(p) for p in zip(*triples, strict=True)), 25, 60), texts)
    shuffler.shuffle(triples)
    other = build_history(build.events(*(list(p) for p in zip(*triples, strict=True)), 25, 60), texts)
    assert np.array_equal(one.texts, other.texts)
    assert np.array_equal(one.times, other.times)


def test_hold_out_takes_the_share_of_texts_with_behaviour(world):
    history = build_history(world[0], distinct(world[1]))
    held = hold_out_texts(history, 0.2, 0, "x")
    used = int((history.popularity > 0).sum())
    assert held.sum() == round(0.2 * used)
    assert (history.popularity[held] > 0).all()
    assert not np.array_equal(held, hold_out_texts(history, 0.2, 1, "x"))


def test_one_giant_user_does_not_decide_what_is_popular(build):
    # users 0-9 know texts 0 and 1; user 10 knows 2 … 999
    users = [user for user in range(10) for _ in range(2)] + [10] * 998
    events = build.events(users, [0, 1] * 10 + list(range(2, 1000)), list(range(len(users))), 11, 1000)
    draw = draw_probability(build_history(events, distinct([f"text {n:04d}" for n in range(1000)])))
    # weights 2 each for ten users, 50 for the giant: 20 of 70 for the first two texts
    assert draw[:2].sum() == pytest.approx(20 / 70)


def test_too_few_pairs_says_how_many_are_needed(build):
    events = build.events([0, 0, 1], [0, 1, 0], [1, 2, 3], 2, 2)
    with pytest.raises(InputError, match=r"2 pairs of 1 users.*needed are 300 pairs"):
        check_enough(build_history(events, distinct(["a", "b"])))
