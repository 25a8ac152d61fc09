"""Item tables and the events' own item texts, as one table with one text per item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events.columns import ItemColumns, choose_item_columns
from uicgpu.events.forms import forms_of
from uicgpu.events.staging import rejected_frame
from uicgpu.events.usual_names import is_word_sequence
from uicgpu.events.wording import joined_categories
from uicgpu.items.tables import ID, IdTable, read_id_table
from uicgpu.items.texts import clean_columns, item_texts
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column

LOW_MATCH: Final = 0.5
"""Share of the events' items below which the item files seem to be the wrong ones."""
IDS_SHOWN: Final = 5


@dataclass(frozen=True)
class ItemTable:
    """Items with their texts.

    Attributes
    ----------
    items
        ``item_id``, ``title`` and ``text`` (never null, "" where there is none), ``category`` (values joined by ``|``,
        nullable) and ``row`` int32. The events' items come first, in the order of their codes; then items without
        events, by id.
    rejected
        Refused rows of the item files: source, row, reason, sample.
    facts
        Plain data for the manifest.
    """

    items: pl.DataFrame
    rejected: pl.DataFrame
    facts: dict[str, Any]


def read_items(
    settings: Settings,
    event_items: pl.DataFrame,
    report: Callable[[str], None],
    *,
    event_item_column: str | None = None,
    texts_needed: bool = True,
) -> ItemTable:
    """Read the item files of ``settings``, or take the texts that the events carry.

    Parameters
    ----------
    event_items
        ``item_id`` sorted, ``text``, ``category`` (nullable); may be empty when only the item files matter.
    report
        Takes one line of text: the columns chosen, hints.
    event_item_column
        The events' item column; an item file's column of that name is its id.
    texts_needed
        Whether a table without a single text is an error.

    Raises
    ------
    InputError
        Files cannot be read, columns are missing or ambiguous, no item id matches the events, no item has a text.
    """
    if settings.items:
        table, columns = _read_files(settings, report, event_item_column)
        described, rejected, facts = _described(table, columns), table.rejected, _file_facts(table, columns)
        facts |= _match(described, event_items, table, columns, report)
    else:
        described = _from_events(event_items)
        rejected, facts = rejected_frame(), {"files": [], "columns": None}
    items = _ordered(described, event_items)
    with_text = int((items[Column.TEXT] != "").sum())
    if texts_needed and with_text == 0 and items.height:
        raise _no_text(settings)
    empty = items.height - with_text
    if empty:
        report(f"{empty} of {items.height} items have no text")
    facts |= {
        "items": items.height,
        "items_with_events": event_items.height,
        "items_without_text": empty,
        "distinct_texts": items[Column.TEXT].n_unique(),
        "items_with_category": items.height - items[Column.CATEGORY].null_count(),
    }
    return ItemTable(items, rejected, facts)


def _read_files(
    settings: Settings, report: Callable[[str], None], event_item_column: str | None
) -> tuple[IdTable, ItemColumns]:
    chosen: list[ItemColumns] = []

    def choose(names: Sequence[str], source: str) -> tuple[Sequence[str], Sequence[str]]:
        columns = choose_item_columns(names, settings, source, event_item_column)
        chosen.append(columns)
        report(columns.sentence())
        category = (columns.category,) if columns.category is not None else ()
        return (columns.item,), tuple(dict.fromkeys((*columns.texts, *category)))

    table = read_id_table(settings.items, "items", choose, missing="missing item", duplicate="duplicate item")
    return table, chosen[0]


def _described(table: IdTable, columns: ItemColumns) -> pl.DataFrame:
    rows = table.rows
    texts = clean_columns([rows[column].to_list() for column in columns.texts])
    categories: list[str | None] = [None] * rows.height
    if columns.category is not None:
        by_space = is_word_sequence(columns.category)
        cells = rows[columns.category]
        split = {cell: joined_categories(cell, by_space=by_space) for cell in cells.unique().to_list()}
        categories = [split[cell] for cell in cells.to_list()]
    return _frame(rows[ID].to_list(), _titles(texts, rows.height), item_texts(texts, categories), categories)


def _from_events(event_items: pl.DataFrame) -> pl.DataFrame:
    # The events' texts are clean already: they were counted in their clean form.
    categories = event_items[Column.CATEGORY].to_list()
    titles = event_items[Column.TEXT].fill_null("").to_list()
    return _frame(event_items[Column.ITEM].to_list(), titles, item_texts([titles], categories), categories)


def _titles(texts: Sequence[Sequence[str]], rows: int) -> list[str]:
    """The first text column that is not empty: what a person calls the item."""
    return [next(filter(None, parts), "") for parts in zip(*texts, strict=True)] if texts else [""] * rows


def _frame(
    ids: Sequence[str], titles: Sequence[str], texts: Sequence[str], categories: Sequence[str | None]
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            Column.ITEM: pl.Series(ids, dtype=pl.String),
            Column.TITLE: pl.Series(titles, dtype=pl.String),
            Column.TEXT: pl.Series(texts, dtype=pl.String),
            Column.CATEGORY: pl.Series(categories, dtype=pl.String),
        }
    )


def _ordered(described: pl.DataFrame, event_items: pl.DataFrame) -> pl.DataFrame:
    seen = event_items.select(Column.ITEM)
    first = seen.join(described, on=Column.ITEM, how="left", maintain_order="left")
    rest = described.join(seen, on=Column.ITEM, how="anti").sort(Column.ITEM)
    both = pl.concat([first, rest]).with_columns(pl.col(Column.TITLE, Column.TEXT).fill_null(""))
    row = pl.int_range(both.height, dtype=pl.Int32, eager=True).alias(Column.ROW)
    return both.with_columns(row)


def _match(
    described: pl.DataFrame,
    event_items: pl.DataFrame,
    table: IdTable,
    columns: ItemColumns,
    report: Callable[[str], None],
) -> dict[str, Any]:
    known = event_items.join(described, on=Column.ITEM, how="semi").height
    if event_items.is_empty():
        return {}
    if known == 0:
        # The wrong column may have been named, and then these are users.
        events_show = forms_of(event_items[Column.ITEM].head(IDS_SHOWN))
        items_show = forms_of(described[Column.ITEM].sort().head(IDS_SHOWN))
        raise InputError(
            f"no item id of the events is in the item files: events have ids like {events_show}; "
            f"items have ids like {items_show}",
            where=f"{', '.join(table.sources[:3])}, column {columns.item}",
            fix="name the id column that the events use: --item-id-column COLUMN (or --item-column for the events)",
        )
    if known < LOW_MATCH * event_items.height:
        report(
            f"only {known} of the {event_items.height} items in the events are in the item files; "
            "check --item-id-column and that the files belong together"
        )
    return {"event_items_described": known}


def _file_facts(table: IdTable, columns: ItemColumns) -> dict[str, Any]:
    return {
        "files": list(table.sources),
        "rows_read": table.rows_read,
        "repeated_rows": table.repeated,
        "columns": columns.facts(),
    }


def _no_text(settings: Settings) -> InputError:
    if settings.items:
        return InputError(
            "no item has a text: the chosen text columns are empty",
            where=", ".join(settings.items[:3]),
            fix="name other columns: --text-columns title,description",
        )
    return InputError(
        "no item has a text: the events carry none and no item file is given",
        where=", ".join(settings.events[:3]) or None,
        fix="add --items FILE with an id and a text column, or name a text column of the events: --text-columns COLUMN",
    )
