from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from uicgpu.profiles.counts import even_weights, group_items, group_users, users_holding
from uicgpu.profiles.mixes import (
    Share,
    category_matrix,
    category_mixes,
    group_medians,
    share_errors,
    telling,
    value_mix,
)


def _slow_mix(histories, categories, labels, group):
    """Mean over users of the user's own mix: one user, one vote."""
    mix, users = {}, 0
    for user, history in enumerate(histories):
        if labels[user] != group or not history:
            continue
        users += 1
        for item in history:
            values = categories[item].split("|")
            for value in values:
                mix[value] = mix.get(value, 0.0) + 1 / len(history) / len(values)
    return {value: amount / users for value, amount in mix.items()}


def test_shares_and_lifts_match_a_loop(interactions):
    random = np.random.default_rng(0)
    categories = ["a", "a|b", "b", "c", "c|a|b"]
    histories = [random.choice(5, random.integers(1, 5), replace=False).tolist() for _ in range(40)]
    labels = random.integers(0, 3, 40).astype(np.int32)
    made = interactions(histories, 5)
    groups = group_users(labels)
    values, matrix = category_matrix(categories)
    holders = users_holding(groups, made, matrix)
    mixes = category_mixes(values, matrix, group_items(groups, made, even_weights(made)), holders, minimum_users=1)
    everyone = _slow_mix(histories, categories, np.zeros(40), 0)
    for group, mix in enumerate(mixes):
        expected = _slow_mix(histories, categories, labels, group)
        assert {entry.value: entry.share for entry in mix} == pytest.approx(expected)
        assert sum(entry.share for entry in mix) == pytest.approx(1.0)
        for entry in mix:
            assert entry.lift == pytest.approx(expected[entry.value] / everyone[entry.value])


def test_categories_of_few_users_are_left_out(interactions):
    made = interactions([[0], [0], [1]], 2)
    groups = group_users(np.zeros(3, np.int32))
    values, matrix = category_matrix(["common", "rare"])
    holders = users_holding(groups, made, matrix)
    mixes = category_mixes(values, matrix, group_items(groups, made, even_weights(made)), holders, minimum_users=2)
    assert [entry.value for entry in mixes[0]] == ["common"]


def test_telling_entries_are_over_represented():
    mix = [Share("drama", 0.4, 0.42), Share("sci-fi", 0.3, 0.1), Share("war", 0.02, 0.001), Share("new", 0.1, 0.0)]
    assert [entry.value for entry in telling(mix)] == ["sci-fi"]


def test_attribute_mix_leaves_out_unknown_and_rare_values():
    column = pl.Series(["de", "de", None, "fr", "de", "us"])
    mixes = value_mix(column, group_users(np.array([0, 0, 0, 0, 1, 1], np.int32)), minimum_users=2)
    assert [(entry.value, entry.share, entry.base_share) for entry in mixes[0]] == [
        ("de", pytest.approx(2 / 3), pytest.approx(3 / 5))
    ]
    assert mixes[1] == []


def test_medians_ignore_unknown_values():
    values = np.array([1.0, np.nan, 3.0, 10.0, np.nan])
    medians = group_medians(values, group_users(np.array([0, 0, 0, 1, 2], np.int32)))
    assert medians[:2].tolist() == [2.0, 10.0]
    assert np.isnan(medians[2])


def test_interval_of_a_lift_by_hand(interactions):
    # Shares of category a of the three users: 1, 1/2, 0; mean 1/2, standard error sqrt(0.25 / 3) = 0.2887.
    made = interactions([[0], [0, 1], [1]], 2)
    groups = group_users(np.zeros(3, np.int32))
    _, matrix = category_matrix(["a", "b"])
    errors = share_errors(groups, made, even_weights(made), matrix)
    assert errors.tolist() == [[pytest.approx(0.288675), pytest.approx(0.288675)]]
    share = Share("a", 0.5, 0.25, 0.1)
    assert share.interval == (pytest.approx((0.5 - 0.1959964) / 0.25), pytest.approx((0.5 + 0.1959964) / 0.25))
    assert Share("a", 0.5, 0.25).interval is None
