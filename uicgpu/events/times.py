"""Time columns of any usual form as microseconds since 1970-01-01 UTC.

Understood: dates and times of the database (Parquet); epoch numbers in seconds, milliseconds, microseconds or
nanoseconds, with or without a fraction, also negative; ISO 8601 text with ``T`` or a space, with or without seconds,
fraction, ``Z`` or offset; dates alone; ``2010/12/01``; ``20101201`` and ``20101201083000``; ``31/12/2010 8:26`` and
``12/31/2010 8:26`` where the file itself shows which part is the day. Text without an offset is UTC.

The unit of epoch numbers is one per file, told by the magnitude of most of its numbers. Parsing works on fixed slices
of the text and casts, which the cuDF engine runs as well; a fraction is rounded to the nearest microsecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from uicgpu.events.cells import MISSING_ID, known_text

FORMATS: Final = (
    "ISO text (2024-05-31, 2024-05-31 08:26:00, 2024-05-31T08:26:00.5+02:00), epoch seconds, milliseconds, "
    "microseconds or nanoseconds, 20240531, 31/05/2024 8:26"
)
EARLIEST_US: Final = -2_208_988_800_000_000
"""1900-01-01."""
LATEST_US: Final = 7_258_118_400_000_000
"""2200-01-01."""
US_PER_UNIT: Final = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_BELOW: Final = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""Absolute value under which an epoch number is of this unit: 1e11 s is the year 5138, 1e11 ms is 1973."""

_ISO: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?(Z|z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?))?)?$"
)
_PLAIN_ISO: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?Z?)?$"
_DETAIL: Final = ("date8", "date14", "year_last", "year_first", "day_first", "day_second", "offsets")
_OFFSET: Final = r":[0-9]{2}([.,][0-9]+)? ?[+-][0-9]{2}(:?[0-9]{2})?$"
_YEAR_FIRST: Final = r"^[0-9]{4}[/.-][0-9]{1,2}[/.-][0-9]{1,2}([Tt ]|$)"
_YEAR_LAST: Final = r"^[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{4}([Tt ]|$)"
_DAY_FIRST: Final = r"^(1[3-9]|2[0-9]|3[01])[/.-][0-9]{1,2}[/.-][0-9]{4}"
_DAY_SECOND: Final = r"^[0-9]{1,2}[/.-](1[3-9]|2[0-9]|3[01])[/.-][0-9]{4}"
_DATE_8: Final = r"^(19|20|21)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$"
_DATE_14: Final = r"^(19|20|21)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]$"


@dataclass(frozen=True)
class TimeForm:
    """What a file's time column holds, as a survey of all its cells showed it.

    Attributes
    ----------
    unit
        Unit of epoch numbers: ``s``, ``ms``, ``us``, ``ns``; ``date`` for database dates and times; ``text`` when the
        column holds no epoch numbers.
    day
        Which part of ``1/2/2010`` is the day: ``first``, ``second``, or ``unknown``.
    compact, slashed, offsets, numbers, texts
        Whether such cells occur; what does not occur is not parsed.
    """

    unit: str = "text"
    day: str = "unknown"
    compact: bool = False
    slashed: bool = False
    offsets: bool = False
    numbers: bool = False
    texts: bool = False


