"""What does a row of a file say? The first part of the lazy plan: every file in the plan's own columns."""

from __future__ import annotations

from typing import Final

import polars as pl

from uicgpu.events import cells, times
from uicgpu.events.columns import EventColumns
from uicgpu.events.read import TableFile
from uicgpu.events.staging import POSITION_COLUMN, ROW_COLUMN
from uicgpu.vocabulary import Column

DEFAULT_KIND: Final = "event"
"""Kind of an event whose kind is not given."""
FILE: Final = "file"
ORDER: Final = "order"
TIME_TEXT: Final = "time_text"
VALUE_TEXT: Final = "value_text"
LABEL: Final = "label"


def text_name(number: int) -> str:
    """Return the plan's name of the item text column with this number; the category is the last one."""
    return f"item_text_{number}"


def described_columns(columns: EventColumns) -> tuple[str, ...]:
    """Return the source columns that describe the item: the texts, then the category if there is one."""
    return (*columns.texts, columns.category) if columns.category is not None else columns.texts


def rows_of_file(
    file: TableFile, number: int, first_order: int, columns: EventColumns, form: times.TimeForm | None
) -> pl.LazyFrame:
    """Return one file's rows with the plan's own columns.

    Parameters
    ----------
    number
        Position of the file, which stands for its name inside the plan.
    first_order
        Number of rows in the files before it.
    form
        Form of the file's time column; None when it has none.
    """
    schema = file.schema
    nothing = pl.lit(None, pl.String)

    def text(column: str | None) -> pl.Expr:
        return cells.text_of(column, schema[column]) if column is not None and column in schema else nothing

    described = [
        (text_name(place), cells.known_text(column, schema[column]) if column in schema else nothing)
        for place, column in enumerate(described_columns(columns))
    ]
    users = [f"user_{place}" for place in range(len(columns.user))]
    numeric = columns.value is not None and columns.value in schema and not isinstance(schema[columns.value], pl.String)
    # In steps, because the engine would evaluate a shared expression once per use.
    raw = file.scan().select(
        pl.lit(number, pl.Int32).alias(FILE),
        pl.col(ROW_COLUMN).alias(Column.ROW),
        (pl.col(POSITION_COLUMN).cast(pl.Int64) + first_order).alias(ORDER),
        *(text(column).alias(name) for column, name in zip(columns.user, users, strict=True)),
        text(columns.item).alias(Column.ITEM),
        (
            times.prepared(columns.time, schema[columns.time])
            if columns.time is not None and form is not None
            else nothing
        ).alias("time_cell"),
        text(columns.kind).alias(Column.KIND),
        text(columns.value).alias(VALUE_TEXT),
        *([cells.number_of(str(columns.value), schema[str(columns.value)]).alias(Column.VALUE)] if numeric else []),
        *(cell.alias(name) for name, cell in described),
        *([text(columns.label).alias(LABEL)] if columns.label is not None else []),
    )
    value_cell = pl.col(VALUE_TEXT)
    value_text = pl.when(~value_cell.is_in(cells.MISSING)).then(value_cell)
    rows = raw.with_columns(
        cells.joined_id([pl.col(name) for name in users]).alias(Column.USER),
        cells.id_of(pl.col(Column.ITEM)).alias(Column.ITEM),
        cells.id_of(pl.col(Column.KIND)).str.to_lowercase().fill_null(DEFAULT_KIND).alias(Column.KIND),
        value_text.alias(VALUE_TEXT),
        pl.col("time_cell").cast(pl.String).alias(TIME_TEXT),
        *([] if numeric else [value_text.cast(pl.Float64, strict=False).alias(Column.VALUE)]),
        *([cells.id_of(pl.col(LABEL)).alias(LABEL)] if columns.label is not None else []),
    )
    timed = times.microseconds(rows, "time_cell", form or times.TimeForm(), Column.TIME)
    return timed.select(
        FILE,
        Column.ROW,
        ORDER,
        Column.USER,
        Column.ITEM,
        TIME_TEXT,
        Column.TIME,
        Column.KIND,
        VALUE_TEXT,
        Column.VALUE,
        *(name for name, _ in described),
        *([LABEL] if columns.label is not None else []),
    )
