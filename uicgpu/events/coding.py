"""What is left behind by the rows that stay? The last part of the lazy plan: ids as codes, and what is told beside."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from uicgpu.events.rules import EVENT, FIRST
from uicgpu.vocabulary import Column


def codes_of(rows: pl.LazyFrame, column: str, code: str) -> pl.LazyFrame:
    """Return the distinct values of a column, sorted, with their position as int32 ``code``."""
    distinct = rows.select(column).unique().sort(column)
    return distinct.with_row_index(code).with_columns(pl.col(code).cast(pl.Int32))


def told(kept: pl.LazyFrame, owner: str, cell: str) -> pl.LazyFrame:
    """How often each ``owner`` (a user or an item) has each value of a column beside the events: ``owner, cell, len``.

    An event that is told more than once with different values counts once, with the smallest: which row came first
    must not matter.
    """
    once = kept.group_by(*EVENT).agg(pl.col(cell).min()).filter(pl.col(cell).is_not_null())
    return once.group_by(owner, cell).agg(pl.len().alias("len"))


def coded(kept: pl.LazyFrame, dictionaries: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return the clean events: codes instead of ids, sorted by user, time, item, kind, value.

    Parameters
    ----------
    dictionaries
        The frames of :func:`codes_of` for user, item and kind, by column name.
    """
    first = kept.filter(pl.col(FIRST))
    rows = first.select(Column.USER, Column.ITEM, Column.KIND, Column.TIME, Column.VALUE, Column.WEIGHT)
    for column, dictionary in dictionaries.items():
        rows = rows.join(dictionary, on=column, how="inner")
    return rows.select(
        pl.col(Column.USER_CODE),
        pl.col(Column.ITEM_CODE),
        pl.col(Column.TIME),
        pl.col("kind_code").alias(Column.KIND),
        pl.col(Column.VALUE),
        pl.col(Column.WEIGHT),
    ).sort(Column.USER_CODE, Column.TIME, Column.ITEM_CODE, Column.KIND, Column.VALUE)
