"""The cleaning rules: which rows stay, and the first reason why a row does not.

They stand between :mod:`uicgpu.events.canonical` and :mod:`uicgpu.events.coding` in one lazy plan, which uses only
operations that the cuDF engine translates; ``tests/events/test_rules.py`` holds the list. Reasons are small integers
inside the plan and words outside.

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
from uicgpu.events.canonical import FILE, LABEL, ORDER, TIME_TEXT, VALUE_TEXT, described_columns, text_name
from uicgpu.events.columns import EventColumns
from uicgpu.vocabulary import Column

LONGEST_ID: Final = 1_000
"""Characters of a user or item id."""
NET_TOLERANCE: Final = 1e-9
"""Share of the gross quantity below which a net quantity counts as zero (fractions do not add up exactly)."""

REASON_CODE: Final = "reason_code"
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


def judged(rows: pl.LazyFrame, rules: Rules) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return (rows that stay or repeat one that stays, refused rows with ``reason_code``).

    Repeats stay for what they say of item and user beside the event (:func:`uicgpu.events.coding.told`); ``is_first``
    tells them apart.
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
