import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.evaluation.ranking import METRICS, Truth, held_out, hits_of, ranking_metrics
from uicgpu.events.interactions import aggregate


def slow(ranked, wanted, metric, k):
    hits = [1 if item in wanted else 0 for item in ranked[:k]]
    if metric == "precision":
        return sum(hits) / k
    if metric == "recall":
        return sum(hits) / len(wanted)
    if metric == "hit_rate":
        return float(any(hits))
    if metric == "mrr":
        return next((1 / (place + 1) for place, hit in enumerate(hits) if hit), 0.0)
    best = min(k, len(wanted))
    if metric == "ndcg":
        gain = sum(hit / np.log2(place + 2) for place, hit in enumerate(hits))
        return gain / sum(1 / np.log2(place + 2) for place in range(best))
    return sum(hit * sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits)) / best


def truth_of(sets):
    sizes = np.array([len(wanted) for wanted in sets], np.int64)
    items = np.array([item for wanted in sets for item in sorted(wanted)], np.int32)
    return Truth(np.arange(len(sets), dtype=np.int32), np.concatenate(([0], sizes.cumsum())), items, 0)


def computed(lists, sets):
    truth = truth_of(sets)
    return ranking_metrics(hits_of(np.array(lists, np.int32), truth), truth.sizes)


def test_by_hand():
    # hits at ranks 2 and 4 of a list of ten; three items held out
    found = computed([[9, 1, 8, 2, *range(20, 26)]], [{1, 2, 3}])
    ideal = 1 + 1 / np.log2(3) + 0.5
    assert found["precision@10"][0] == 0.2
    assert found["recall@10"][0] == pytest.approx(2 / 3)
    assert found["hit_rate@10"][0] == 1
    assert found["mrr@10"][0] == 0.5
    assert found["ndcg@10"][0] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / ideal)
    assert found["map@10"][0] == pytest.approx((1 / 2 + 2 / 4) / 3)


def test_short_list_and_more_held_out_than_places():
    found = computed([[0, 1]], [set(range(15))])
    assert found["precision@10"][0] == 0.2 and found["recall@10"][0] == pytest.approx(2 / 15)
    assert found["ndcg@10"][0] == pytest.approx((1 + 1 / np.log2(3)) / sum(1 / np.log2(p + 2) for p in range(10)))
    assert found["map@10"][0] == pytest.approx(2 / 10)
    full = computed([list(range(20))], [set(range(15))])
    assert full["ndcg@10"][0] == pytest.approx(1) and full["map@10"][0] == pytest.approx(1)


def test_padding_is_never_a_hit():
    assert computed([[-1] * 20], [{0, 1}])["hit_rate@10"][0] == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_against_a_slow_implementation(seed, catalogue):
    random = np.random.default_rng(seed)
    sets = [set(random.choice(catalogue, random.integers(1, catalogue + 1), replace=False).tolist()) for _ in range(5)]
    lists = np.full((5, 20), -1, np.int32)
    for row in lists:
        length = min(20, random.integers(0, catalogue + 1))
        row[:length] = random.permutation(catalogue)[:length]
    found = computed(lists, sets)
    for name in METRICS:
        metric, k = name.split("@")
        ranked = [[item for item in row if item >= 0] for row in lists]
        expected = [slow(own, wanted, metric, int(k)) for own, wanted in zip(ranked, sets, strict=True)]
        np.testing.assert_allclose(found[name], expected, atol=1e-12, err_msg=name)


def test_held_out_drops_seen_items_and_repetitions_and_counts_them(world):
    past = aggregate(world.events([0, 0, 1], [0, 1, 0], n_users=3, n_items=4))
    later = world.events([0, 0, 0, 1, 2, 2], [1, 2, 2, 0, 3, 0], [1, 2, 3, 1, 1, 1], n_users=3, n_items=4)
    truth = held_out(later, past)
    assert truth.users.tolist() == [0, 2] and truth.items.tolist() == [2, 0, 3] and truth.offsets.tolist() == [0, 1, 3]
    assert truth.seen_removed == 2
    assert truth.unreachable_share(past.item_counts > 0) == pytest.approx(2 / 3)
    kept = held_out(later, past, keep_seen=True)
    assert kept.users.tolist() == [0, 1, 2] and kept.sizes.tolist() == [2, 1, 2]
    assert truth.take(np.array([1])).items.tolist() == [0, 3]
    empty = held_out(later.take(np.zeros(6, bool)), past)
    assert len(empty) == 0 and empty.unreachable_share(past.item_counts > 0) is None
