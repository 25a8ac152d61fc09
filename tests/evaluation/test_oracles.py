"""Every metric against a second implementation: plain Python loops, written from the formulas and not from our code."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.evaluation.beyond_accuracy import USERS_PER_CHUNK, calibration, coverage, diversity, gini, novelty
from uicgpu.evaluation.debiased import debiased, thin_out
from uicgpu.evaluation.ranking import Truth, hits_of, ranking_metrics
from uicgpu.events.interactions import NO_TIME, EventTable, aggregate

EXAMPLES = settings(max_examples=40, deadline=None)
lists_and_items = st.integers(2, 30).flatmap(
    lambda items: st.tuples(
        st.just(items),
        st.lists(st.lists(st.integers(0, items - 1), max_size=20, unique=True), min_size=1, max_size=8),
    )
)


def padded(lists, width=20):
    out = np.full((len(lists), width), -1, np.int32)
    for row, own in enumerate(lists):
        out[row, : len(own)] = own
    return out


def truth_of(sets):
    sizes = [len(own) for own in sets]
    items = np.array([item for own in sets for item in sorted(own)], np.int32)
    return Truth(
        np.arange(len(sets), dtype=np.int32), np.concatenate(([0], np.cumsum(sizes))).astype(np.int64), items, 0
    )


def events_of(histories, n_items):
    who = np.array([user for user, own in enumerate(histories) for _ in own], np.int32)
    what = np.array([item for own in histories for item in sorted(own)], np.int32)
    size = who.size
    zeros, times = np.zeros(size, np.int32), np.full(size, NO_TIME, np.int64)
    values, ones = np.full(size, np.nan, np.float32), np.ones(size, np.float32)
    return EventTable(who, what, times, zeros, values, ones, len(histories), n_items)


# The formulas, one function each; a list is a Python list of items, the best first.


def precision(shown, wanted, k):
    return len([item for item in shown[:k] if item in wanted]) / k


def recall(shown, wanted, k):
    return len([item for item in shown[:k] if item in wanted]) / len(wanted)


def hit_rate(shown, wanted, k):
    return 1.0 if set(shown[:k]) & wanted else 0.0


def reciprocal_rank(shown, wanted, k):
    for rank, item in enumerate(shown[:k], start=1):
        if item in wanted:
            return 1 / rank
    return 0.0


def average_precision(shown, wanted, k):
    total = 0.0
    for rank, item in enumerate(shown[:k], start=1):
        if item in wanted:
            total += precision(shown, wanted, rank)
    return total / min(k, len(wanted))


def ndcg(shown, wanted, k):
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(shown[:k], start=1) if item in wanted)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))


def slow_gini(counts):
    """Half the mean difference of two randomly drawn items, over the mean."""
    mean = sum(counts) / len(counts)
    return sum(abs(a - b) for a in counts for b in counts) / (2 * len(counts) ** 2 * mean)


def slow_diversity(shown, vectors):
    with_text = [item for item in shown if any(vectors[item])]
    pairs = [
        1 - math.fsum(a * b for a, b in zip(vectors[i], vectors[j], strict=True)) for i, j in combinations(with_text, 2)
    ]
    return math.fsum(pairs) / len(pairs) if pairs else None


def slow_divergence(history, shown, categories):
    mixes = []
    for items in (history, shown):
        mix = Counter()
        for item in items:
            for name in categories[item]:
                mix[name] += 1 / len(categories[item])
        if not mix:
            return None
        mixes.append({name: weight / sum(mix.values()) for name, weight in mix.items()})
    names = set(mixes[0]) | set(mixes[1])
    p = {name: 0.99 * mixes[0].get(name, 0) + 0.01 * mixes[1].get(name, 0) for name in names}
    q = {name: 0.99 * mixes[1].get(name, 0) + 0.01 * mixes[0].get(name, 0) for name in names}
    entropy = lambda mix: -math.fsum(value * math.log2(value) for value in mix.values() if value)  # noqa: E731
    middle = {name: (p[name] + q[name]) / 2 for name in names}
    return entropy(middle) - (entropy(p) + entropy(q)) / 2


def slow_border(counts):
    """Q3 + 1.5 (Q3 - Q1), quartiles by linear interpolation between order statistics."""
    ordered = sorted(counts)

    def quantile(share):
        place = share * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    first, third = quantile(0.25), quantile(0.75)
    return int(third + 1.5 * (third - first))


@EXAMPLES
@given(lists_and_items, st.data())
def test_ranking_metrics(world_of_lists, data):
    items, lists = world_of_lists
    sets = [data.draw(st.sets(st.integers(0, items - 1), min_size=1)) for _ in lists]
    truth = truth_of(sets)
    found = ranking_metrics(hits_of(padded(lists), truth), truth.sizes)
    formulas = {
        "precision": precision,
        "recall": recall,
        "hit_rate": hit_rate,
        "mrr": reciprocal_rank,
        "map": average_precision,
        "ndcg": ndcg,
    }
    for name, formula in formulas.items():
        for k in (10, 20):
            expected = [formula(shown, wanted, k) for shown, wanted in zip(lists, sets, strict=True)]
            np.testing.assert_allclose(found[f"{name}@{k}"], expected, atol=1e-12, err_msg=f"{name}@{k}")


@EXAMPLES
@given(lists_and_items, st.data())
def test_coverage_novelty_and_gini(world_of_lists, data):
    items, lists = world_of_lists
    counts = data.draw(st.lists(st.integers(0, 50), min_size=items, max_size=items))
    known = [count > 0 for count in counts]
    table = padded(lists)
    shown = [item for own in lists for item in own]
    covered = len({item for item in shown if known[item]}) / sum(known) if any(known) else None
    assert coverage(table, np.array(known)) == pytest.approx(covered)
    bits = [-math.log2((counts[item] + 1) / (sum(counts) + items)) for item in shown]
    assert novelty(table, np.array(counts)) == (pytest.approx(sum(bits) / len(bits)) if bits else None)
    times = Counter(shown)
    among_known = [times[item] for item in range(items) if known[item]]
    expected = pytest.approx(slow_gini(among_known), abs=1e-12) if sum(among_known) else None
    assert gini(table, np.array(known)) == expected


@EXAMPLES
@given(lists_and_items, st.integers(0, 10**6))
def test_diversity(world_of_lists, seed):
    items, lists = world_of_lists
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(items, 4))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[random.random(items) < 0.2] = 0
    value, missing = diversity(padded(lists), vectors)
    exact = vectors.astype(float).tolist()
    told = [found for found in (slow_diversity(own, exact) for own in lists) if found is not None]
    # Our form squares a sum, so it trusts that vectors have length 1 to float32.
    assert value == (pytest.approx(sum(told) / len(told), abs=1e-6) if told else None)
    assert missing == sum(not any(exact[item]) for own in lists for item in own)


@EXAMPLES
@given(lists_and_items, st.data())
def test_calibration(world_of_lists, data):
    items, lists = world_of_lists
    names = st.lists(st.sampled_from(["drama", "war", "space", "food"]), max_size=3, unique=True).map(tuple)
    categories = data.draw(st.lists(names, min_size=items, max_size=items))
    histories = [data.draw(st.sets(st.integers(0, items - 1), max_size=6)) for _ in lists]
    history = aggregate(events_of(histories, items))
    users = np.arange(len(lists), dtype=np.int32)
    told = [slow_divergence(sorted(own), shown, categories) for own, shown in zip(histories, lists, strict=True)]
    there = [value for value in told if value is not None]
    value, left_out = calibration(padded(lists), history, users, categories)
    assert value == (pytest.approx(sum(there) / len(there), abs=1e-9) if there else None)
    assert left_out == told.count(None)


def test_calibration_by_hand_and_over_the_borders_of_chunks():
    # Half drama, half war before; only drama shown: p = (.495 + .01, .495), q = (.99 + .005, .005) of (drama, war).
    categories = [("drama",), ("war",), ("drama",)]
    users = np.arange(USERS_PER_CHUNK + 3, dtype=np.int32)
    history = aggregate(events_of([{0, 1}] * users.size, 3))
    p, q = (0.505, 0.495), (0.995, 0.005)
    by_hand = sum(
        a * math.log2(a / ((a + b) / 2)) / 2 + b * math.log2(b / ((a + b) / 2)) / 2 for a, b in zip(p, q, strict=True)
    )
    value, left_out = calibration(padded([[2]] * users.size), history, users, categories)
    assert value == pytest.approx(by_hand) and left_out == 0
    assert calibration(padded([[0, 1]]), history, users[:1], categories)[0] == pytest.approx(0, abs=1e-12)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 12))
def test_debiased_truth_keeps_at_most_the_border_and_takes_nothing_else(seed, users, items):
    random = np.random.default_rng(seed)
    popular = 1 / (1 + np.arange(items)) ** 2
    sets = [
        set(random.choice(items, random.integers(1, items), replace=False, p=popular / popular.sum()).tolist())
        for _ in range(users)
    ]
    truth = truth_of(sets)
    thin = thin_out(truth, seed)
    counts = Counter(item for own in sets for item in own)
    border = slow_border(list(counts.values()))
    assert Counter(thin.items.tolist()) == Counter(
        {item: min(count, border) for item, count in counts.items() if border}
    )
    for row, user in enumerate(thin.users):
        own = set(thin.items[thin.offsets[row] : thin.offsets[row + 1]].tolist())
        assert own and own <= sets[user]


def test_debiased_hit_rate_and_ndcg_are_those_of_the_thinned_truth():
    random = np.random.default_rng(4)
    sets = [{0, *random.choice(np.arange(1, 40), 3, replace=False).tolist()} for _ in range(120)]
    truth = truth_of(sets)
    lists = {
        "popular": [[0, *range(1, 10)] for _ in sets],
        "other": [random.permutation(40)[:10].tolist() for _ in sets],
    }
    found = debiased({name: padded(own, 10) for name, own in lists.items()}, truth, 7)
    for name, own in lists.items():
        hits, gains = [], []
        for repeat in range(3):
            thin = thin_out(truth, 7 + repeat)
            kept = {
                int(user): set(thin.items[thin.offsets[row] : thin.offsets[row + 1]].tolist())
                for row, user in enumerate(thin.users)
            }
            hits.append(np.mean([hit_rate(own[user], wanted, 10) for user, wanted in kept.items()]))
            gains.append(np.mean([ndcg(own[user], wanted, 10) for user, wanted in kept.items()]))
        assert found[name]["hit_rate@10"] == pytest.approx(np.mean(hits), abs=1e-12)
        assert found[name]["ndcg@10"] == pytest.approx(np.mean(gains), abs=1e-12)
    # Everybody chose item 0: showing it is a hit for all until its pairs are thinned out.
    assert np.mean([hit_rate(own, wanted, 10) for own, wanted in zip(lists["popular"], sets, strict=True)]) == 1
    assert found["popular"]["hit_rate@10"] < 0.75
