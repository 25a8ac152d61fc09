"""User attributes: one row per user of the run, whatever the ``--users`` table holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events.columns import choose_user_columns, named_column
from uicgpu.events.forms import forms_of
from uicgpu.items.tables import ID, read_id_table
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column

LOW_MATCH: Final = 0.5
IDS_SHOWN: Final = 5
MOST_ATTRIBUTES: Final = 200


@dataclass(frozen=True)
class AttributeTable:
    """Attributes of the run's users.

    Attributes
    ----------
    attributes
        ``user_id`` and the table's other columns, one row per user of the run in the given order; null where unknown.
        A column whose every known value is a number is float64 (the label column stays text), the rest is text.
    label
        Name of the label column in ``attributes``, or None.
    rejected, facts
        Refused rows; plain data for the manifest.
    """

    attributes: pl.DataFrame
    rejected: pl.DataFrame
    facts: dict[str, Any]
    label: str | None


def read_attributes(settings: Settings, user_ids: Sequence[str], report: Callable[[str], None]) -> AttributeTable:
    """Read the user files of ``settings``.

    Raises
    ------
    InputError
        Files cannot be read; the id or the label column is missing; no id matches the run's users.
    """
    label: list[str] = []
    id_names: list[str] = []

    def choose(names: Sequence[str], source: str) -> tuple[Sequence[str], Sequence[str]]:
        ids = choose_user_columns(names, settings, source)
        id_names.extend(ids)
        if settings.label_column is not None:
            label.append(named_column(settings.label_column, names, "--label-column", source))
        others = [name for name in names if name not in ids or name in label]
        if not others:
            raise InputError("the table has no column besides the user id", where=source, fix="leave --users out")
        if len(others) > MOST_ATTRIBUTES:
            report(f"the user table has {len(others)} attributes; the first {MOST_ATTRIBUTES} are kept")
            others = [name for number, name in enumerate(others) if number < MOST_ATTRIBUTES or name in label]
        return ids, others

    table = read_id_table(settings.users, "users", choose, missing="missing user", duplicate="duplicate user")
    named = label[0] if label else None
    # A label that is part of the user id is a column of its own name as well.
    renamed = {name: f"{name} (attribute)" for name in table.rows.columns if name == Column.USER}
    rows = table.rows.rename(renamed)
    named = renamed.get(named, named) if named is not None else None
    users = pl.DataFrame({ID: pl.Series(list(user_ids), dtype=pl.String)})
    known = users.join(rows, on=ID, how="semi").height
    if known == 0 and users.height:
        raise InputError(
            f"no user id of the events is in the user files: events have ids like {forms_of(user_ids[:IDS_SHOWN])}; "
            f"users have ids like {forms_of(rows[ID].sort().head(IDS_SHOWN))}",
            where=f"{', '.join(table.sources[:3])}, column {' + '.join(id_names)}",
            fix="name the id column that the events use: --user-id-column COLUMN",
        )
    if known < LOW_MATCH * users.height:
        report(f"only {known} of {users.height} users are in the user files")
    joined = users.join(rows, on=ID, how="left", maintain_order="left")
    typed = joined.with_columns(_number_or_text(joined[name]) for name in joined.columns if name not in (ID, named))
    facts = {
        "files": list(table.sources),
        "rows_read": table.rows_read,
        "repeated_rows": table.repeated,
        "user_column": id_names,
        "label_column": named,
        "columns": [name for name in typed.columns if name != ID],
        "users_described": known,
        "users_unknown_to_the_events": rows.height - known,
    }
    return AttributeTable(typed.rename({ID: Column.USER}), table.rejected, facts, named)


def _number_or_text(column: pl.Series) -> pl.Series:
    numbers = column.cast(pl.Float64, strict=False)
    all_read = numbers.null_count() == column.null_count() and bool(numbers.is_finite().all())
    return numbers if all_read and column.null_count() < len(column) else column
