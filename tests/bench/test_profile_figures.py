"""The figures in docs/profiles.md are those of the result files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.bench.interests import interests_table, speed_sentence
from uicgpu.bench.names import CHINESE, GROUPED, judge_names, names_table
from uicgpu.bench.report import report_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")


def _result(name):
    return json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "told"),
    [("names", names_table), ("report", report_table), ("interests", interests_table), ("interests", speed_sentence)],
)
def test_the_page_shows_the_measured_figures(name, told):
    flat = " ".join(PAGE.split())
    assert " ".join(told(_result(name)).split()) in flat


def test_names_say_what_users_share():
    told = _result("names")
    best = told[GROUPED]["titles and categories"]
    assert best["pure"] >= 15 and best["share"] >= 0.8
    assert told[CHINESE]["chinese"] == len(told[CHINESE]["names"]) > 3
    assert all(name in PAGE for name in told[CHINESE]["names"])


def test_the_report_of_a_million_users_is_small_and_opens_soon():
    told = _result("report")
    assert told["users"] == 1_000_000 and told["bytes"] <= 5_000_000
    assert told["opening"]["load"]["median_seconds"] < 2


def test_only_pure_clusters_are_judged():
    profiles = [{"cluster": 0, "name": "Dogs & Tea"}, {"cluster": 1, "name": "Dogs"}, {"cluster": 2, "name": "Tea"}]
    groups = {0: ["Dog_Food"] * 8 + ["Tea"] * 2, 1: ["Dog_Food"] * 7 + ["Tea"] * 3, 2: ["Dog_Food"]}
    told = judge_names(profiles, groups)
    assert (told["pure"], told["right"], told["wrong"]) == (2, 1, [["Dog_Food", "Tea"]])
