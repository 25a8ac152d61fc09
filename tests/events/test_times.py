from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.events import times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(cells, dtype=pl.String):
    frame = pl.DataFrame({"t": pl.Series(cells, dtype=dtype)})
    kind = frame.schema["t"]
    counts = times.survey_plan(frame.lazy(), "t", kind).collect().row(0, named=True)
    if times.needs_detail(kind, counts):
        counts |= times.detail_plan(frame.lazy(), "t", kind).collect().row(0, named=True)
    form = times.form_of(kind, counts)
    prepared = frame.lazy().select(times.prepared("t", kind).alias("cell"))
    return times.microseconds(prepared, "cell", form, "us").collect()["us"].to_list(), form


def us(*parts, offset=0.0):
    moment = datetime(*parts, tzinfo=timezone(timedelta(hours=offset)))
    return (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2009-12-01", us(2009, 12, 1)),
        ("2009-12-01 07:45", us(2009, 12, 1, 7, 45)),
        ("2009-12-01T07:45:09", us(2009, 12, 1, 7, 45, 9)),
        ("2009-12-01 07:45:09.5", us(2009, 12, 1, 7, 45, 9, 500_000)),
        ("2009-12-01T07:45:09.123456789Z", us(2009, 12, 1, 7, 45, 9, 123_457)),
        ("2009-12-01T07:45:09,25+05:30", us(2009, 12, 1, 7, 45, 9, 250_000, offset=5.5)),
        ("2009-12-01 07:45:09 -0330", us(2009, 12, 1, 7, 45, 9, offset=-3.5)),
        ("2009-12-01T07:45+01", us(2009, 12, 1, 7, 45, offset=1)),
        ("2009-12-01 07:45:09 UTC", us(2009, 12, 1, 7, 45, 9)),
        ("2016-12-31T23:59:60Z", us(2017, 1, 1)),
        ("1969-12-31 23:59:59", -1_000_000),
        ("1900-01-01", times.EARLIEST_US),
        ("2010/1/5 8:03", us(2010, 1, 5, 8, 3)),
        ("2010-1-5", us(2010, 1, 5)),
        ("20101201", us(2010, 12, 1)),
        ("20101201083000", us(2010, 12, 1, 8, 30)),
        ("31/12/2010 8:26", us(2010, 12, 31, 8, 26)),
        ("12/31/2010 08:26:01", us(2010, 12, 31, 8, 26, 1)),
        ("31.12.2010", us(2010, 12, 31)),
    ],
)
def test_text_forms(cell, expected):
    assert parse([cell])[0] == [expected]


@pytest.mark.parametrize(
    "cell", ["yesterday", "2009-02-30", "2009-13-01", "2009-12-01 24:00", "2009-12-01 10:61", "12:30"]
)
def test_what_is_no_time(cell):
    assert parse([cell, "2009-12-01"])[0] == [None, us(2009, 12, 1)]


@pytest.mark.parametrize("cell", ["", "nan", "NaT", "null", None])
def test_what_is_missing(cell):
    assert parse([cell, "2009-12-01"])[0][0] is None


@pytest.mark.parametrize(
    ("unit", "cells", "expected"),
    [
        ("s", ["1260759144", "-86400", "0", "1260759144.25", "1.5e9"], [1260759144, -86400, 0, 1260759144.25, 1.5e9]),
        ("ms", ["1586445693499", "0", "1586445693499.5"], [1586445693.499, 0, 1586445693.4995]),
        ("us", ["1586445693499123", "1586445693499124"], [1586445693.499123, 1586445693.499124]),
        ("ns", ["1586445693499123999", "1586445693499124000"], [1586445693.499123, 1586445693.499124]),
    ],
)
def test_epoch_numbers_have_one_unit_per_file(unit, cells, expected):
    parsed, form = parse(cells)
    assert form.unit == unit
    assert parsed == [round(value * 1e6) for value in expected]


def test_most_numbers_decide_the_unit():
    parsed, form = parse(["1260759144"] * 3 + ["1260759144000"])
    assert form.unit == "s"
    assert parsed[3] > times.LATEST_US


def test_numbers_and_text_in_one_column():
    assert parse(["1260759144", "2009-12-01", "x"])[0] == [1_260_759_144_000_000, us(2009, 12, 1), None]


def test_day_and_month_must_be_told_apart():
    assert parse(["1/12/2010", "13/12/2010"])[0] == [us(2010, 12, 1), us(2010, 12, 13)]
    assert parse(["1/12/2010", "12/13/2010"])[0] == [us(2010, 1, 12), us(2010, 12, 13)]
    assert parse(["1/12/2010", "2/11/2010"])[0] == [None, None]
    assert parse(["13/1/2010", "1/13/2010"])[0] == [None, None]


def test_out_of_range_is_beyond_the_bounds_and_does_not_overflow():
    early, late, far, huge = parse(["1899-12-31", "2200-01-02", "9999-12-31 23:59:59", "2009-12-01"])[0]
    assert early == times.EARLIEST_US - 1
    assert late == far == times.LATEST_US + 1
    assert huge == us(2009, 12, 1)
    assert parse(["1260759144", "9e18", "-9e18", "1260759144"])[0][1:3] == [times.LATEST_US + 1, times.EARLIEST_US - 1]
    assert parse(["inf", "-inf", "1260759144"])[0][:2] == [None, None]


def test_database_times():
    assert parse([datetime(2010, 1, 1, 5), None], pl.Datetime("ns"))[0] == [us(2010, 1, 1, 5), None]
    assert parse([datetime(2010, 1, 1, 5)], pl.Datetime("ms"))[0] == [us(2010, 1, 1, 5)]
    assert parse([date(2010, 1, 1)], pl.Date)[0] == [us(2010, 1, 1)]
    zoned = pl.Series([datetime(2010, 1, 1, 5)], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo")
    frame = pl.DataFrame({"t": zoned})
    assert frame.select(times.prepared("t", frame.schema["t"]))["t"].to_list() == [us(2010, 1, 1, 5)]
    assert parse([1260759144, -1], pl.Int32)[0] == [1_260_759_144_000_000, -1_000_000]
    assert parse([1260759144.25, float("nan")], pl.Float64)[0] == [1_260_759_144_250_000, None]


@settings(max_examples=50, deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)), st.integers(-14 * 60, 14 * 60))
def test_iso_text_agrees_with_the_standard_library(moment, minutes):
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (zoned - EPOCH) // timedelta(microseconds=1)
    plain = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    parsed, _ = parse([zoned.isoformat(), moment.isoformat(sep=" "), moment.isoformat() + "Z"])
    clipped = min(max(expected, times.EARLIEST_US - 1), times.LATEST_US + 1)
    assert parsed == [clipped, plain, plain]
