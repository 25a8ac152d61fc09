"""When are the users of a cluster active? Weekdays, hours, and whether the cluster grows. One user has one vote."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.events.interactions import DAY_US, NO_TIME, EventTable
from uicgpu.privacy.anonymity import K_ANONYMITY
from uicgpu.profiles.counts import Groups

HOUR_US: Final = 3_600_000_000
MOST_PERIODS: Final = 12
SHORTEST_SPAN_DAYS: Final = 14
"""Less time than this shows no trend."""
NORMAL_95: Final = 1.959964


def describe_rhythm(
    events: EventTable | None, groups: Groups, minimum_users: int = K_ANONYMITY
) -> list[dict[str, Any]]:
    """Weekday and hour mixes and the trend of each group, beside those of all users.

    Parameters
    ----------
    events
        Clean events of the users of ``groups``; those without a time are left out.
    minimum_users
        A weekday, hour or period in which fewer users of the group were active is None.

    Returns
    -------
    list of dict
        ``weekday`` (Monday first) and ``hour``: lists of ``share`` and ``base_share``, empty without times (of day).
        ``trend``: ``active`` and ``base_active`` (share of users active in each of up to 12 equal periods), ``change``
        with ``low`` and ``high`` (users active in the last third over the first third, divided by the same ratio of
        all users; 95 % interval by the delta method), ``word`` (growing, steady, shrinking); None for a short span.
    """
    empty: dict[str, Any] = {"weekday": [], "hour": [], "trend": None}
    if events is None or not len(events):
        return [dict(empty) for _ in groups.labels]
    known = events.times != NO_TIME
    users, times = events.users[known].astype(np.int64), events.times[known]
    if not users.size:
        return [dict(empty) for _ in groups.labels]
    weekdays = (times // DAY_US + 3) % 7  # 1970-01-01 was a Thursday
    result: list[dict[str, Any]] = [{} for _ in groups.labels]
    cells = {"weekday": (weekdays, 7)}
    if (times % DAY_US).any():
        cells["hour"] = ((times % DAY_US) // HOUR_US, 24)
    for name in ("weekday", "hour"):
        entries = _mix(users, *cells[name], groups, minimum_users) if name in cells else [[] for _ in groups.labels]
        for group, entry in enumerate(entries):
            result[group][name] = entry
    for group, trend in enumerate(_trends(users, times, groups, minimum_users)):
        result[group]["trend"] = trend
    return result


def _mix(
    users: NDArray[np.int64], values: NDArray[np.int64], width: int, groups: Groups, minimum: int
) -> list[list[dict[str, float | None]]]:
    n_users = groups.codes.size
    own = np.bincount(users, minlength=n_users).astype(np.float64)
    cell = groups.codes[users] * width + values
    amounts = np.bincount(cell, weights=1.0 / own[users], minlength=len(groups) * width).reshape(len(groups), width)
    pairs = np.unique(users * width + values)
    held = np.bincount(groups.codes[pairs // width] * width + pairs % width, minlength=amounts.size)
    held = held.reshape(amounts.shape)
    everyone = held.sum(axis=0).tolist()
    totals = amounts.sum(axis=1, keepdims=True)
    shares = amounts / np.where(totals > 0, totals, 1.0)
    base = amounts.sum(axis=0) / max(float(amounts.sum()), 1e-300)
    return [
        [
            {
                "share": float(shares[group, value]) if held[group, value] >= minimum else None,
                "base_share": float(part) if everyone[value] >= minimum else None,
            }
            for value, part in enumerate(base.tolist())
        ]
        if totals[group, 0] > 0
        else []
        for group in range(len(groups))
    ]


def _trends(
    users: NDArray[np.int64], times: NDArray[np.int64], groups: Groups, minimum: int
) -> list[dict[str, Any] | None]:
    first, last = int(times.min()), int(times.max())
    days = (last - first) / DAY_US
    if days < SHORTEST_SPAN_DAYS:
        return [None for _ in groups.labels]
    periods = int(min(MOST_PERIODS, days // 7 // 3 * 3 or 3))
    period = np.minimum((times - first) * periods // max(last - first, 1), periods - 1)
    active = _active(users, period, periods, groups)
    thirds = _active(users, np.minimum(period * 3 // periods, 2), 3, groups)
    everyone, base = active.sum(axis=0), thirds.sum(axis=0)
    total = int(groups.sizes.sum())
    result: list[dict[str, Any] | None] = []
    for group, size in enumerate(groups.sizes.tolist()):
        early, late = int(thirds[group, 0]), int(thirds[group, 2])
        if min(early, late) < max(minimum, 1):
            result.append(None)
            continue
        change = (late / early) / (float(base[2]) / float(base[0]))
        reach = NORMAL_95 * math.sqrt(1 / early + 1 / late)
        low, high = change * math.exp(-reach), change * math.exp(reach)
        result.append(
            {
                "active": [float(n) / size if n >= minimum else None for n in active[group].tolist()],
                "base_active": [float(n) / total if n >= minimum else None for n in everyone.tolist()],
                "change": change,
                "low": low,
                "high": high,
                "word": "growing" if low > 1 else "shrinking" if high < 1 else "steady",
            }
        )
    return result


def _active(users: NDArray[np.int64], cells: NDArray[np.int64], width: int, groups: Groups) -> NDArray[np.int64]:
    """Distinct users of each group in each cell, int64 [groups, width]."""
    pairs = np.unique(users * width + cells)
    counts = np.bincount(groups.codes[pairs // width] * width + pairs % width, minlength=len(groups) * width)
    return counts.reshape(len(groups), width).astype(np.int64)
