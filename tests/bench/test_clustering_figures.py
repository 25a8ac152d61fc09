"""The figures in docs/clustering.md are those of bench/results/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.bench.clustering_tables import hdbscan_table, kmeans_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "table"), [("kmeans", kmeans_table), ("hdbscan", hdbscan_table)])
def test_the_page_shows_the_measured_figures(name, table):
    result = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert table(result) in (ROOT / "docs" / "clustering.md").read_text(encoding="utf-8")
