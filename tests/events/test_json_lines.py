import polars as pl
import pytest

from uicgpu.errors import InputError
from uicgpu.events import json_lines
from uicgpu.events.json_lines import parse_line, stage_json_lines
from uicgpu.events.plain_text import plain_text
from uicgpu.events.staging import ROW_COLUMN


def staged(content, write, tmp_path):
    path = write(content, "t.jsonl")
    result = stage_json_lines(plain_text(path, path.name, tmp_path / "copy"), tmp_path / "staged" / "t")
    rows = pl.concat([pl.read_parquet(part) for part in result.parts], how="diagonal")
    return rows.select(pl.col(ROW_COLUMN).cast(pl.Int64), *result.columns).to_dicts(), result


def test_flat_lines_of_mixed_types_become_text(write, tmp_path):
    content = '{"a": 1, "b": "x"}\n\n{"a": "y", "b": true, "c": 2.5}\n{"a": 12345678901234567890, "b": null}\n'
    rows, result = staged(content, write, tmp_path)
    assert [list(row.values()) for row in rows] == [
        [1, "1", "x", None],
        [2, "y", "true", "2.5"],
        [3, "12345678901234567890", None, None],
    ]
    assert result.source_rows == 3


def test_bad_lines_are_refused_with_their_line(write, tmp_path):
    content = '{"a": 1}\nhello\n\n[1]\n{"a": 2}\n{"a": NaN}\n{"a": "\\ud800x"}\n'
    rows, result = staged(content, write, tmp_path)
    assert [row["a"] for row in rows] == ["1", "2", "NaN", "x"]
    assert result.rejected.rows() == [
        ("t.jsonl", 2, "not JSON", "line 2: hello"),
        ("t.jsonl", 3, "not a JSON object", "line 4: [1]"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1}]', "one JSON array"),
        ("\n \n", "only blank lines"),
        ("a,b\n1,2\n", "2 of 2 lines cannot be read"),
        ('x\ny\n{"a": 1}\n', "2 of 3 lines cannot be read"),
    ],
)
def test_the_wrong_format_is_an_error(content, message, write, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        staged(content, write, tmp_path)
    assert caught.value.where == "t.jsonl"


def test_a_line_with_lists_of_events_becomes_one_row_each():
    line = (
        '{"user_id": "u", "category": "Toys", "history": ['
        '{"parent_asin": "A", "rating": 4.0, "product": {"title": "Ä", "price": null}}, {"parent_asin": "B"}],'
        ' "heldout": {"parent_asin": "C", "rating": 5}}'
    )
    reason, rows = parse_line(line)
    assert reason == ""
    assert rows == [
        {
            "user_id": "u",
            "category": "Toys",
            "parent_asin": "A",
            "rating": "4.0",
            "product.title": "Ä",
            "product.price": None,
        },
        {"user_id": "u", "category": "Toys", "parent_asin": "B"},
        {"user_id": "u", "category": "Toys", "parent_asin": "C", "rating": "5"},
    ]


def test_a_name_used_by_an_event_moves_the_lines_own_value():
    _, rows = parse_line('{"user_id": 1, "category": "x", "events": [{"item_id": 1, "category": "y"}, {"item_id": 2}]}')
    assert rows == [
        {"user_id": "1", "line.category": "x", "item_id": "1", "category": "y"},
        {"user_id": "1", "line.category": "x", "item_id": "2"},
    ]


def test_a_line_with_its_own_item_is_one_row():
    _, rows = parse_line(
        '{"asin": "A", "categories": ["Toys", null, "Cars"], "bought": [{"asin": "B"}], "n": {"m": 1}}'
    )
    assert rows == [{"asin": "A", "categories": "Toys|Cars", "n.m": "1"}]


def test_numbers_keep_their_digits():
    _, rows = parse_line('{"a": 100000000000000000001, "b": 1.10, "c": [1.50], "d": -0.0}')
    assert rows == [{"a": "100000000000000000001", "b": "1.10", "c": "1.50", "d": "-0.0"}]


def test_very_deep_lines_are_refused_or_cut():
    assert parse_line("[" * 100_000)[0] in ("not JSON", "not a JSON object")
    _, rows = parse_line('{"a": ' * 20 + "1" + "}" * 20)
    assert rows == [{}]


def test_columns_that_appear_late(write, tmp_path, monkeypatch):
    monkeypatch.setattr("uicgpu.events.staging.PART_ROWS", 1)
    rows, result = staged('{"a": 1, "l": [1]}\n{"b": 2}\n', write, tmp_path)
    assert result.columns == ("a", "l", "b")
    assert [row["b"] for row in rows] == [None, "2"]


def test_a_list_among_plain_values_is_opened(write, tmp_path):
    rows, _ = staged('{"a": 1}\n{"a": [2, 3]}\n{"a": "[DVD] x"}\n', write, tmp_path)
    assert [row["a"] for row in rows] == ["1", "2|3", "[DVD] x"]


def test_a_line_beyond_the_limit_is_refused(write, tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 50)
    rows, result = staged('{"a": 1}\n{"a": "' + "x" * 99 + '"}\n{"a": [2]}\n{"a": 3}\n', write, tmp_path)
    assert [row["a"] for row in rows] == ["1", "2", "3"]
    assert result.rejected["reason"].to_list() == ["line too long"]
