import math

import polars as pl
import pytest

from uicgpu.events import cells


def ids(values, dtype=pl.String):
    frame = pl.DataFrame({"c": pl.Series(values, dtype=dtype)})
    text = frame.select(cells.text_of("c", frame.schema["c"]))
    return text.select(cells.id_of(pl.col("c")))["c"].to_list()


def test_text_ids():
    assert ids([" a ", "17850.0", "1.50", "-3.0", "v1.0", "a\x00b", "\u3000x\xa0"]) == [
        "a",
        "17850",
        "1.50",
        "-3",
        "v1.0",
        "ab",
        "x",
    ]


def test_what_counts_as_missing():
    assert ids(["", "  ", "nan", "NaN", "null", "NULL", "None", "<NA>", "\\N", None]) == [None] * 10
    assert ids(["NA", "0", "none?"]) == ["NA", "0", "none?"]


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
def test_whole_floats_are_whole(dtype):
    assert ids([17850.0, math.nan, None, -2.0, 1.5], dtype) == ["17850", None, None, "-2", "1.5"]


def test_large_numbers_keep_their_digits():
    assert ids([2**62 + 1], pl.Int64) == [str(2**62 + 1)]
    assert ids([2**64 - 1], pl.UInt64) == [str(2**64 - 1)]


def test_a_joined_id_needs_every_part():
    frame = pl.DataFrame({"a": ["u", "u", None], "b": ["1.0", "", "2"]})
    joined = frame.select(cells.joined_id([pl.col("a"), pl.col("b")]).alias("id"))
    assert joined["id"].to_list() == ["u|1", None, None]


def test_usable_numbers():
    frame = pl.DataFrame({"n": [0.0, -3.5, 1e39, -1e39, math.inf, -math.inf, math.nan, None]})
    usable = frame.select(cells.is_usable_number(pl.col("n")))["n"].to_list()
    assert usable == [True, True, False, False, False, False, False, False]
