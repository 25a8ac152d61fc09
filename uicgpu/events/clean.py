"""Raw event files to clean events, interactions and the reasons for every row that was refused.

One survey, then one lazy plan (:mod:`uicgpu.events.canonical`, :mod:`uicgpu.events.rules`, :mod:`uicgpu.events.coding`)
in two halves. Nothing depends on the order of rows or files: a duplicate keeps the row that comes first by file name
and row number, everything else is sorted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError, SettingsError
from uicgpu.events import canonical, coding
from uicgpu.events import rules as plan
from uicgpu.events.behaviour import behaviour_features
from uicgpu.events.columns import EventColumns, choose_event_columns, find_column
from uicgpu.events.described import event_items, most_frequent
from uicgpu.events.interactions import NO_TIME, EventTable, aggregate, load_events
from uicgpu.events.oddities import odd_items_note
from uicgpu.events.read import Table, read_table
from uicgpu.events.refused import blame, check_times, nothing_left, refused_note, rejected_rows, shown_sources
from uicgpu.events.survey import Survey, facts_of, is_quantity, kind_notes, survey_files, value_note
from uicgpu.events.times import FORMATS
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column


@dataclass(frozen=True)
class CleanEvents:
    """What cleaning leaves.

    Attributes
    ----------
    events
        ``user`` int32, ``item`` int32, ``time`` int64 microseconds (nullable), ``kind`` int32, ``value`` float32
        (nullable), ``weight`` float32 (of the kind, before decay); sorted by user, time (missing first), item.
    interactions
        ``user_id, item_id, weight`` float32 (decayed), ``events`` int32, ``first_time``, ``last_time`` Datetime("us")
        (nullable); one row per pair, sorted by ids.
    event_items
        ``item_id`` sorted, ``text`` and ``category`` (nullable) as the events themselves give them; row = item code.
    behaviour
        ``user_id`` sorted and float64 features; row = user code.
    rejected
        ``source, row`` (1-based data row; the header and blank lines do not count), ``reason``, ``sample``.
    kind_names
        Names of the kinds, position = kind code.
    facts
        Plain data for the manifest: rows, reasons, columns, time range, files.
    labels
        ``user_id, label`` when ``label_column`` is a column of the events: the user's most frequent label.
    """

    events: pl.DataFrame
    interactions: pl.DataFrame
    event_items: pl.DataFrame
    behaviour: pl.DataFrame
    rejected: pl.DataFrame
    kind_names: tuple[str, ...]
    facts: dict[str, Any]
    labels: pl.DataFrame | None


def clean_events(
    settings: Settings, backend: Backend, scratch: Path | None, report: Callable[[str], None]
) -> CleanEvents:
    """Read and clean the event files of ``settings``.

    Parameters
    ----------
    scratch
        Folder for staged text files; None for a temporary one that is removed at the end.
    report
        Takes one line of text: the columns chosen, hints.

    Raises
    ------
    InputError
        Files are missing, damaged or of the wrong form; no row is left; a column is missing or ambiguous.
    SettingsError
        ``item_pattern`` uses what the engine's regular expressions do not have.
    """
    if scratch is not None:
        return _clean(settings, backend, scratch, report)
    with tempfile.TemporaryDirectory(prefix="uicgpu-") as folder:
        return _clean(settings, backend, Path(folder), report)


def _clean(settings: Settings, backend: Backend, scratch: Path, report: Callable[[str], None]) -> CleanEvents:
    _check_pattern(settings.item_pattern)
    table = read_table(settings.events, scratch, "events")
    columns = choose_event_columns(table.columns, settings, shown_sources(table))
    _check_files(table, columns)
    report(columns.sentence())
    try:
        survey = survey_files(table, columns, backend)
        rules, collected = _collect(table, columns, survey, settings, backend)
    except pl.exceptions.PolarsError as error:
        raise blame(table, error) from error
    rejected = rejected_rows(collected.refused, table)
    check_times(collected.refused, table, columns)
    facts = _facts(table, columns, survey, rules, rejected)
    if collected.events.is_empty():
        raise nothing_left(facts, table)
    refused = refused_note(facts)
    if refused:
        report(refused)
    for note in _notes(columns, survey, rules, settings, collected.items):
        report(note)
    return _outputs(collected, columns, rejected, facts, settings)


@dataclass(frozen=True)
class _Collected:
    events: pl.DataFrame
    users: pl.Series
    items: pl.Series
    kinds: tuple[str, ...]
    refused: pl.DataFrame
    described: list[pl.DataFrame]
    """Per described column: ``item_id``, ``cell``, ``len``."""
    labels: pl.DataFrame | None


def _collect(
    table: Table, columns: EventColumns, survey: Survey, settings: Settings, backend: Backend
) -> tuple[plan.Rules, _Collected]:
    quantity = is_quantity(columns, survey)
    weights = {kind.strip().lower(): weight for kind, weight in settings.kind_weights.items()}
    rules = plan.Rules(
        columns,
        weights,
        settings.min_value,
        settings.item_pattern,
        quantity=quantity,
        returns=quantity and survey.smallest is not None and survey.smallest < 0,
    )
    # The plan's two halves meet in memory: engines do not share sub-plans between outputs, and every output below
    # would parse and judge all rows again.
    kept, refused = backend.collect(judged_plans(table, rules, survey))
    events, users, items, kinds, *more = backend.collect(output_plans(kept.lazy(), rules))
    labels = more.pop() if columns.label is not None else None
    collected = _Collected(
        events,
        users[Column.USER],
        items[Column.ITEM],
        tuple(kinds[Column.KIND].to_list()),
        refused,
        more,
        labels,
    )
    return rules, collected


def judged_plans(table: Table, rules: plan.Rules, survey: Survey) -> list[pl.LazyFrame]:
    """Return the first half of the plan, from files to rows: those that stay, and those that are refused."""
    first_order, parts = 0, []
    for number, file in enumerate(table.files):
        parts.append(canonical.rows_of_file(file, number, first_order, rules.columns, survey.forms[number]))
        first_order += file.rows
    rows = pl.concat(parts, how="vertical") if len(parts) > 1 else parts[0]
    return list(plan.judged(rows, rules))


def output_plans(kept: pl.LazyFrame, rules: plan.Rules) -> list[pl.LazyFrame]:
    """Return the second half: coded events, users, items, kinds, then per described column its cells, then labels."""
    users = coding.codes_of(kept, Column.USER, Column.USER_CODE)
    items = coding.codes_of(kept, Column.ITEM, Column.ITEM_CODE)
    kinds = coding.codes_of(kept, Column.KIND, "kind_code")
    plans = [coding.coded(kept, {Column.USER: users, Column.ITEM: items, Column.KIND: kinds}), users, items, kinds]
    for place in range(len(canonical.described_columns(rules.columns))):
        cell = canonical.text_name(place)
        plans.append(coding.told(kept, Column.ITEM, cell).rename({cell: "cell"}))
    if rules.columns.label is not None:
        plans.append(coding.told(kept, Column.USER, canonical.LABEL))
    return plans


def _outputs(
    collected: _Collected, columns: EventColumns, rejected: pl.DataFrame, facts: dict[str, Any], settings: Settings
) -> CleanEvents:
    table = load_events(
        collected.events,
        n_users=len(collected.users),
        n_items=len(collected.items),
        kind_names=collected.kinds,
    )
    interactions = _interactions(table, collected, settings.half_life)
    known = table.times[table.times != NO_TIME]
    facts = {
        **facts,
        "events_kept": len(table),
        "users": len(collected.users),
        "items": len(collected.items),
        "pairs": interactions.height,
        "events_without_time": len(table) - int(known.size),
        "time_range": [_iso(int(known.min())), _iso(int(known.max()))] if known.size else None,
    }
    return CleanEvents(
        collected.events,
        interactions,
        event_items(collected.items, collected.described, columns),
        behaviour_features(table, collected.users),
        rejected,
        collected.kinds,
        facts,
        most_frequent(collected.labels, Column.USER, canonical.LABEL) if collected.labels is not None else None,
    )


def _interactions(table: EventTable, collected: _Collected, half_life: float | None) -> pl.DataFrame:
    pairs = aggregate(table, half_life=half_life)
    return pl.DataFrame(
        {
            Column.USER: collected.users.gather(pairs.users),
            Column.ITEM: collected.items.gather(pairs.items),
            Column.WEIGHT: pairs.weights,
            Column.EVENTS: pairs.events,
            Column.FIRST_TIME: _moments(pairs.first_times),
            Column.LAST_TIME: _moments(pairs.last_times),
        }
    )


def _moments(times: NDArray[np.int64]) -> pl.Series:
    series = pl.Series(times)
    return series.set(series == NO_TIME, None).cast(pl.Datetime("us"))


def _facts(
    table: Table, columns: EventColumns, survey: Survey, rules: plan.Rules, rejected: pl.DataFrame
) -> dict[str, Any]:
    reasons = rejected.group_by(Column.REASON).len().sort(Column.REASON)
    return {
        "files": [file.source for file in table.files],
        "rows_read": table.source_rows,
        "rejected": dict(zip(reasons[Column.REASON].to_list(), reasons["len"].to_list(), strict=True)),
        "columns": columns.facts(),
        **facts_of(survey, quantity=rules.quantity),
    }


def _notes(columns: EventColumns, survey: Survey, rules: plan.Rules, settings: Settings, items: pl.Series) -> list[str]:
    notes = kind_notes(columns, survey, list(rules.kind_weights))
    rating = value_note(columns, survey, settings.min_value)
    odd = odd_items_note(items.to_list()) if settings.item_pattern is None else None
    if len(survey.units) > 1:
        notes.append(f"files differ in the form of their times: {', '.join(survey.units)}; each was read by its own")
    return [*notes, *(note for note in (rating, odd) if note is not None)]


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise SettingsError(
            f"item_pattern {pattern!r} cannot be used: {str(error).strip().splitlines()[-1][:200]}",
            fix="write it without look-around and back-references, for example --item-pattern '^[0-9]{5}'",
        ) from error


def _check_files(table: Table, columns: EventColumns) -> None:
    """Every file must hold user and item; no chosen column may hold lists or objects."""
    for file in table.files:
        for name in (*columns.user, columns.item):
            if name not in file.schema:
                near = find_column(name, list(file.schema))
                fix = f"rename its column {near} to {name}" if near else "name only the event files, not a whole folder"
                raise InputError(
                    f"no column {name} in this file, although the other event files have it",
                    where=f"{file.source}; its columns: {', '.join(list(file.schema)[:30])}",
                    fix=f"{fix}: --events FILE",
                )
        chosen = (*columns.user, columns.item, columns.time, columns.kind, columns.value, columns.category)
        for column in (*chosen, columns.label, *columns.texts):
            dtype = file.schema.get(column) if column is not None else None
            if dtype is not None and (dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object)):
                raise InputError(
                    f"column {column} holds {dtype}, not plain values",
                    where=file.source,
                    fix="write one event per row with plain columns, or choose another column",
                )
        if columns.time is not None and isinstance(file.schema.get(columns.time), pl.Time | pl.Duration):
            raise InputError(
                f"column {columns.time} holds {file.schema[columns.time]}, not a date",
                where=file.source,
                fix=f"name the right column: --time-column COLUMN; understood: {FORMATS}",
            )


def _iso(microseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.isoformat().replace("+00:00", "Z")
