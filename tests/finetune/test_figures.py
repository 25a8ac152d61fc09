"""The figures in the guide are those of the result file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results():
    return json.loads((ROOT / "bench" / "results" / "train.json").read_text(encoding="utf-8"))


def quoted(gain) -> str:
    return f"{gain['gain']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}]"


@pytest.mark.parametrize("name", ["films", "retail", "anime", "films_lora"])
def test_the_guide_quotes_the_result_file(results, name):
    guide = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
    for arm, figures in results[name]["arms"].items():
        frozen = "" if arm == "frozen" else quoted(figures["on_frozen"])
        half = "" if arm == "half-whitened" else quoted(figures["on_half_whitened"])
        assert f"| {arm} | {figures['ndcg']:.4f} | {frozen} | {half} |" in guide
    for figures in results[name]["thirds"].values():
        assert f"{quoted(figures['on_frozen'])} | {quoted(figures['on_half_whitened'])} |" in guide


def test_the_guide_quotes_the_guards(results):
    guide = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
    for name in ("films", "retail", "anime", "films_lora"):
        trained = "lora" if name == "films_lora" else "full"
        groups, own = results[name]["groups"], results[name]["own_clusters"]
        assert f"{groups['frozen']['nmi']:.3f} ({groups['frozen']['sd']:.3f}) → {groups[trained]['nmi']:.3f}" in guide
        for figures in (groups["frozen"]["stability"], groups[trained]["stability"], own["frozen"], own[trained]):
            assert f"{figures['mean']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]" in guide


def test_no_promise_is_broken(results):
    for name in ("films", "retail"):
        arms = results[name]["arms"]
        chosen = arms[results[name]["gate"]["chosen"]]
        assert arms["half-whitened"]["on_frozen"]["gain"] >= 10
        assert arms["head"]["on_frozen"]["gain"] >= 10
        assert chosen["on_frozen"]["gain"] >= 25
        assert chosen["on_half_whitened"]["low"] > 0
        assert results[name]["groups"]["full"]["nmi"] >= results[name]["groups"]["frozen"]["nmi"] - 0.02
        assert results[name]["similarity"]["shipped"] >= results[name]["similarity"]["base"] - 0.05
    assert results["throughput"]["ratio"] >= 1.3
