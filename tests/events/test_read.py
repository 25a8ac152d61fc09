import errno
import gzip
import re

import polars as pl
import pytest

from uicgpu.errors import InputError, OutOfResourcesError
from uicgpu.events import read as module
from uicgpu.events.read import find_files, read_table

CSV = "user_id,item_id\n1,2\n"


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


@pytest.fixture
def folder(tmp_path):
    for name in ("b.csv", "a.parquet", "sub/c.jsonl.gz", "sub/d.TSV", "_x.csv", ".h.csv", "README.txt", "n.md"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CSV)
    return tmp_path / "data"


def test_a_folder_gives_its_tables_sorted(folder):
    assert names(find_files([str(folder)]), folder) == ["a.parquet", "b.csv", "sub/c.jsonl.gz", "sub/d.TSV"]


def test_globs_and_paths_are_merged_and_each_file_comes_once(folder):
    patterns = [str(folder / "b.csv"), str(folder / "*.csv"), str(folder / "**" / "*.TSV"), str(folder / "." / "b.csv")]
    assert names(find_files(patterns), folder) == ["_x.csv", "b.csv", "sub/d.TSV"]


def test_a_text_file_may_be_named_but_is_not_taken_from_a_folder(folder):
    assert names(find_files([str(folder / "README.txt")]), folder) == ["README.txt"]


def test_a_name_with_brackets_is_a_name(tmp_path):
    path = tmp_path / "events[1].csv"
    path.write_text(CSV)
    assert find_files([str(path)]) == [path]


@pytest.mark.parametrize(
    ("pattern", "message", "fix"),
    [
        ("data/b.cvs", "file not found", "did you mean .*b.csv"),
        ("nowhere/b.csv", "file not found", "folder .*nowhere does not exist"),
        ("data/*.orc", "no file matches", "check the pattern"),
        ("data/n.md", "unknown file format", "Parquet"),
        ("void", "no table in the folder", "formats: Parquet"),
    ],
)
def test_nothing_found_names_the_pattern_and_what_to_type(pattern, message, fix, folder, tmp_path):
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        find_files([str(tmp_path / pattern)])
    assert pattern.rsplit("/", 1)[-1] in str(caught.value)
    assert re.search(fix, caught.value.fix)


def test_equal_file_names_are_told_apart(tmp_path):
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "e.csv").write_text(CSV)
    table = read_table([str(tmp_path / "*" / "e.csv")], tmp_path / "scratch", "events")
    assert [file.source for file in table.files] == ["one/e.csv", "two/e.csv"]


def test_formats_meet_in_one_table(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b"user_id\titem_id\tx\n3\t4\t5\n"))
    (tmp_path / "c.jsonl").write_text(
        '{"item_id": 6, "user_id": 5}\nbad\n{"user_id": 7, "item_id": 8, "z": {"y": 1}}\n'
    )
    pl.DataFrame({"user_id": [9], "item_id": ["10"]}).write_parquet(tmp_path / "d.parquet")
    patterns = [str(tmp_path / name) for name in ("a.csv", "b.tsv.gz", "c.jsonl", "d.parquet")]
    table = read_table(patterns, tmp_path / "scratch", "events")
    assert table.columns == ("user_id", "item_id", "x", "z.y")
    assert table.source_rows == 6
    read = [
        row
        for file in table.files
        for row in file.scan().select("uicgpu.row", pl.col("user_id", "item_id").cast(pl.String)).collect().rows()
    ]
    assert read == [(1, "1", "2"), (1, "3", "4"), (1, "5", "6"), (3, "7", "8"), (1, "9", "10")]
    assert table.rejected["row"].to_list() == [2]
    assert [file.staged for file in table.files] == [True, True, True, False]
    assert not list((tmp_path / "scratch").glob("*.txt")), "plain copies are removed"


@pytest.mark.parametrize("keep", [0, 8, 40, -20, -4])
def test_a_truncated_parquet_file_is_named(keep, tmp_path):
    path = tmp_path / "whole.parquet"
    pl.DataFrame({"user_id": range(1000), "item_id": range(1000)}).write_parquet(path)
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"damaged or cut off|empty") as caught:
        read_table([str(tmp_path / "cut.parquet")], tmp_path / "scratch", "events")
    assert caught.value.where == "cut.parquet"


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    pl.DataFrame({"user_id": [], "item_id": []}).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="no rows"):
        read_table([str(tmp_path / "none.parquet")], tmp_path / "scratch", "events")


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, OutOfResourcesError), (errno.EACCES, InputError)])
def test_errors_of_the_disk_become_our_own(number, error, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text(CSV)

    def fail(*_):
        raise OSError(number, "injected")

    monkeypatch.setattr(module, "stage_delimited", fail)
    with pytest.raises(error):
        read_table([str(tmp_path / "a.csv")], tmp_path / "scratch", "events")
