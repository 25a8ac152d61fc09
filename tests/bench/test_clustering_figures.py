"""The figures in docs/clustering.md are those of bench/results/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.bench import choose_k, consensus
from uicgpu.bench.clustering_tables import hdbscan_table, kmeans_table

ROOT = Path(__file__).resolve().parents[2]


TABLES = {
    "kmeans": kmeans_table,
    "hdbscan": hdbscan_table,
    "consensus": consensus.markdown_table,
    "choose_k": choose_k.markdown_table,
}


def measured(name):
    return json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_the_measured_figures(name):
    assert TABLES[name](measured(name)) in (ROOT / "docs" / "clustering.md").read_text(encoding="utf-8")


def test_what_the_page_says_of_known_groups():
    found = measured("choose_k")
    (name,) = (name for name, told in found["sets"].items() if told["groups"])
    assert choose_k.agreement_table(found, name) in (ROOT / "docs" / "clustering.md").read_text(encoding="utf-8")
    best = max(found["sets"][name]["grid"], key=lambda row: row["nmi"])
    assert best["k"] == found["sets"][name]["chosen"]


def test_what_the_page_says_of_the_consensus():
    """More agreement at 20 clusters and more, at an inertia that is no worse; not so at 5 or 6."""
    coarse = []
    for told in measured("consensus")["sets"].values():
        for k, ways in told["clusters"].items():
            steady, starts, plain = ways["consensus 20"], ways["20 starts"], ways["default"]
            if int(k) >= 20:
                for figure in ("ari_between_seeds", "ari_with_resamples"):
                    assert steady[figure] > max(plain[figure], starts[figure]) + 0.05
                assert steady["inertia"] <= plain["inertia"]
            else:
                coarse.append(steady["ari_with_resamples"] > plain["ari_with_resamples"])
    assert sorted(coarse) == [False, False, True]


@pytest.mark.parametrize("name", ["consensus", "choose_k"])
def test_no_place_of_a_machine_is_told(name):
    assert "/" not in json.dumps(measured(name))
