"""Item and user tables in memory: the chosen columns as text, bad and repeated ids set apart.

Such tables are small next to the events, so they are read eagerly on the CPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events import cells
from uicgpu.events.read import Table, TableFile, damaged_parquet, read_table
from uicgpu.events.rules import LONGEST_ID
from uicgpu.events.staging import REJECTED_SCHEMA, ROW_COLUMN, SAMPLE_CHARACTERS, rejected_frame
from uicgpu.vocabulary import Column

ID: Final = "uicgpu.id"
FILE: Final = "uicgpu.file"


@dataclass(frozen=True)
class IdTable:
    """Rows of a table with one row per id.

    Attributes
    ----------
    rows
        ``uicgpu.id`` and the chosen columns as text, null where empty; the first row of each id by file and row.
    rejected
        Lines and rows refused.
    sources
        Names of the files.
    rows_read
        Rows of all files, refused ones included.
    repeated
        Rows left out because an earlier row says the same.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    sources: tuple[str, ...]
    rows_read: int
    repeated: int


def read_id_table(
    patterns: Sequence[str],
    role: str,
    choose: Callable[[Sequence[str], str], tuple[Sequence[str], Sequence[str]]],
    *,
    missing: str,
    duplicate: str,
) -> IdTable:
    """Read files whose rows belong to ids.

    Parameters
    ----------
    choose
        Takes the column names and the files' names; returns id columns (joined by ``|``) and the columns to keep.
    missing, duplicate
        Reasons for rows without an id, and for rows that repeat an id with other content.

    Raises
    ------
    InputError
        Files cannot be read, lack the id column, or hold no usable row.
    """
    with tempfile.TemporaryDirectory(prefix="uicgpu-") as scratch:
        table = read_table(patterns, Path(scratch), role)
        sources = tuple(file.source for file in table.files)
        id_columns, kept_columns = choose(table.columns, ", ".join(sources[:3]))
        frames = [_read(file, number, id_columns, kept_columns) for number, file in enumerate(table.files)]
    rows = pl.concat(frames)
    unnamed = pl.col(ID).is_null()
    too_long = pl.col(ID).str.len_chars() > LONGEST_ID
    named = rows.filter(~unnamed & ~too_long.fill_null(False)).with_row_index("order")
    first = named.unique(ID, keep="first", maintain_order=True)
    repeats = named.join(first.select(ID, *_prefixed(kept_columns)), on=ID, how="left", maintain_order="left").join(
        first.select("order"), on="order", how="anti", maintain_order="left"
    )
    same = (
        pl.all_horizontal(pl.col(column).eq_missing(pl.col(f"first.{column}")) for column in kept_columns)
        if kept_columns
        else pl.lit(True)
    )
    differing = repeats.filter(~same)
    if first.is_empty():
        raise InputError(f"no row has an id in {', '.join(id_columns)}", where=", ".join(sources[:3]))
    rejected = pl.concat(
        [
            _with_file(table),
            _refused(rows.filter(unnamed), missing, kept_columns),
            _refused(rows.filter(too_long), "id too long", kept_columns),
            _refused(differing, duplicate, kept_columns),
        ]
    ).sort(FILE, Column.ROW, Column.REASON)
    shown = rejected.with_columns(
        pl.col(FILE).replace_strict(dict(enumerate(sources)), return_dtype=pl.String).alias(Column.SOURCE)
    ).select(list(REJECTED_SCHEMA))
    return IdTable(
        first.select(ID, *kept_columns),
        shown if shown.height else rejected_frame(),
        sources,
        table.source_rows,
        repeats.height - differing.height,
    )


def _prefixed(columns: Sequence[str]) -> list[pl.Expr]:
    return [pl.col(column).alias(f"first.{column}") for column in columns]


def _read(file: TableFile, number: int, id_columns: Sequence[str], kept: Sequence[str]) -> pl.DataFrame:
    for column in id_columns:
        if column not in file.schema:
            raise InputError(
                f"no id column {column} in this file, although the other files have it",
                where=f"{file.source}; its columns: {', '.join(list(file.schema)[:30])}",
                fix="give only files that have the id column",
            )
    ids = cells.joined_id([_text(column, file.schema[column]) for column in id_columns])
    values = [
        _known(column, file.schema[column]) if column in file.schema else pl.lit(None, pl.String).alias(column)
        for column in kept
    ]
    row = pl.col(ROW_COLUMN).alias(Column.ROW)
    try:
        return file.scan().select(pl.lit(number, pl.Int32).alias(FILE), row, ids.alias(ID), *values).collect()
    except pl.exceptions.PolarsError as error:
        raise damaged_parquet(file.source, error) from error


def _text(column: str, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.List | pl.Array):
        inner = pl.col(column).cast(pl.List(pl.String))
        return inner.list.drop_nulls().list.join("|")
    if dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object):
        raise InputError(f"column {column} holds {dtype}, not plain values", fix="choose another column")
    return cells.text_of(column, dtype)


def _known(column: str, dtype: pl.DataType) -> pl.Expr:
    cell = _text(column, dtype)
    return pl.when(~cell.is_in(cells.MISSING)).then(cell).alias(column)


def _with_file(table: Table) -> pl.DataFrame:
    numbers = {file.source: number for number, file in enumerate(table.files)}
    return table.rejected.select(
        pl.col(Column.SOURCE).replace_strict(numbers, return_dtype=pl.Int32).alias(FILE),
        Column.ROW,
        Column.REASON,
        Column.SAMPLE,
    )


def _refused(rows: pl.DataFrame, reason: str, columns: Sequence[str]) -> pl.DataFrame:
    shown = [pl.col(ID).str.head(SAMPLE_CHARACTERS), *(pl.col(column).str.head(60) for column in columns)]
    return rows.select(
        pl.col(FILE),
        pl.col(Column.ROW).cast(pl.Int64),
        pl.lit(reason, pl.String).alias(Column.REASON),
        pl.concat_str(shown, separator=", ", ignore_nulls=True).str.head(SAMPLE_CHARACTERS * 2).alias(Column.SAMPLE),
    )