def prepared(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return the column as :func:`microseconds` takes it: database times as int64 microseconds, the rest as text."""
    if dtype.is_temporal():
        return _clipped(pl.col(column).cast(pl.Datetime("us")).cast(pl.Int64))
    return known_text(column, dtype, MISSING_ID)


def survey_plan(rows: pl.LazyFrame, column: str, dtype: pl.DataType) -> pl.LazyFrame:
    """Return the one-row plan of counts from which :func:`form_of` tells the form of a time column."""
    if dtype.is_temporal():
        # not pl.len(): cuDF 26.06 refuses a plan that reads no column
        return rows.select(pl.col(column).is_null().count().alias("cells"))
    cell, number, size = pl.col("cell"), pl.col("number"), pl.col("size")
    # In steps, because the engine would evaluate a shared expression once per count.
    texts = rows.select(known_text(column, dtype, MISSING_ID).alias("cell"))
    numbers = texts.with_columns(cell.cast(pl.Float64, strict=False).alias("read")).with_columns(
        pl.when(pl.col("read").is_finite()).then(pl.col("read")).alias("number")
    )
    sized = numbers.with_columns(
        pl.when(number < 0).then(-number).otherwise(number).alias("size"),
        # Cheap bounds here; whether such a number is a date is checked by detail_plan.
        ((number >= 19_000_101) & (number <= 21_991_231)).alias("like_date8"),
        ((number >= 19_000_101_000_000) & (number <= 21_991_231_235_959)).alias("like_date14"),
        (number.is_null() & cell.str.contains(_PLAIN_ISO)).alias("plain_iso"),
    )
    return sized.select(
        _count(cell.is_not_null(), "cells"),
        _count(number.is_not_null(), "numbers"),
        _count(size < _BELOW["s"], "s"),
        _count((size >= _BELOW["s"]) & (size < _BELOW["ms"]), "ms"),
        _count((size >= _BELOW["ms"]) & (size < _BELOW["us"]), "us"),
        _count(size >= _BELOW["us"], "ns"),
        *(_count(pl.col(name), name) for name in ("like_date8", "like_date14", "plain_iso")),
    )


def needs_detail(dtype: pl.DataType, counts: dict[str, Any]) -> bool:
    """Whether a file holds time cells that are neither epoch numbers nor ISO text without an offset."""
    if dtype.is_temporal():
        return False
    like_dates = counts["like_date8"] + counts["like_date14"]
    return bool(like_dates) or counts["numbers"] + counts["plain_iso"] < counts["cells"]


def detail_plan(rows: pl.LazyFrame, column: str, dtype: pl.DataType) -> pl.LazyFrame:
    """Return the one-row plan of counts that tell the rarer forms apart."""
    cell = pl.col("cell")
    return rows.select(known_text(column, dtype, MISSING_ID).alias("cell")).select(
        _count(cell.str.contains(_DATE_8), "date8"),
        _count(cell.str.contains(_DATE_14), "date14"),
        _count(cell.str.contains(_YEAR_LAST), "year_last"),
        _count(cell.str.contains(_YEAR_FIRST) & ~cell.str.contains(_ISO), "year_first"),
        _count(cell.str.contains(_DAY_FIRST), "day_first"),
        _count(cell.str.contains(_DAY_SECOND), "day_second"),
        _count(cell.str.contains(_OFFSET), "offsets"),
    )


def _count(condition: pl.Expr, name: str) -> pl.Expr:
    return condition.fill_null(False).cast(pl.Int64).sum().alias(name)


def form_of(dtype: pl.DataType, counts: dict[str, Any]) -> TimeForm:
    """Tell the form of a time column from the counts of :func:`survey_of` and, where needed, :func:`detail_of`.

    Ties between units go to the coarser one. Numbers such as 20101201 are dates when nine in ten look so.
    """
    if dtype.is_temporal():
        return TimeForm(unit="date")
    counts = {**dict.fromkeys(_DETAIL, 0), **counts}
    numbers = counts["numbers"]
    if numbers and counts["date8"] + counts["date14"] >= 0.9 * numbers:
        return TimeForm(
            compact=True,
            slashed=bool(counts["year_last"] or counts["year_first"]),
            day=_day_of(counts),
            offsets=bool(counts["offsets"]),
            texts=True,
        )
    unit = max(US_PER_UNIT, key=lambda name: counts[name]) if numbers else "text"
    return TimeForm(
        unit=unit,
        day=_day_of(counts),
        slashed=bool(counts["year_last"] or counts["year_first"]),
        offsets=bool(counts["offsets"]),
        numbers=bool(numbers),
        texts=counts["cells"] > numbers,
    )


def _day_of(counts: dict[str, Any]) -> str:
    if counts["day_first"] and not counts["day_second"]:
        return "first"
    return "second" if counts["day_second"] and not counts["day_first"] else "unknown"


def microseconds(rows: pl.LazyFrame, source: str, form: TimeForm, target: str) -> pl.LazyFrame:
    """Add int64 microseconds as ``target``, read from what :func:`prepared` made of the column; null where unreadable.

    Times before 1900 or after 2200 come back outside :data:`EARLIEST_US` .. :data:`LATEST_US`, clipped to one
    microsecond beyond, so that nothing overflows.
    """
    cell = pl.col(source)
    if form.unit == "date":
        return rows.with_columns(cell.alias(target))
    parsed: list[str] = []
    if form.numbers:
        rows = rows.with_columns(
            cell.cast(pl.Float64, strict=False).alias("epoch"), cell.cast(pl.Int64, strict=False).alias("whole_epoch")
        ).with_columns(_epoch(form.unit).alias("time_of_number"))
        parsed.append("time_of_number")
    if form.texts:
        rows = rows.with_columns(_as_iso(cell, form).alias("iso"))
        rows = rows.with_columns(_iso(pl.col("iso"), offsets=form.offsets).alias("time_of_text"))
        rows = rows.with_columns(_clipped(pl.col("time_of_text")).alias("time_of_text"))
        parsed.append("time_of_text")
    if not parsed:
        return rows.with_columns(pl.lit(None, pl.Int64).alias(target))
    time = pl.col(parsed[0]) if len(parsed) == 1 else pl.col(parsed[0]).fill_null(pl.col(parsed[1]))
    return rows.with_columns(time.alias(target))


def _clipped(time: pl.Expr) -> pl.Expr:
    low, high = EARLIEST_US - 1, LATEST_US + 1
    # not clip(): cuDF 26.06 does not have it
    inside = (time >= low) & (time <= high)
    return pl.when(inside).then(time).when(time < low).then(low).when(time > high).then(high)


def _epoch(unit: str) -> pl.Expr:
    scale = US_PER_UNIT[unit]
    number, whole = pl.col("epoch"), pl.col("whole_epoch")
    exact = whole // 1000 if unit == "ns" else whole * int(scale)
    rounded = (number * scale + 0.5).floor()
    inside = (rounded >= EARLIEST_US) & (rounded <= LATEST_US)
    # Infinite and NaN are no times; comparisons with NaN differ between engines, so they are left out first.
    return pl.when(number.is_finite()).then(
        pl.when(inside & whole.is_not_null())
        .then(exact)
        .when(inside)
        .then(rounded.cast(pl.Int64, strict=False))
        .when(rounded < EARLIEST_US)
        .then(EARLIEST_US - 1)
        .otherwise(LATEST_US + 1)
    )


def _as_iso(cell: pl.Expr, form: TimeForm) -> pl.Expr:
    """Rewrite the other text forms as ISO; leave alone what fits none."""
    if form.compact:
        day = pl.concat_str(
            [cell.str.slice(0, 4), cell.str.slice(4, 2), cell.str.slice(6, 2)],
            separator="-",
        )
        clock = pl.concat_str([cell.str.slice(8, 2), cell.str.slice(10, 2), cell.str.slice(12, 2)], separator=":")
        cell = (
            pl.when(cell.str.contains(_DATE_8))
            .then(day)
            .when(cell.str.contains(_DATE_14))
            .then(pl.concat_str([day, clock], separator=" "))
            .otherwise(cell)
        )
    if not form.slashed:
        return cell
    year_first = _padded(_padded(cell, 5), 8)
    year_first = _iso_text(year_first.str.slice(0, 4), year_first.str.slice(5, 2), year_first.str.slice(8))
    rewritten = pl.when(cell.str.contains(_YEAR_FIRST)).then(year_first)
    if form.day != "unknown":
        fixed = _padded(_padded(cell, 0), 3)
        day_at, month_at = (0, 3) if form.day == "first" else (3, 0)
        rest = pl.concat_str([fixed.str.slice(day_at, 2), fixed.str.slice(10)])
        year_last = _iso_text(fixed.str.slice(6, 4), fixed.str.slice(month_at, 2), rest)
        return rewritten.when(cell.str.contains(_YEAR_LAST)).then(year_last).otherwise(cell)
    return rewritten.otherwise(cell)


def _padded(cell: pl.Expr, start: int) -> pl.Expr:
    """Write the number at ``start`` with two digits."""
    rest = cell.str.slice(start)
    short = rest.str.contains(r"^[0-9]([^0-9]|$)")
    return pl.when(short).then(pl.concat_str([cell.str.slice(0, start), pl.lit("0"), rest])).otherwise(cell)


def _iso_text(year: pl.Expr, month: pl.Expr, day_and_clock: pl.Expr) -> pl.Expr:
    return _padded(pl.concat_str([year, month, day_and_clock], separator="-"), 11)


def _iso(cell: pl.Expr, *, offsets: bool) -> pl.Expr:
    day = cell.str.slice(0, 10).str.to_datetime("%Y-%m-%d", time_unit="us", strict=False, cache=False).cast(pl.Int64)
    hour = cell.str.slice(11, 2).cast(pl.Int64, strict=False).fill_null(0)
    minute = cell.str.slice(14, 2).cast(pl.Int64, strict=False).fill_null(0)
    tail = cell.str.slice(16).str.strip_chars_end("ZzUTCGM ")
    shift: pl.Expr = pl.lit(0, pl.Int64)
    if offsets:
        has_offset = tail.str.contains(r"[+-]")
        digits = tail.str.replace_all(":", "", literal=True)
        sign = pl.when(tail.str.contains("+", literal=True)).then(1).otherwise(-1)
        long = digits.str.contains(r"[+-][0-9]{4}$")
        hours = pl.when(long).then(digits.str.slice(-4, 2)).otherwise(digits.str.slice(-2, 2))
        minutes = pl.when(long).then(digits.str.slice(-2, 2)).otherwise(pl.lit("0"))
        seconds_east = hours.cast(pl.Int64, strict=False) * 3600 + minutes.cast(pl.Int64, strict=False) * 60
        shift = pl.when(has_offset).then(sign * seconds_east).otherwise(0)
        before = tail.str.strip_chars_end("0123456789:").str.strip_chars_end("+- ")
        tail = pl.when(has_offset).then(before).otherwise(tail)
    second = (
        tail.str.strip_chars_start(":")
        .str.replace_all(",", ".", literal=True)
        .cast(pl.Float64, strict=False)
        .fill_null(0.0)
    )
    clock = (hour * 3600 + minute * 60 - shift) * 1_000_000 + (second * 1e6 + 0.5).floor().cast(pl.Int64, strict=False)
    legal = cell.str.contains(_ISO) & (hour < 24) & (minute < 60) & (second < 61)
    return pl.when(legal).then(day + clock).otherwise(None)
