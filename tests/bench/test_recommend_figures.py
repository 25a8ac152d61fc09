"""The tables in docs/evaluation.md are those of bench/results; the benchmarks run without their peers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from uicgpu.bench import ranking_peers
from uicgpu.bench.evaluate import bench_evaluate, random_lists
from uicgpu.bench.recommend import bench_recommend
from uicgpu.bench.recommend_scale import bench_scale, long_tail_shop, scale_table
from uicgpu.bench.recommend_table import RESULTS, gain_table, rare_table, speed_table, stage_table


def read(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page():
    return (RESULTS.parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [gain_table, stage_table, rare_table])
def test_the_page_shows_the_measured_quality(page, table):
    assert table(read("recommender")) in page


def test_the_page_shows_the_measured_speed(page):
    assert speed_table(read("evaluate"), read("recommend")) in page


def test_the_page_shows_the_measured_scale(page):
    told, words = read("recommend-scale"), " ".join(page.split())
    assert scale_table(told) in page
    rates, peak = told["milliseconds_per_user"], told["peak_bytes"]
    slower = rates["recommender, four arms, with reasons"] / rates["matrix product alone"]
    grown = (peak["after ranking"] - peak["data and programs"]) / 2**30
    assert f"of {told['users']:,} users over {told['items']:,} items, from {told['events']:,} events" in words
    assert f"EASE covers the {told['ease_head_items']:,} most frequent items" in words
    assert f"which have {told['ease_head_share_of_events']:.0%}".replace("%", " %") in words
    assert f"take {slower:.0f} times as long. Fitting took {told['fit_seconds']:.0f} s" in words
    assert f"ranking {told['recommend_seconds']:.0f} s. The process grew by {grown:.2f} GiB" in words
    assert 2**30 * grown <= told["memory_budget_bytes"]  # "within the budget"
    assert peak["after ranking"] == peak["after fitting"]  # "all of it while fitting"
    assert f"Only {100 * told['shown_outside_head_share']:.1f} % of what was recommended" in words


def test_the_scale_bench_measures_a_small_shop():
    told = bench_scale(users=130, items=400, memory=64 * 2**20)
    assert sum(told["rungs"].values()) == 130 and told["ease_head_items"] <= 400
    assert all(value > 0 for value in told["million_pairs_per_second"].values())


def test_the_generated_shop_is_the_same_again_and_has_a_long_tail():
    (events, vectors), (again, _) = long_tail_shop(300, 500, seed=3), long_tail_shop(300, 500, seed=3)
    assert events.items.tobytes() == again.items.tobytes() and events.times.tobytes() == again.times.tobytes()
    counts = np.sort(np.bincount(events.items, minlength=500))[::-1]
    assert counts[:100].sum() > 4 * counts[-100:].sum()
    assert np.bincount(events.users).min() >= 1 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    order = np.lexsort((events.items, events.times, events.users))
    assert (order == np.arange(len(events))).all()


def test_the_recommender_is_nowhere_significantly_below_the_best_single_arm_and_mostly_above():
    intervals = [found["difference"]["recommender-best_single"] for found in read("recommender").values()]
    assert all(high >= 0 for _, _, high in intervals)
    assert 2 * sum(low > 0 for _, low, _ in intervals) > len(intervals)


def test_the_page_tells_what_the_default_recommender_costs(page):
    cost = read("recommend-cost")
    seconds = cost["processor_seconds_1_thread"]
    told = " ".join(page.split())
    assert (
        f"({cost['events']:,} events, {cost['users']} users, {cost['items']:,} items) takes {seconds['total']} s"
        in told
    )
    assert f"{seconds['evaluate']} s for the evaluation, in which {cost['settings_tried']} settings are tried" in told
    assert f"and {seconds['fit and lists']} s for the fit" in told
    assert seconds["total"] < 180


def test_the_mean_gain_without_time_is_told_as_it_is(page):
    gains = [
        found["evaluation.gain_over_best_single_percent"]
        for found in read("recommender").values()
        if found["evaluation.split"] != "time"
    ]
    assert f"{np.mean(gains):+.1f} % in the mean" in page


def test_without_peers_they_are_named(monkeypatch):
    monkeypatch.setattr(ranking_peers.importlib.util, "find_spec", lambda name: None)
    assert ranking_peers.installed() == []
    told = bench_evaluate(count=3, rounds=1)
    assert told["missing"] == ["lenskit", "rectools"] and list(told["processor_time_1_thread"]) == ["uicgpu"]
    told = bench_recommend(count=70, rounds=1)
    assert told["missing"] == ["implicit", "rectools"] and told["top_n"]["uicgpu"]["times_reference"] == 1.0


def test_random_lists_hold_distinct_items():
    lists, truth = random_lists(50, 500)
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in lists)
    assert (truth.sizes > 0).all()
