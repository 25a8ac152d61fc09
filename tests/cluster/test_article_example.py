"""The worked example of docs/article-example.md, proved by exact enumeration."""

import doctest
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from uicgpu.cluster import KMeans

TABLE = [[1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "article-example.md"


def two_partitions():
    """All 15 ways to cut users 1..5 in two non-empty groups."""
    for mask in range(1, 16):
        second = {user for user in range(2, 6) if mask >> (user - 2) & 1}
        yield cut({1, 2, 3, 4, 5} - second, second)


def column_inertia(column, groups):
    total = Fraction(0)
    for group in groups:
        values = [Fraction(column[user - 1]) for user in group]
        mean = sum(values) / len(values)
        total += sum((value - mean) ** 2 for value in values)
    return total


def inertias(table, standardise):
    result = {}
    for groups in two_partitions():
        total = Fraction(0)
        for column in zip(*table, strict=True):
            variance = column_inertia(column, [{1, 2, 3, 4, 5}]) / 5
            total += column_inertia(column, groups) / (variance if standardise else 1)
        result[groups] = total
    return result


def cut(first, second):
    return frozenset((frozenset(first), frozenset(second)))


def partition_of(labels):
    return frozenset(frozenset((np.flatnonzero(labels == label) + 1).tolist()) for label in np.unique(labels))


def test_raw_features_have_three_optimal_partitions():
    found = inertias(TABLE, standardise=False)
    assert len(found) == 15
    best = {groups for groups, value in found.items() if value == min(found.values())}
    assert min(found.values()) == Fraction(11, 6)
    assert best == {cut({1, 3, 5}, {2, 4}), cut({1, 5}, {2, 3, 4}), cut({1, 3}, {2, 4, 5})}
    assert found[cut({2}, {1, 3, 4, 5})] == 2


def test_standardised_features_have_one_optimal_partition():
    found = inertias(TABLE, standardise=True)
    assert min(found.values()) == Fraction(25, 3)
    assert [groups for groups, value in found.items() if value == Fraction(25, 3)] == [cut({2}, {1, 3, 4, 5})]
    assert found[cut({1, 3, 5}, {2, 4})] == Fraction(625, 72)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_both(seed):
    table = np.array(TABLE)
    raw = KMeans(n_clusters=2, n_init=20, random_state=seed, device="cpu").fit(table)
    assert raw.inertia_ == pytest.approx(11 / 6, rel=1e-6)
    assert partition_of(raw.labels_) in {cut({1, 3, 5}, {2, 4}), cut({1, 5}, {2, 3, 4}), cut({1, 3}, {2, 4, 5})}
    standardised = (table - table.mean(axis=0)) / table.std(axis=0)
    unique = KMeans(n_clusters=2, n_init=20, random_state=seed, device="cpu").fit(standardised)
    assert unique.inertia_ == pytest.approx(25 / 3, rel=1e-6)
    assert partition_of(unique.labels_) == cut({2}, {1, 3, 4, 5}) == partition_of(np.array([1, 0, 1, 1, 1]))


def test_each_tied_partition_is_a_fixed_point():
    table = np.array(TABLE, np.float32)
    for first, second in (({1, 3, 5}, {2, 4}), ({1, 5}, {2, 3, 4}), ({1, 3}, {2, 4, 5})):
        start = np.stack([table[[user - 1 for user in sorted(group)]].mean(axis=0) for group in (first, second)])
        model = KMeans(n_clusters=2, init=start, device="cpu").fit(table)
        assert partition_of(model.labels_) == cut(first, second)


def test_the_document_runs_and_shows_this_table():
    text = DOCUMENT.read_text(encoding="utf-8")
    for user, row in enumerate(TABLE, start=1):
        assert f"| {user} | {row[0]} | {row[1]} | {row[2]} |" in text
    failed, tried = doctest.testfile(str(DOCUMENT), module_relative=False, encoding="utf-8")
    assert tried >= 8
    assert failed == 0


def test_the_two_results_pin_the_table_down():
    """Of all 0/1 tables exactly 24 (up to the order of columns) give both results, and all are relabellings of ours."""
    columns = list(itertools.product((0, 1), repeat=5))
    groups = list(two_partitions())
    raw = np.array([[int(12 * column_inertia(column, cut_)) for cut_ in groups] for column in columns])
    spread = np.array([float(column_inertia(column, [{1, 2, 3, 4, 5}])) for column in columns])
    standard = 5 * raw / 12 / np.where(spread > 0, spread, 1.0)[:, None]
    text, printout = groups.index(cut({1, 3, 5}, {2, 4})), groups.index(cut({2}, {1, 3, 4, 5}))
    found = set()
    for chosen in itertools.combinations_with_replacement(range(len(columns)), 3):
        totals = raw[list(chosen)].sum(axis=0)
        if totals.min() != 22 or (totals == 22).sum() != 3 or totals[text] != 22:
            continue
        values = standard[list(chosen)].sum(axis=0)
        if values.argmin() == printout and abs(values.min() - 25 / 3) < 1e-9 and np.sort(values)[1] > 25 / 3 + 1e-9:
            found.add(tuple(sorted(columns[index] for index in chosen)))
    relabelled = set()
    for order in itertools.permutations((0, 2, 4)):
        users = [order[0], 1, order[1], 3, order[2]]
        for flips in itertools.product((0, 1), repeat=3):
            table = [[TABLE[user][column] ^ flips[column] for user in users] for column in range(3)]
            relabelled.add(tuple(sorted(tuple(column) for column in table)))
    assert len(found) == 24
    assert found == relabelled
