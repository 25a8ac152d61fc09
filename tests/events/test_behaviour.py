import numpy as np
import polars as pl
import pytest

from uicgpu.events.behaviour import behaviour_features
from uicgpu.events.interactions import DAY_US, NO_TIME, EventTable

HOUR = DAY_US // 24


def table(users, times, *, items=None, values=None, kinds=None, kind_names=("event",)):
    size = len(users)
    return EventTable(
        np.array(users, np.int32),
        np.array(items if items is not None else range(size), np.int32),
        np.array([NO_TIME if time is None else time for time in times], np.int64),
        np.array(kinds if kinds is not None else [0] * size, np.int32),
        np.array([np.nan if value is None else value for value in (values or [None] * size)], np.float32),
        np.ones(size, np.float32),
        n_users=max(users) + 1,
        n_items=size,
        kind_names=kind_names,
    )


def features(events):
    ids = pl.Series("ids", [f"u{number}" for number in range(events.n_users)])
    return {name: column.to_list() for name, column in behaviour_features(events, ids).to_dict().items()}


def test_hand_worked():
    """User 0: Thursday 1970-01-01 03:00 and Sunday 1970-01-04 15:00; user 1: one event on Monday 1970-01-05 00:00."""
    found = features(
        table([0, 0, 1], [3 * HOUR, 3 * DAY_US + 15 * HOUR, 4 * DAY_US], items=[1, 1, 0], values=[3, 5, None])
    )
    assert found == {
        "user_id": ["u0", "u1"],
        "events": [2, 1],
        "distinct_items": [1, 1],
        "log_events": pytest.approx([np.log(3), np.log(2)]),
        "recency_days": pytest.approx([9 / 24, 0]),
        "span_days": [3.5, 0],
        "mean_gap_days": [3.5, 0],
        "day_share.night": [0.5, 1],
        "day_share.morning": [0, 0],
        "day_share.afternoon": [0.5, 0],
        "day_share.evening": [0, 0],
        "weekend_share": [0.5, 0],
        "value_mean": [4, 4],
        "value_sum_log": pytest.approx([np.log(9), 0]),
    }


def test_without_time_of_day_there_are_no_shares_of_the_day():
    found = features(table([0, 0], [0, 5 * DAY_US]))
    assert "day_share.night" not in found
    assert found["span_days"] == [5]


def test_without_times_values_or_kinds_only_counts_remain():
    assert set(features(table([0, 1], [None, None]))) == {"user_id", "events", "distinct_items", "log_events"}


def test_a_user_without_times_has_the_documented_defaults():
    found = features(table([0, 0, 1], [HOUR, 10 * DAY_US, None]))
    assert found["recency_days"][1] == pytest.approx(10 - 1 / 24)
    assert (found["span_days"][1], found["mean_gap_days"][1], found["day_share.night"][1]) == (0, 0, 1)


def test_times_before_1970_have_a_time_of_day():
    found = features(table([0], [-HOUR]))  # Wednesday 1969-12-31 23:00
    assert (found["day_share.evening"], found["weekend_share"]) == ([1], [0])


def test_shares_of_kinds_are_those_of_the_twenty_most_frequent():
    names = tuple(f"k{number:02d}" for number in range(25))
    kinds = [*range(25), 24, 24, 23]
    found = features(table([0] * len(kinds), [None] * len(kinds), kinds=kinds, kind_names=names))
    shares = [name for name in found if name.startswith("kind_share.")]
    assert shares[:3] == ["kind_share.k24", "kind_share.k23", "kind_share.k00"]
    assert len(shares) == 20
    assert found["kind_share.k24"] == [pytest.approx(3 / 28)]


def test_every_feature_is_a_finite_float64():
    frame = behaviour_features(table([0, 1], [None, HOUR], values=[None, -2]), pl.Series(["a", "b"]))
    assert set(frame.dtypes[1:]) == {pl.Float64}
    assert np.isfinite(frame.drop("user_id").to_numpy()).all()
