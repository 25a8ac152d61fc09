"""The figures in docs/privacy.md are those of bench/results/privacy.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.bench.privacy import privacy_table, search_table, utility_table

ROOT = Path(__file__).resolve().parents[2]
RESULT = json.loads((ROOT / "bench" / "results" / "privacy.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", [privacy_table, search_table, utility_table])
def test_the_page_shows_the_measured_figures(table):
    assert table(RESULT) in (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")


def test_every_run_holds_the_bound():
    for told in RESULT["runs"].values():
        assert told["passed"] and told["bound"] == 1 / told["k_anonymity"]
        for attack in (*told["linkage"], *told["linkage_export"], *told["linkage_map"]):
            assert attack["success"] <= attack["worst"] <= told["bound"] + 1e-12


def test_no_place_of_a_machine_is_told():
    assert "/" not in json.dumps(RESULT)
