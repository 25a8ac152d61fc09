"""Item texts and categories that the events themselves carry: the most frequent writing of each item."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from uicgpu.events.columns import EventColumns
from uicgpu.events.usual_names import is_word_sequence
from uicgpu.events.wording import clean_text, has_cjk, joined_categories, joined_sentences, quieted
from uicgpu.vocabulary import Column


def event_items(item_ids: pl.Series, described: Sequence[pl.DataFrame], columns: EventColumns) -> pl.DataFrame:
    """Return ``item_id, text, category`` as the events give them; row = item code.

    Parameters
    ----------
    item_ids
        Sorted ids of the items that have events.
    described
        Per text column, then for the category: ``item_id``, ``cell`` (as written, not null), ``len``.

    Notes
    -----
    Cells are counted in their clean form. The most frequent one speaks for the item; among equals the first in
    lexicographic order.
    """
    items = pl.DataFrame({Column.ITEM: item_ids})
    texts: list[list[str]] = []
    for cells in described[: len(columns.texts)]:
        distinct = cells["cell"].unique().sort()
        cleaned = pl.DataFrame({"cell": distinct, "text": quieted([clean_text(cell) for cell in distinct.to_list()])})
        texts.append(_best_per_item(cells, cleaned, items))
    joined = [joined_sentences(parts, cjk=any(map(has_cjk, parts))) or None for parts in zip(*texts, strict=True)]
    category: list[str | None] = [None] * items.height
    if columns.category is not None:
        by_space = is_word_sequence(columns.category)
        cells = described[-1]
        distinct = cells["cell"].unique().sort()
        split = [joined_categories(cell, by_space=by_space) or "" for cell in distinct.to_list()]
        category = [
            text or None for text in _best_per_item(cells, pl.DataFrame({"cell": distinct, "text": split}), items)
        ]
    return items.with_columns(
        pl.Series(Column.TEXT, joined or [None] * items.height, pl.String),
        pl.Series(Column.CATEGORY, category, pl.String),
    )


def _best_per_item(cells: pl.DataFrame, cleaned: pl.DataFrame, items: pl.DataFrame) -> list[str]:
    """Most frequent cleaned text per item, the lexicographically first one among equals, "" without any."""
    counted = cells.join(cleaned, on="cell", how="inner").filter(pl.col("text") != "")
    best = most_frequent(counted, Column.ITEM, "text")
    return items.join(best, on=Column.ITEM, how="left", maintain_order="left")["text"].fill_null("").to_list()


def most_frequent(counted: pl.DataFrame, key: str, value: str) -> pl.DataFrame:
    """Return the most frequent ``value`` per ``key`` of a frame with counts in ``len``; ties by lexicographic order."""
    totals = counted.group_by(key, value).agg(pl.col("len").sum())
    ordered = totals.sort([key, "len", value], descending=[False, True, False])
    return ordered.unique(key, keep="first", maintain_order=True).select(key, value)
