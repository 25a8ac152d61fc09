"""Tables leave the command line in the format of their suffix, and no cell becomes a formula."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from uicgpu.cli.tables import check_suffix, defuse_formulas, print_table, write_table
from uicgpu.errors import SettingsError

FRAME = pl.DataFrame({"user_id": ["=1+1", "b"], "item_id": ["-x", "@y"], "score": [-1.5, 2.0], "reason": [None, "\tz"]})


def test_only_text_cells_that_begin_like_a_formula_are_changed() -> None:
    assert defuse_formulas(FRAME).rows() == [("'=1+1", "'-x", -1.5, None), ("b", "'@y", 2.0, "'\tz")]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_formats_for_programs_keep_every_cell(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(path, FRAME)
    read = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ndjson(path)
    assert read.equals(FRAME)


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_formats_for_spreadsheets_are_defused(tmp_path: Path, suffix: str, separator: str) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(path, FRAME)
    assert pl.read_csv(path, separator=separator)["user_id"].to_list() == ["'=1+1", "b"]


def test_printing_gives_lines_or_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(FRAME, as_json=False)
    assert capsys.readouterr().out.splitlines()[0] == "user_id\titem_id\tscore\treason"
    print_table(FRAME, as_json=True)
    assert json.loads(capsys.readouterr().out)["rows"] == FRAME.to_dicts()


def test_an_unknown_suffix_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="xlsx"):
        check_suffix(tmp_path / "table.xlsx")
    with pytest.raises(SettingsError, match="folder"):
        (tmp_path / "a.csv").mkdir()
        check_suffix(tmp_path / "a.csv")
