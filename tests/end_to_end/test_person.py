"""One user of a real run: the profile, its explanation, and what may be handed on."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import uicgpu as uic
from uicgpu.cli.main import call
from uicgpu.errors import InputError
from uicgpu.pipeline.person import profile_user


def test_a_profile_says_why(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["profile", str(finished), "--user", "u017", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    run = uic.open_run(finished)
    own = run.interactions.filter(pl.col("user_id") == "u017").join(run.items, on="item_id")
    titles = set(own["title"])
    assert {entry["title"] for entry in told["interests"]} <= titles
    assert {entry["title"] for entry in told["because"]} <= titles
    assert set(told["would_change"] or []) <= titles
    assert told["nearest_centre"] == told["cluster"] == run.users.filter(pl.col("user_id") == "u017")["cluster"][0]
    assert told["categories"][0]["category"] == told["name"].split(" ")[0].casefold().strip(",")
    assert len(told["recommendations"]) == 5
    assert call(["profile", str(finished), "--user", "u017"]) == 0
    assert "because of" in capsys.readouterr().out


def test_every_tenth_user_is_where_the_explanation_says(finished: Path) -> None:
    for row in uic.open_run(finished).users.gather_every(10).iter_rows(named=True):
        told = profile_user(finished, row["user_id"])
        assert told["nearest_centre"] == row["cluster"]
        assert 0 < sum(entry["importance"] for entry in told["interests"]) <= 1.001
        if told["would_change"] is not None:
            assert told["would_be"] != told["name"]


def test_an_unknown_user_is_an_error_that_does_not_repeat_the_id(finished: Path) -> None:
    with pytest.raises(InputError) as caught:
        profile_user(finished, "nobody@example.org")
    assert "nobody" not in str(caught.value)


def test_the_self_test_passes_and_the_export_is_clean(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UICGPU_KEY", str(tmp_path / "key"))
    assert call(["privacy", str(finished), "--quiet"]) == 0
    assert call(["export", str(finished), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    for path in (tmp_path / "out").iterdir():
        assert "u017" not in path.read_text(encoding="utf-8")
