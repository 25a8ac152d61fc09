"""The figures in docs/encoder.md are those of the result files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uicgpu.bench.encode_table import facts_table, profile_line, speed_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("encode", speed_table),
        ("encode", facts_table),
        ("encode", profile_line),
        ("encode-amazon", speed_table),
        ("encode-amazon", facts_table),
    ],
)
def test_the_page_shows_the_measured_figures(name, part):
    result = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert part(result) in (ROOT / "docs" / "encoder.md").read_text(encoding="utf-8")


def test_the_page_shows_the_wall_clock_time():
    result = json.loads((ROOT / "bench" / "results" / "encode-wall.json").read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs" / "encoder.md").read_text(encoding="utf-8").split())
    for figures in result["wall_time_2_threads"].values():
        told = f"{figures['median_seconds']:.1f} s"
        if figures["times_reference"] != 1:
            assert f"({figures['times_reference']:.2f} x)" in page
        assert told in page
