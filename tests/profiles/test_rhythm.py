from __future__ import annotations

import numpy as np
import pytest

from uicgpu.events.interactions import DAY_US, NO_TIME, EventTable
from uicgpu.profiles.counts import group_users
from uicgpu.profiles.rhythm import HOUR_US, describe_rhythm

MONDAY = 1_704_067_200_000_000
"""2024-01-01, a Monday."""


def _events(rows, users):
    owners = np.array([user for user, _ in rows], np.int32)
    times = np.array([time for _, time in rows], np.int64)
    ones = np.ones(owners.size, np.float32)
    zeros = np.zeros(owners.size, np.int32)
    return EventTable(owners, zeros, times, zeros, ones * np.nan, ones, users, 1)


def test_weekdays_and_hours_give_each_user_one_vote():
    # User 0 acts ten times on a Monday at 9, user 1 once on a Saturday at 20; user 2 is in another group.
    rows = [(0, MONDAY + 9 * HOUR_US)] * 10 + [(1, MONDAY + 5 * DAY_US + 20 * HOUR_US), (2, MONDAY + 9 * HOUR_US)]
    told = describe_rhythm(_events(rows, 3), group_users(np.array([0, 0, 1], np.int32)), 1)
    half = pytest.approx(0.5)
    assert [entry["share"] for entry in told[0]["weekday"]] == [half, None, None, None, None, half, None]
    assert [told[0]["hour"][hour]["share"] for hour in (9, 20)] == [half, half]
    assert told[0]["weekday"][0]["base_share"] == pytest.approx(2 / 3)
    assert told[1]["weekday"][0]["share"] == 1.0
    assert told[0]["trend"] is None, "five days show no trend"


def test_what_fewer_than_k_users_did_is_left_out():
    rows = [(user, MONDAY + user % 2 * DAY_US + HOUR_US) for user in range(5)]
    told = describe_rhythm(_events(rows, 5), group_users(np.zeros(5, np.int32)), 3)
    assert [entry["share"] for entry in told[0]["weekday"]][:2] == [0.6, None]


def test_a_growing_cluster_is_told_from_a_steady_one():
    rows = [
        (user, MONDAY + day * DAY_US) for user in range(400) for day in (0, 45, 89) if user >= 200 or day or user < 20
    ]
    labels = np.array([0] * 200 + [1] * 200, np.int32)
    told = describe_rhythm(_events(rows, 400), group_users(labels), 5)
    early, late, base_early, base_late = 20, 200, 220, 400
    growing = told[0]["trend"]
    assert growing["change"] == pytest.approx(late / early / (base_late / base_early))
    assert growing["word"] == "growing" and growing["low"] > 1
    assert told[1]["trend"]["word"] == "shrinking"
    assert told[0]["hour"] == [], "dates without a time of day have no hours"


@pytest.mark.parametrize("times", [[], [NO_TIME, NO_TIME]])
def test_without_times_nothing_is_said(times):
    told = describe_rhythm(_events([(0, time) for time in times], 1), group_users(np.zeros(1, np.int32)), 1)
    assert told == [{"weekday": [], "hour": [], "trend": None}]
    assert describe_rhythm(None, group_users(np.zeros(1, np.int32)), 1) == told
