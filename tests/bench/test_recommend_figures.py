"""The tables in docs/evaluation.md are those of bench/results; the benchmarks run without their peers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from uicgpu.bench import ranking_peers
from uicgpu.bench.evaluate import bench_evaluate, random_lists
from uicgpu.bench.recommend import bench_recommend
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
