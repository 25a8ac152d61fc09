"""Numeric behaviour features: how often, how recently, how regularly and when a user acts."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.events.interactions import DAY_US, NO_TIME, EventTable
from uicgpu.vocabulary import Column

MOST_KIND_SHARES: Final = 20
"""Kinds with a share of their own, the most frequent first."""
DAY_PARTS: Final = ("night", "morning", "afternoon", "evening")
"""Hours 0-5, 6-11, 12-17 and 18-23, in the time zone of the data (UTC where none is given)."""
HOUR_US: Final = 3_600_000_000


def behaviour_features(events: EventTable, user_ids: pl.Series) -> pl.DataFrame:
    """Return one row of float64 features per user, without nulls.

    Parameters
    ----------
    events
        Clean events, sorted by user and time.
    user_ids
        Sorted ids; position = user code.

    Returns
    -------
    DataFrame
        ``user_id`` and

        - ``events``, ``distinct_items``, ``log_events`` (log(1 + events));
        - with times: ``recency_days`` (from the user's last event to the latest of all), ``span_days`` (first to last
          event) and ``mean_gap_days`` (span / (timed events - 1), 0 for a single event). A user without any time has
          the recency of the earliest event of all, span 0 and gap 0;
        - with values: ``value_mean`` (the mean over all events for a user without values) and ``value_sum_log``
          (log(1 + sum of the positive values));
        - with several kinds: ``kind_share.<kind>`` for the 20 most frequent kinds;
        - when times carry a time of day: ``day_share.night`` (0-5 h), ``.morning``, ``.afternoon``, ``.evening`` and
          ``weekend_share``; a user without times has the shares of all events.

    Notes
    -----
    Every sum runs over a user's events in their sorted order in float64, so that neither threads nor the order of input
    rows change a digit.
    """
    users, n_users = events.users, events.n_users
    count = _per_user(np.ones(len(events)), users, n_users)
    pairs = np.sort(users.astype(np.int64) * max(events.n_items, 1) + events.items)
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
    features: dict[str, NDArray[np.float64]] = {
        "events": count,
        "distinct_items": np.bincount(pairs // max(events.n_items, 1), minlength=n_users).astype(np.float64),
        "log_events": np.log1p(count),
    }
    features |= _time_features(events)
    features |= _value_features(events)
    features |= _kind_features(events, count)
    frame = pl.DataFrame({name: values for name, values in features.items()})
    return frame.select(user_ids.alias(Column.USER), pl.all())


def _per_user(values: NDArray[np.float64], users: NDArray[np.int32], n_users: int) -> NDArray[np.float64]:
    # bincount adds in the order of the array: one fixed order, float64.
    return np.bincount(users, weights=values, minlength=n_users).astype(np.float64)


def _time_features(events: EventTable) -> dict[str, NDArray[np.float64]]:
    known = events.times != NO_TIME
    if not known.any():
        return {}
    users, times, n_users = events.users[known], events.times[known], events.n_users
    earliest, latest = int(times.min()), int(times.max())
    timed = _per_user(np.ones(users.size), users, n_users)
    first = np.full(n_users, np.iinfo(np.int64).max)
    last = np.full(n_users, np.iinfo(np.int64).min)
    np.minimum.at(first, users, times)
    np.maximum.at(last, users, times)
    has_time = timed > 0
    first, last = np.where(has_time, first, earliest), np.where(has_time, last, earliest)
    span = (last - first) / DAY_US
    features = {
        "recency_days": (latest - last) / DAY_US,
        "span_days": span,
        "mean_gap_days": span / np.maximum(timed - 1, 1),
    }
    if not (times % DAY_US).any():
        return features
    parts = (times % DAY_US) // (6 * HOUR_US)
    for number, name in enumerate(DAY_PARTS):
        features[f"day_share.{name}"] = _share(parts == number, users, timed)
    # 1970-01-01 was a Thursday: day 2 after it is a Saturday.
    weekend = (times // DAY_US + 3) % 7 >= 5
    features["weekend_share"] = _share(weekend, users, timed)
    return features


def _share(mask: NDArray[np.bool_], users: NDArray[np.int32], timed: NDArray[np.float64]) -> NDArray[np.float64]:
    found = _per_user(mask.astype(np.float64), users, timed.size)
    return np.where(timed > 0, found / np.maximum(timed, 1), mask.mean())


def _value_features(events: EventTable) -> dict[str, NDArray[np.float64]]:
    known = ~np.isnan(events.values)
    if not known.any():
        return {}
    users, values = events.users[known], events.values[known].astype(np.float64)
    count = _per_user(np.ones(users.size), users, events.n_users)
    total = _per_user(values, users, events.n_users)
    positive = _per_user(np.maximum(values, 0), users, events.n_users)
    overall = total.sum() / count.sum()
    return {
        "value_mean": np.where(count > 0, total / np.maximum(count, 1), overall),
        "value_sum_log": np.log1p(positive),
    }


def _kind_features(events: EventTable, count: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    names = events.kind_names
    if len(names) < 2:
        return {}
    sizes = np.bincount(events.kinds, minlength=len(names))
    # Names are sorted: a stable sort settles equal sizes by name.
    frequent = np.argsort(-sizes, kind="stable")[:MOST_KIND_SHARES]
    return {
        f"kind_share.{names[kind]}": _per_user((events.kinds == kind).astype(np.float64), events.users, events.n_users)
        / np.maximum(count, 1)
        for kind in frequent.tolist()
    }
