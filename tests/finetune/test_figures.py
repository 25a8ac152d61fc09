"""The figures in the guide are those of the result file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.bench.train_tables import BEGIN, END, figures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results():
    return json.loads((ROOT / "bench" / "results" / "train.json").read_text(encoding="utf-8"))


def test_the_guide_quotes_the_result_file(results):
    guide = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
    assert BEGIN + figures(results) + END in guide


def weights_of(result) -> str:
    """The weights of the arm that ships, as the guards name them."""
    first = result["gate"]["chosen"].split(" + ")[0]
    return first if first in result["groups"] else "frozen"


def test_no_promise_is_broken(results):
    for name in ("films", "retail"):
        arms = results[name]["arms"]
        chosen = arms[results[name]["gate"]["chosen"]]
        assert arms["half-whitened"]["on_frozen"]["gain"] >= 10
        assert arms["head"]["on_frozen"]["gain"] >= 10
        assert chosen["on_frozen"]["gain"] >= 25
        assert chosen["on_half_whitened"]["low"] > 0
    for result in results.values():
        if "gate" in result:
            assert result["similarity"]["shipped"] >= result["similarity"]["base"] - 0.05
        if "structure" in result:  # judged with the guard that is to hold this
            groups = result["groups"]
            assert groups[weights_of(result)]["nmi"] >= groups["frozen"]["nmi"] - 0.02
    assert results["throughput"]["ratio"] >= 1.3
