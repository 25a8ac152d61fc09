"""What do the users of a cluster do, how recently, and who are they? Each figure beside the one for all users."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.events.interactions import DAY_US, NO_TIME, Interactions
from uicgpu.privacy.anonymity import K_ANONYMITY
from uicgpu.privacy.text import clean_label
from uicgpu.profiles.counts import Groups, group_users
from uicgpu.profiles.mixes import (
    LONGEST_VALUE,
    MOST_VALUES,
    Share,
    group_means,
    group_medians,
    share_columns,
    value_mix,
)
from uicgpu.vocabulary import Column

MIX_SEPARATOR: Final = "."
"""Behaviour columns ``kind_share.view``, ``kind_share.buy`` … form one mix called ``kind_share``."""
LOGARITHM: Final = re.compile(r"^log_|_log$")
"""Features made for arithmetic, not for readers."""
FEWEST_NUMERIC_VALUES: Final = 12
"""A numeric attribute with at most so many distinct values is shown as a mix."""


def share_entries(name: str, shares: Sequence[Share]) -> list[dict[str, Any]]:
    """Write a mix as JSON-able entries; ``name`` is the key of the value, whose text is cleaned and bounded."""
    return [
        {
            name: clean_label(entry.value, LONGEST_VALUE),
            "share": entry.share,
            "base_share": entry.base_share,
            "lift": entry.lift,
            **({} if entry.interval is None else {"lift_low": entry.interval[0], "lift_high": entry.interval[1]}),
        }
        for entry in shares
    ]


def describe_behaviour(
    behaviour: pl.DataFrame | None, interactions: Interactions, groups: Groups, minimum_users: int = K_ANONYMITY
) -> list[dict[str, Any]]:
    """Activity, recency, mixes and other numbers of each group, beside the figure for all users.

    A number known of fewer than ``minimum_users`` users of the group, and a kind that fewer have, is left out.
    """
    numbers = _numbers(behaviour, interactions)
    everyone = group_users(np.zeros(interactions.n_users, np.int32))
    described: dict[str, list[dict[str, float]]] = {}
    for name, values in numbers.items():
        means, medians = group_means(values, groups), group_medians(values, groups)
        overall = (
            {
                "base_mean": float(group_means(values, everyone)[0]),
                "base_median": float(group_medians(values, everyone)[0]),
            }
            if interactions.n_users
            else {"base_mean": math.nan, "base_median": math.nan}
        )
        described[name] = [
            {"mean": float(mean) if count >= minimum_users else math.nan, "median": float(median), **overall}
            for mean, median, count in zip(means, medians, _known(values, groups), strict=True)
        ]
    mixes = _mixes(behaviour, groups, minimum_users)
    main = {"events", "distinct_items", "recency_days"}
    result = []
    for group in range(len(groups)):
        known = {name: entries[group] for name, entries in described.items() if not math.isnan(entries[group]["mean"])}
        result.append(
            {
                "activity": {"events": known.get("events"), "distinct_items": known.get("distinct_items")},
                "recency": known.get("recency_days"),
                "kinds": share_entries("kind", mixes["kind_share"][group]) if "kind_share" in mixes else [],
                "behaviour": {name: entry for name, entry in known.items() if name not in main},
                "mixes": {
                    name: share_entries("value", mix[group]) for name, mix in mixes.items() if name != "kind_share"
                },
            }
        )
    return result


def _numbers(behaviour: pl.DataFrame | None, interactions: Interactions) -> dict[str, NDArray[np.float64]]:
    users = np.repeat(np.arange(interactions.n_users), interactions.user_counts)
    numbers: dict[str, NDArray[np.float64]] = {
        "events": np.bincount(users, weights=interactions.events, minlength=interactions.n_users).astype(np.float64),
        "distinct_items": interactions.user_counts.astype(np.float64),
    }
    known = interactions.last_times != NO_TIME
    if known.any():
        last = np.full(interactions.n_users, NO_TIME, np.int64)
        np.maximum.at(last, users[known], interactions.last_times[known])
        latest = int(interactions.last_times[known].max())
        safe = np.where(last == NO_TIME, latest, last)
        numbers["recency_days"] = np.where(last == NO_TIME, np.nan, (latest - safe) / DAY_US)
    if behaviour is not None:
        for name in behaviour.columns:
            plain = MIX_SEPARATOR not in name and not LOGARITHM.search(name)
            if name != Column.USER and plain and behaviour[name].dtype.is_numeric():
                numbers[name] = behaviour[name].cast(pl.Float64).fill_null(math.nan).to_numpy()
    return numbers


def _known(values: NDArray[np.float64], groups: Groups) -> list[int]:
    """Users of each group of whom the number is known."""
    return [int(count) for count in np.bincount(groups.codes[np.isfinite(values)], minlength=len(groups))]


def _mixes(behaviour: pl.DataFrame | None, groups: Groups, minimum: int) -> dict[str, list[list[Share]]]:
    if behaviour is None:
        return {}
    columns: dict[str, list[str]] = {}
    for name in behaviour.columns:
        if MIX_SEPARATOR in name and behaviour[name].dtype.is_numeric():
            columns.setdefault(name.partition(MIX_SEPARATOR)[0], []).append(name)
    filled = behaviour.with_columns(pl.col(pl.Float64, pl.Float32).fill_null(math.nan))
    return {
        mix: share_columns(filled, names, [name.partition(MIX_SEPARATOR)[2] for name in names], groups, minimum)
        for mix, names in sorted(columns.items())
    }


def describe_attributes(
    attributes: pl.DataFrame | None, groups: Groups, minimum_users: int = K_ANONYMITY
) -> list[dict[str, Any]]:
    """Describe each group by the columns of the users table: a mix, or a mean and median beside those of all users.

    Columns with more than ``MOST_VALUES`` distinct texts (names, addresses, ids) are not published.
    """
    result: list[dict[str, Any]] = [{} for _ in groups.labels]
    if attributes is None:
        return result
    for name in attributes.columns:
        column = attributes[name]
        if name == Column.USER or column.dtype.is_nested() or not column.drop_nulls().len():
            continue
        distinct = column.drop_nulls().n_unique()
        if column.dtype.is_numeric() and distinct > FEWEST_NUMERIC_VALUES:
            values = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
            means, medians = group_means(values, groups), group_medians(values, groups)
            known, counts = values[np.isfinite(values)], _known(values, groups)
            for group, entry in enumerate(result):
                if np.isfinite(means[group]) and counts[group] >= minimum_users:
                    entry[name] = {
                        "kind": "number",
                        "mean": float(means[group]),
                        "median": float(medians[group]),
                        "base_mean": float(known.mean()),
                        "base_median": float(np.median(known)),
                    }
        elif distinct <= MOST_VALUES:
            for group, mix in enumerate(value_mix(column, groups, minimum_users=minimum_users)):
                if mix:
                    result[group][name] = {"kind": "mix", "values": share_entries("value", mix)}
    return result
