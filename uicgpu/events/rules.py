"""The cleaning rules as one lazy plan: which rows stay, and the first reason why a row does not.

The plan uses only operations that the cuDF engine translates; ``tests/events/test_rules.py`` holds the list. Reasons
are small integers inside the plan and words outside.

Rules that look at one row come first, in the order of :class:`Reason`. Then, over the rows that passed them:

- a row is a duplicate when an earlier row has the same user, item, time, kind and value;
- where the value is a quantity, a negative one is a return; and when the returns of a (user, item) pair take back all
  that was bought (net quantity of the pair, duplicates counted once, at most zero), the pair's other rows count as
  returned and go as well. A zero quantity is no event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import polars as pl

from uicgpu.events import cells, times
from uicgpu.events.columns import EventColumns
from uicgpu.events.read import TableFile
from uicgpu.events.staging import POSITION_COLUMN, ROW_COLUMN
from uicgpu.vocabulary import Column

LONGEST_ID: Final = 1_000
"""Characters of a user or item id."""
DEFAULT_KIND: Final = "event"
"""Kind of an event whose kind is not given."""
NET_TOLERANCE: Final = 1e-9
"""Share of the gross quantity below which a net quantity counts as zero (fractions do not add up exactly)."""

FILE: Final = "file"
ORDER: Final = "order"
TIME_TEXT: Final = "time_text"
VALUE_TEXT: Final = "value_text"
REASON_CODE: Final = "reason_code"
LABEL: Final = "label"
FIRST: Final = "is_first"
EVENT: Final = (Column.USER, Column.ITEM, Column.TIME, Column.KIND, Column.VALUE)
"""Rows that agree in these are one event, told more than once."""


class Reason(IntEnum):
    """Why a row is refused, in the order in which the rules are tried."""

    NONE = 0
    MISSING_USER = 1
    MISSING_ITEM = 2
    ID_TOO_LONG = 3
    ITEM_PATTERN = 4
    UNREADABLE_TIME = 5
    TIME_OUT_OF_RANGE = 6
    VALUE_NOT_A_NUMBER = 7
    KIND_WEIGHT_ZERO = 8
    BELOW_MIN_VALUE = 9
    RETURN = 10
    RETURNED = 11
    ZERO_QUANTITY = 12
    DUPLICATE = 13


REASON_WORDS: Final[Mapping[Reason, str]] = {
    Reason.MISSING_USER: "missing user",
    Reason.MISSING_ITEM: "missing item",
    Reason.ID_TOO_LONG: "id too long",
    Reason.ITEM_PATTERN: "item id does not match item_pattern",
    Reason.UNREADABLE_TIME: "unreadable time",
    Reason.TIME_OUT_OF_RANGE: "time out of range",
    Reason.VALUE_NOT_A_NUMBER: "value not a number",
    Reason.KIND_WEIGHT_ZERO: "kind weight 0",
    Reason.BELOW_MIN_VALUE: "value below min_value",
    Reason.RETURN: "return",
    Reason.RETURNED: "returned",
    Reason.ZERO_QUANTITY: "zero quantity",
    Reason.DUPLICATE: "duplicate",
}


@dataclass(frozen=True)
class Rules:
    """Settings of the plan, and what the survey of the files showed.

    Attributes
    ----------
    kind_weights
        Weight per kind, keys in lower case; other kinds weigh 1.
    quantity
        Whether the value is a quantity: negative is a return, zero is nothing.
    returns
        Whether negative quantities occur at all.
    """

    columns: EventColumns
    kind_weights: Mapping[str, float]
    min_value: float | None
    item_pattern: str | None
    quantity: bool
    returns: bool


def text_name(number: int) -> str:
    """Return the plan's name of the item text column with this number; the category is the last one."""
    return f"item_text_{number}"


def described_columns(columns: EventColumns) -> tuple[str, ...]:
    """Return the source columns that describe the item: the texts, then the category if there is one."""
    return (*columns.texts, columns.category) if columns.category is not None else columns.texts


