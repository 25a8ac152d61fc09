"""Refused rows as a table with words, and the errors for data that is refused as a whole."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events import rules as plan
from uicgpu.events.canonical import FILE, ORDER, TIME_TEXT, VALUE_TEXT
from uicgpu.events.columns import EventColumns
from uicgpu.events.forms import first_line, time_shown
from uicgpu.events.read import Table, damaged_parquet
from uicgpu.events.staging import REJECTED_SCHEMA, SAMPLE_CHARACTERS, rejected_frame
from uicgpu.events.times import FORMATS
from uicgpu.vocabulary import Column

MOST_UNREADABLE: Final = 0.5
"""Share of unreadable times in a file above which the column is not a time column."""
CELL_SHOWN: Final = 60
"""Characters of a cell in the sample of a refused row."""


def rejected_rows(refused: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return refused lines of the files and refused rows of the plan: source, row, reason, sample; by file and row."""
    shown = [Column.USER, Column.ITEM, TIME_TEXT, Column.KIND, VALUE_TEXT]
    names = ("user", "item", "time", "kind", "value")
    cells = [
        pl.when(pl.col(column).is_not_null())
        .then(pl.concat_str([pl.lit(f"{name}="), pl.col(column).str.head(CELL_SHOWN)]))
        .otherwise(None)
        for column, name in zip(shown, names, strict=True)
    ]
    words = {int(reason): word for reason, word in plan.REASON_WORDS.items()}
    sources = dict(enumerate(file.source for file in table.files))
    rows = refused.select(
        pl.col(FILE),
        pl.col(Column.ROW).cast(pl.Int64),
        pl.col(plan.REASON_CODE).replace_strict(words, return_dtype=pl.String).alias(Column.REASON),
        pl.concat_str(cells, separator=", ", ignore_nulls=True).str.head(SAMPLE_CHARACTERS * 2).alias(Column.SAMPLE),
        pl.col(ORDER),
    )
    numbers = {file.source: number for number, file in enumerate(table.files)}
    lines = table.rejected.with_columns(
        pl.col(Column.SOURCE).replace_strict(numbers, return_dtype=pl.Int32).alias(FILE),
        pl.lit(-1, pl.Int64).alias(ORDER),
    ).select(rows.columns)
    both = pl.concat([lines, rows]) if lines.height else rows
    ordered = both.sort(FILE, Column.ROW, ORDER)
    if ordered.is_empty():
        return rejected_frame()
    return ordered.with_columns(
        pl.col(FILE).replace_strict(sources, return_dtype=pl.String).alias(Column.SOURCE)
    ).select(list(REJECTED_SCHEMA))


def check_times(refused: pl.DataFrame, table: Table, columns: EventColumns) -> None:
    """Refuse a time column that is mostly unreadable: it is another column, or another form."""
    if columns.time is None:
        return
    reason = pl.col(plan.REASON_CODE)
    counts = refused.group_by(FILE).agg(
        (reason == plan.Reason.UNREADABLE_TIME).sum().alias("unreadable"),
        (reason < plan.Reason.UNREADABLE_TIME).sum().alias("before"),
    )
    for number, unreadable, before in sorted(counts.rows()):
        file = table.files[number]
        if unreadable <= MOST_UNREADABLE * (file.rows - before):
            continue
        bad = refused.filter((pl.col(FILE) == number) & (reason == plan.Reason.UNREADABLE_TIME))
        samples = ", ".join(repr(time_shown(text)) for text in bad[TIME_TEXT].head(3).to_list())
        fix = f"name the right column with --time-column; understood: {FORMATS}"
        raise InputError(
            f"{unreadable} of {file.rows} times cannot be read, such as {samples}",
            where=f"{file.source}, row {bad[Column.ROW][0]}, column {columns.time}",
            fix=fix,
        )


def refused_note(facts: dict[str, Any]) -> str | None:
    """One sentence on how many rows were refused and why; None where none was."""
    number = sum(facts["rejected"].values())
    return f"{number:,} of {facts['rows_read']:,} rows were refused ({_reasons(facts)})" if number else None


def nothing_left(facts: dict[str, Any], table: Table) -> InputError:
    """Return the error for data of which no event is left."""
    return InputError(
        f"no event is left of {facts['rows_read']} rows ({_reasons(facts)})",
        where=shown_sources(table),
        fix="check the columns chosen (--user-column, --item-column …), --min-value, --item-pattern, --kind-weights",
    )


def _reasons(facts: dict[str, Any]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in facts["rejected"].items())


def blame(table: Table, error: Exception) -> InputError:
    """Return the error for a plan that failed, naming the file that cannot be read."""
    for file in table.files:
        try:
            file.scan().select(pl.all().is_null().sum()).collect(engine="streaming")
        except pl.exceptions.PolarsError as inner:
            return damaged_parquet(file.source, inner)
    return InputError(
        f"the events cannot be cleaned: {first_line(error)}", where=shown_sources(table), fix="check the columns chosen"
    )


def shown_sources(table: Table) -> str:
    """Return the first three files' names."""
    names = [file.source for file in table.files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
