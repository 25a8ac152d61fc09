import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.errors import InputError, SettingsError
from uicgpu.events.interactions import NO_TIME, EventTable
from uicgpu.events.split import ENOUGH_WARM_USERS, TEST, TRAIN, VALIDATION, split_events, warm_users


def table(users, items, times=None, n_users=None, n_items=None):
    users, items = np.asarray(users, np.int32), np.asarray(items, np.int32)
    times = np.full(users.size, NO_TIME, np.int64) if times is None else np.asarray(times, np.int64)
    order = np.lexsort((items, times, users))
    size = users.size
    return EventTable(
        users[order],
        items[order],
        times[order],
        np.zeros(size, np.int32),
        np.full(size, np.nan, np.float32),
        np.ones(size, np.float32),
        n_users or int(users.max(initial=-1)) + 1,
        n_items or int(items.max(initial=-1)) + 1,
    )


def test_time_cuts_at_the_quantiles_and_the_boundary_moment_belongs_to_the_earlier_part():
    events = table([0] * 10, range(10), [1, 2, 3, 4, 5, 6, 7, 8, 8, 9])
    split = split_events(events, "time", 0)
    # .8 quantile: the 8th of ten times is 8, and both events at 8 train; .9 quantile: the 9th time is 8 too
    assert split.train_end == 8 and split.validation_end == 8
    assert split.parts.tolist() == [TRAIN] * 9 + [TEST]


def test_user_time_holds_out_whole_groups_and_keeps_the_first_one():
    # ten events; the last group has one event (10 % < 20 %), so the group before it is held out as well
    times = [1, 1, 2, 3, 4, 5, 6, 7, 7, 8]
    split = split_events(table([0] * 10, range(10), times), "user-time", 0)
    # test: groups 8 and 7 (3 events); rest 7: groups 6 and 5 are validation (2 >= 1.4)
    assert split.parts.tolist() == [TRAIN] * 5 + [VALIDATION] * 2 + [TEST] * 3


def test_user_time_with_one_group_trains_only():
    split = split_events(table([0] * 5, range(5), [7] * 5), "user-time", 0)
    assert (split.parts == TRAIN).all()


def test_leave_one_out_takes_last_and_second_last_and_warns():
    events = table([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 0], [1, 2, 3, 1, 2, 5])
    split = split_events(events, "leave-one-out", 0)
    assert split.parts.tolist() == [TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN]
    assert any("leave-one-out leaks" in note for note in split.notes)


def test_without_times_auto_draws_64_16_20_per_user_and_says_so():
    users = np.repeat(np.arange(20), 25)
    split = split_events(table(users, np.tile(np.arange(25), 20)), "auto", 3)
    assert split.kind == "user-random"
    for user in range(20):
        parts = split.parts[split.events.users == user]
        assert [(parts == part).sum() for part in (TRAIN, VALIDATION, TEST)] == [16, 4, 5]
    assert any("no event times" in note for note in split.notes)
    again = split_events(split.events, "auto", 3)
    other = split_events(split.events, "auto", 4)
    assert (again.parts == split.parts).all() and (other.parts != split.parts).any()


@pytest.mark.parametrize("kind", ["time", "user-time"])
def test_a_split_by_time_without_times_names_the_flag(kind):
    with pytest.raises(InputError, match="time-column"):
        split_events(table([0, 1], [0, 1]), kind, 0)


def test_auto_needs_enough_warm_users():
    few, enough = ENOUGH_WARM_USERS - 1, ENOUGH_WARM_USERS
    for users, kind in ((few, "user-time"), (enough, "time")):
        # every user has nine early events and one event in the last tenth of all time
        who = np.repeat(np.arange(users), 10)
        when = np.tile(np.arange(10), users) * 1000 + who
        split = split_events(table(who, np.tile(np.arange(10), users), when), "auto", 0)
        assert split.kind == kind
        if kind == "time":
            assert warm_users(split).size == users
        else:
            assert any("warm test users" in note for note in split.notes)


def test_auto_when_times_order_nothing():
    users = np.repeat(np.arange(10), 10)
    split = split_events(table(users, np.tile(np.arange(10), 10), np.full(100, 5)), "auto", 0)
    assert split.kind == "user-random" and (split.parts == TEST).sum() == 20


def test_a_few_missing_times_count_as_earliest_and_many_as_untimed():
    times = np.arange(100)
    times[:3] = NO_TIME
    split = split_events(table(np.zeros(100), np.arange(100), times), "user-time", 0)
    assert (split.parts[:3] == TRAIN).all() and "3 events" in split.notes[0]
    times[:50] = NO_TIME
    with pytest.raises(InputError):
        split_events(table(np.zeros(100), np.arange(100), times), "time", 0)


def test_none_and_unknown_kinds():
    events = table([0, 0], [0, 1], [1, 2])
    assert (split_events(events, "none", 0).parts == TRAIN).all()
    with pytest.raises(SettingsError, match="loo"):
        split_events(events, "loo", 0)


def test_repeated_items_share_a_part_in_a_random_split():
    users, items = np.zeros(60), np.tile(np.arange(20), 3)
    split = split_events(table(users, items), "auto", 1)
    for item in range(20):
        assert np.unique(split.parts[split.events.items == item]).size == 1


events_strategy = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=80)


@settings(max_examples=80, deadline=None)
@given(events_strategy, st.sampled_from(["auto", "time", "user-time", "leave-one-out", "none"]))
def test_equal_moments_of_a_user_never_straddle_a_border_and_parts_follow_time(rows, kind):
    events = table(*zip(*rows, strict=True))
    split = split_events(events, kind, 0)
    assert len(split.train) + len(split.validation) + len(split.test) == len(events)
    if split.kind == "user-random":
        return
    for user in range(events.n_users):
        own = events.users == user
        parts, times = split.parts[own], events.times[own]
        assert (np.diff(parts) >= 0).all()
        for time in np.unique(times):
            assert np.unique(parts[times == time]).size == 1
        if kind in ("user-time", "leave-one-out") and own.any():
            assert parts[0] == TRAIN


def test_empty_events():
    events = table([], [], [], n_users=3, n_items=2)
    assert len(split_events(events, "auto", 0).test) == 0
