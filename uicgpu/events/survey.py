"""One look at every file before the plan is written: forms of time, range of values, kinds of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError
from uicgpu.events import cells, times
from uicgpu.events.canonical import DEFAULT_KIND
from uicgpu.events.columns import EventColumns
from uicgpu.events.read import Table, TableFile
from uicgpu.events.usual_names import QUANTITY_NAMES, RATING_NAMES, last_key
from uicgpu.vocabulary import Column

MOST_KINDS: Final = 10_000
"""Distinct kinds beyond which the kind column is taken for a mistake."""


@dataclass(frozen=True)
class Survey:
    """What the files hold, seen over all their rows, good or bad.

    Attributes
    ----------
    forms
        Form of the time column per file; None where the file has none.
    smallest, largest
        Range of the readable values; None without any.
    half_steps
        Whether every value is a multiple of one half.
    kinds
        Kinds that occur, sorted.
    """

    forms: tuple[times.TimeForm | None, ...]
    smallest: float | None
    largest: float | None
    half_steps: bool
    kinds: tuple[str, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """Time units that occur, sorted: ``s``, ``ms``, ``us``, ``ns``, ``text``, ``date``."""
        return tuple(sorted({form.unit for form in self.forms if form is not None}))


def survey_files(table: Table, columns: EventColumns, backend: Backend) -> Survey:
    """Look at the time, value and kind columns of every file."""
    number_of_plans = 3
    plans = [
        plan
        for file in table.files
        for plan in (_times_plan(file, columns), _values_plan(file, columns), _kinds_plan(file, columns))
    ]
    frames = backend.collect(plans)
    details = _details(table, columns, frames[::number_of_plans], backend)
    forms: list[times.TimeForm | None] = []
    smallest: list[float] = []
    largest: list[float] = []
    half_steps = True
    kinds: set[str] = set()
    for number, file in enumerate(table.files):
        time_counts, values, file_kinds = frames[number_of_plans * number : number_of_plans * (number + 1)]
        dtype = file.schema.get(columns.time) if columns.time is not None else None
        counts = {**time_counts.row(0, named=True), **details.get(number, {})}
        forms.append(times.form_of(dtype, counts) if dtype is not None else None)
        found = values.row(0, named=True)
        if found["values"]:
            smallest.append(found["smallest"])
            largest.append(found["largest"])
            half_steps &= found["odd_values"] == 0
        kinds.update(file_kinds[Column.KIND].to_list())
    if len(kinds) > MOST_KINDS:
        raise InputError(
            f"column {columns.kind} has {len(kinds)} different kinds of events",
            where=", ".join(file.source for file in table.files[:3]),
            fix="name the right column: --kind-column COLUMN",
        )
    return Survey(
        tuple(forms),
        min(smallest, default=None),
        max(largest, default=None),
        half_steps,
        tuple(sorted(kinds)),
    )


def _times_plan(file: TableFile, columns: EventColumns) -> pl.LazyFrame:
    if columns.time is None or columns.time not in file.schema:
        return pl.LazyFrame({"cells": [0]})
    return times.survey_plan(file.scan(), columns.time, file.schema[columns.time])


def _values_plan(file: TableFile, columns: EventColumns) -> pl.LazyFrame:
    if columns.value is None or columns.value not in file.schema:
        return pl.LazyFrame({"values": [0]})
    number, usable = pl.col("number"), pl.col("usable")
    numbers = file.scan().select(cells.number_of(columns.value, file.schema[columns.value]).alias("number"))
    doubled = usable * 2
    return numbers.select(pl.when(cells.is_usable_number(number)).then(number).alias("usable")).select(
        usable.is_not_null().cast(pl.Int64).sum().alias("values"),
        usable.min().alias("smallest"),
        usable.max().alias("largest"),
        (doubled.floor() != doubled).fill_null(False).cast(pl.Int64).sum().alias("odd_values"),
    )


def _details(
    table: Table, columns: EventColumns, frames: Sequence[pl.DataFrame], backend: Backend
) -> dict[int, dict[str, Any]]:
    """Look again at the time columns whose form the first counts did not settle."""
    plans: dict[int, pl.LazyFrame] = {}
    for number, (file, frame) in enumerate(zip(table.files, frames, strict=True)):
        dtype = file.schema.get(columns.time) if columns.time is not None else None
        if columns.time is not None and dtype is not None and times.needs_detail(dtype, frame.row(0, named=True)):
            plans[number] = times.detail_plan(file.scan(), columns.time, dtype)
    collected = backend.collect(list(plans.values())) if plans else []
    return {number: frame.row(0, named=True) for number, frame in zip(plans, collected, strict=True)}


def _kinds_plan(file: TableFile, columns: EventColumns) -> pl.LazyFrame:
    if columns.kind is None or columns.kind not in file.schema:
        return pl.LazyFrame({Column.KIND: [DEFAULT_KIND]})
    raw = file.scan().select(cells.text_of(columns.kind, file.schema[columns.kind]).alias(Column.KIND)).unique()
    kind = cells.id_of(pl.col(Column.KIND)).str.to_lowercase().fill_null(DEFAULT_KIND)
    return raw.select(kind.alias(Column.KIND)).unique()


def is_quantity(columns: EventColumns, survey: Survey) -> bool:
    """Whether the value counts things, so that a negative one is a return and zero is nothing.

    Told by the column's name; a name that says neither quantity nor rating is a quantity when negative values occur.
    """
    if columns.value is None:
        return False
    key = last_key(columns.value)
    if key in QUANTITY_NAMES or key in RATING_NAMES:
        return key in QUANTITY_NAMES
    return survey.smallest is not None and survey.smallest < 0


def value_note(columns: EventColumns, survey: Survey, min_value: float | None) -> str | None:
    """Return a hint when the values look like ratings and none is left out."""
    smallest, largest = survey.smallest, survey.largest
    if columns.value is None or min_value is not None or smallest is None or largest is None:
        return None
    named = last_key(columns.value) in RATING_NAMES
    scale = next((top for top in (5, 10) if largest == top), None)
    if not named or scale is None or not 0 <= smallest <= 1 or not survey.half_steps:
        return None
    good = 3.5 if scale == 5 else 7
    return (
        f"column {columns.value} looks like ratings from {smallest:g} to {largest:g}: "
        f"low ratings count as interest too; consider --min-value {good:g}"
    )


def kind_notes(columns: EventColumns, survey: Survey, weights: Sequence[str]) -> list[str]:
    """Return a note when weights name kinds that do not occur."""
    absent = sorted(kind for kind in weights if kind not in survey.kinds)
    if not absent:
        return []
    shown = ", ".join(survey.kinds[:20]) if columns.kind is not None else "no kind column was found"
    return [f"kind_weights names kinds that do not occur: {', '.join(absent)}; kinds present: {shown}"]


def facts_of(survey: Survey, *, quantity: bool) -> dict[str, Any]:
    """Return the survey as plain data for the manifest."""
    return {
        "time_units": list(survey.units),
        "value_range": None if survey.smallest is None else [survey.smallest, survey.largest],
        "value_is_quantity": quantity,
    }