def canonical(
    file: TableFile, number: int, first_order: int, rules: Rules, form: times.TimeForm | None
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
    columns, schema = rules.columns, file.schema
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


def judged(rows: pl.LazyFrame, rules: Rules) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return (rows that stay or repeat one that stays, refused rows with ``reason_code``).

    Repeats stay for what they say of item and user beside the event (:func:`told`); ``is_first`` tells them apart.
    """
    first = rows.with_columns(_row_reason(rules).alias(REASON_CODE))
    passed = _with_groups(first.filter(pl.col(REASON_CODE) == Reason.NONE), rules)
    second = passed.with_columns(_group_reason(rules).alias(REASON_CODE))
    repeated = pl.col(REASON_CODE) == Reason.DUPLICATE
    kept = second.filter((pl.col(REASON_CODE) == Reason.NONE) | repeated).select(
        Column.USER,
        Column.ITEM,
        Column.TIME,
        Column.KIND,
        pl.col(Column.VALUE).cast(pl.Float32),
        kind_weight(rules).alias(Column.WEIGHT),
        FIRST,
        *(text_name(place) for place in range(len(described_columns(rules.columns)))),
        *([LABEL] if rules.columns.label is not None else []),
    )
    shown = [
        FILE,
        Column.ROW,
        ORDER,
        REASON_CODE,
        Column.USER,
        Column.ITEM,
        TIME_TEXT,
        Column.KIND,
        VALUE_TEXT,
    ]
    refused = pl.concat(
        [
            first.filter(pl.col(REASON_CODE) != Reason.NONE).select(shown),
            second.filter(pl.col(REASON_CODE) != Reason.NONE).select(shown),
        ],
        how="vertical",
    )
    return kept, refused


def _first_reason(tests: Sequence[tuple[pl.Expr, Reason]]) -> pl.Expr:
    chain: Any = pl
    for condition, reason in tests:
        chain = chain.when(condition.fill_null(False)).then(pl.lit(int(reason), pl.Int32))
    expression: pl.Expr = chain.otherwise(pl.lit(int(Reason.NONE), pl.Int32))
    return expression


def _row_reason(rules: Rules) -> pl.Expr:
    user, item, time = pl.col(Column.USER), pl.col(Column.ITEM), pl.col(Column.TIME)
    tests = [
        (user.is_null(), Reason.MISSING_USER),
        (item.is_null(), Reason.MISSING_ITEM),
        ((user.str.len_chars() > LONGEST_ID) | (item.str.len_chars() > LONGEST_ID), Reason.ID_TOO_LONG),
    ]
    if rules.item_pattern is not None:
        tests.append((~item.str.contains(rules.item_pattern), Reason.ITEM_PATTERN))
    if rules.columns.time is not None:
        tests += [
            (pl.col(TIME_TEXT).is_not_null() & time.is_null(), Reason.UNREADABLE_TIME),
            ((time < times.EARLIEST_US) | (time > times.LATEST_US), Reason.TIME_OUT_OF_RANGE),
        ]
    if rules.columns.value is not None:
        usable = cells.is_usable_number(pl.col(Column.VALUE))
        given = pl.col(VALUE_TEXT).is_not_null() | pl.col(Column.VALUE).is_not_null()
        tests.append((given & ~usable, Reason.VALUE_NOT_A_NUMBER))
    dropped = sorted(kind for kind, weight in rules.kind_weights.items() if weight == 0)
    if dropped:
        tests.append((pl.col(Column.KIND).is_in(dropped), Reason.KIND_WEIGHT_ZERO))
    return _first_reason(tests)


def _with_groups(rows: pl.LazyFrame, rules: Rules) -> pl.LazyFrame:
    """Add whether a row is the first of its duplicates, and what was bought and returned by its pair."""
    value = pl.col(Column.VALUE)
    lowest = rows.with_columns(pl.col(ORDER).min().over(EVENT).alias("lowest_order"))
    marked = lowest.with_columns((pl.col(ORDER) == pl.col("lowest_order")).alias(FIRST))
    if not rules.returns:
        return marked
    counted = pl.when(pl.col(FIRST) & value.is_not_null()).then(value).otherwise(0.0)
    amounts = marked.with_columns(
        pl.when(counted > 0).then(counted).otherwise(0.0).alias("bought"),
        pl.when(counted < 0).then(-counted).otherwise(0.0).alias("returned"),
    )
    pair = [Column.USER, Column.ITEM]
    return amounts.with_columns(
        pl.col("bought").sum().over(pair).alias("pair_bought"),
        pl.col("returned").sum().over(pair).alias("pair_returned"),
    )


def _group_reason(rules: Rules) -> pl.Expr:
    value = pl.col(Column.VALUE)
    tests = []
    if rules.min_value is not None:
        tests.append((value < rules.min_value, Reason.BELOW_MIN_VALUE))
    if rules.quantity:
        tests.append((value < 0, Reason.RETURN))
        if rules.returns:
            bought, returned = pl.col("pair_bought"), pl.col("pair_returned")
            nothing_left = bought - returned <= NET_TOLERANCE * (bought + returned)
            tests.append(((returned > 0) & nothing_left, Reason.RETURNED))
        tests.append((value == 0, Reason.ZERO_QUANTITY))
    tests.append((~pl.col(FIRST), Reason.DUPLICATE))
    return _first_reason(tests)


def kind_weight(rules: Rules) -> pl.Expr:
    """Return the float32 weight of each row's kind."""
    chain: Any = pl
    for kind, weight in sorted(rules.kind_weights.items()):
        chain = chain.when(pl.col(Column.KIND) == kind).then(pl.lit(weight, pl.Float32))
    one = pl.lit(1.0, pl.Float32)
    expression: pl.Expr = chain.otherwise(one) if rules.kind_weights else one
    return expression


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
