import csv
import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.errors import InputError
from uicgpu.events import delimited
from uicgpu.events.delimited import sniff, stage_delimited
from uicgpu.events.forms import form_of
from uicgpu.events.plain_text import plain_text
from uicgpu.events.staging import ROW_COLUMN


def staged(path, tmp_path):
    plain = plain_text(path, path.name, tmp_path / "copy.txt")
    result = stage_delimited(plain, tmp_path / "staged" / "t")
    rows = pl.concat([pl.read_parquet(part) for part in result.parts], how="diagonal")
    return rows.select(ROW_COLUMN, *result.columns).rows(), result


def cells(content, write, tmp_path, name="t.csv"):
    return staged(write(content, name), tmp_path)[0]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_each_delimiter_is_found(delimiter, write, tmp_path):
    content = f"user{delimiter}item{delimiter}text\n1{delimiter}2{delimiter}a b: c\n"
    assert cells(content, write, tmp_path) == [(1, "1", "2", "a b: c")]


def test_the_delimiter_is_the_one_that_fits_most_lines(write, tmp_path):
    content = "movieId,title,genres\n" + "".join(f"{n},Film {n},A|B|C\n" for n in range(9))
    assert cells(content, write, tmp_path)[0] == (1, "0", "Film 0", "A|B|C")
    assert cells("a;b\n1;2,5\n2;3,5\n", write, tmp_path)[1] == (2, "2", "3,5")


@pytest.mark.parametrize("content", ["user_id\n1\n", "user::item\n1::2\n", "user item\n1 2\n"])
def test_a_single_column_is_a_wrong_delimiter(content, write, tmp_path):
    with pytest.raises(InputError, match="only one column found") as caught:
        cells(content, write, tmp_path)
    assert caught.value.where == "t.csv, line 1"
    assert repr(form_of(content.splitlines()[0])) in caught.value.message


@pytest.mark.parametrize("content", ["a,b\n", "a,b", "a,b\n\n\n"])
def test_a_header_alone_is_refused(content, write, tmp_path):
    with pytest.raises(InputError, match="a header and no rows"):
        cells(content, write, tmp_path)


def test_blank_lines_alone_are_an_empty_file(write, tmp_path):
    with pytest.raises(InputError, match="only blank lines"):
        cells("\n\r\n", write, tmp_path)


def test_a_first_line_of_data_is_not_a_header(write, tmp_path):
    with pytest.raises(InputError, match="holds data, not column names"):
        cells("196\t242\t3\n186\t302\t3\n", write, tmp_path)


def test_line_ends_quotes_and_blank_lines(write, tmp_path):
    content = 'a,b\r\n1,"x, y"\r\n\r\n2,"two\r\nlines"\r\n3,"say ""hi"""'
    assert cells(content, write, tmp_path) == [(1, "1", "x, y"), (2, "2", "two\r\nlines"), (3, "3", 'say "hi"')]


def test_a_byte_order_mark_and_blank_lines_before_the_header(write, tmp_path):
    assert cells(b"\xef\xbb\xbfa,b\n1,2\n", write, tmp_path) == [(1, "1", "2")]
    assert cells("\n\na,b\n1,2\n", write, tmp_path) == [(1, "1", "2")]


def test_names_are_folded_and_made_unique(write, tmp_path):
    _, result = staged(write('a,a,,"q\n r"\n1,2,3,4\n'), tmp_path)
    assert result.columns == ("a", "a_2", "column_3", "q r")


def test_empty_cells_are_null_and_rows_of_empty_cells_stay(write, tmp_path):
    content = 'a,b,c\n1,2,\n,,\n3,"x,y",\n'
    assert cells(content, write, tmp_path) == [(1, "1", "2", None), (2, None, None, None), (3, "3", "x,y", None)]


@pytest.mark.parametrize("bad", ["4,5", "4,5,6,7"])
def test_ragged_lines_are_refused_with_their_line(bad, write, tmp_path):
    rows, result = staged(write(f"a,b,c\n1,2,3\n{bad}\n\n7,8,9\n"), tmp_path)
    assert rows == [(1, "1", "2", "3"), (3, "7", "8", "9")]
    assert result.rejected.rows() == [("events.csv", 2, "wrong number of fields", f"line 3: {bad}")]
    assert (result.rows, result.source_rows) == (2, 3)


def test_short_lines_are_seen_among_lines_that_end_with_empty_cells(write, tmp_path):
    rows, result = staged(write("a,b,c\n1,2,\n4,5\n6,,\n7,8,\n"), tmp_path)
    assert [row[0] for row in rows] == [1, 3, 4]
    assert result.rejected["row"].to_list() == [2]


def test_quotes_inside_a_field_are_letters(write, tmp_path):
    content = 'a,b,c\n1,RECORD FRAME 7" SINGLE,3\n4,BOX 8" BLUE,6\n'
    assert cells(content, write, tmp_path) == [(1, "1", 'RECORD FRAME 7" SINGLE', "3"), (2, "4", 'BOX 8" BLUE', "6")]


def test_a_quote_that_never_closes_costs_one_line(write, tmp_path):
    rows, result = staged(write('a,b,c\n1,"x,3\n4,z,6\n5,6,7\n'), tmp_path)
    assert [row[1:] for row in rows] == [("4", "z", "6"), ("5", "6", "7")]
    assert result.rejected.rows() == [("events.csv", 1, "unclosed quote", 'line 2: 1,"x,3')]


def test_a_runaway_quote_is_stopped(write, tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "RECORD_LINES", 5)
    content = 'a,b\n0,"x\n' + "".join(f"{n},y\n" for n in range(1, 40)) + '40,"z"\n'
    rows, result = staged(write(content), tmp_path)
    assert [row[1] for row in rows] == [str(n) for n in range(1, 41)]
    assert result.rejected["reason"].to_list() == ["unclosed quote"]


def test_a_file_of_mostly_bad_lines_is_the_wrong_format(write, tmp_path):
    with pytest.raises(InputError, match="2 of 3 lines cannot be read") as caught:
        cells("a,b\n1,2,3\n4,5,6\n7,8\n", write, tmp_path)
    assert "line 2, like '9,9,9'" in caught.value.message


def test_a_cell_of_over_a_megabyte_is_text(write, tmp_path):
    long = "x" * 1_200_000
    for content in (f"a,b\n1,{long}\n2,y\n", f"a,b\n1,{long}\n2,y\n3,4,5\n"):
        rows = cells(content, write, tmp_path)
        assert rows[0] == (1, "1", long)


def test_parts_are_bounded(write, tmp_path, monkeypatch):
    monkeypatch.setattr("uicgpu.events.staging.PART_ROWS", 2)
    rows, result = staged(write("a,b\n" + "1,2\n" * 5 + "1,2,3\n"), tmp_path)
    assert len(result.parts) == 3
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5]


CELL = st.text(st.sampled_from('ab ,;"\n|é漢'), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8))
def test_fast_and_slow_path_read_the_same(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("paths")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["first", "second", "third"])
    writer.writerows(rows)
    path = folder / "t.csv"
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    plain = plain_text(path, "t.csv", folder / "copy.txt")
    dialect = sniff(plain)
    if dialect.delimiter != ",":
        return
    fast = delimited._fast(plain, dialect, folder / "fast")
    slow = delimited._slow(plain, dialect, folder / "slow")
    assert fast is not None
    read = [
        pl.concat([pl.read_parquet(part) for part in result.parts]).select(ROW_COLUMN, *result.columns).rows()
        for result in (fast, slow)
    ]
    assert read[0] == read[1] == [(n, *(cell or None for cell in row)) for n, row in enumerate(rows, 1)]
