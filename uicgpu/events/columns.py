"""Which column plays which part: found by usual names, or named by the user's flags.

A column that a flag names is taken as it is; a column plays one part only, so that a label or a part of the user id is
never read as the item's category as well.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from uicgpu.errors import InputError
from uicgpu.events import usual_names as usual
from uicgpu.settings import Settings

Tiers = tuple[tuple[str, ...], ...]
MOST_COLUMNS_SHOWN = 30
_KEYS: tuple[Callable[[str], str], ...] = (usual.name_key, usual.last_key)


@dataclass(frozen=True)
class EventColumns:
    """Columns of the event table; None or empty where the table has none.

    Attributes
    ----------
    user
        One column, or several that together make the user id.
    texts, category
        Columns that describe the item; only looked for when there are no item files.
    """

    user: tuple[str, ...]
    item: str
    time: str | None
    kind: str | None
    value: str | None
    texts: tuple[str, ...] = ()
    category: str | None = None
    label: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return the choice as plain data for the manifest."""
        return {
            "user": list(self.user),
            "item": self.item,
            "time": self.time,
            "kind": self.kind,
            "value": self.value,
            "texts": list(self.texts),
            "category": self.category,
            "label": self.label,
        }

    def sentence(self) -> str:
        """Return the choice in one line."""
        return _sentence("event columns", self.facts())


@dataclass(frozen=True)
class ItemColumns:
    """Columns of an item table."""

    item: str
    texts: tuple[str, ...]
    category: str | None

    def facts(self) -> dict[str, Any]:
        """Return the choice as plain data for the manifest."""
        return {"item": self.item, "texts": list(self.texts), "category": self.category}

    def sentence(self) -> str:
        """Return the choice in one line."""
        return _sentence("item columns", self.facts())


def _sentence(what: str, facts: dict[str, Any]) -> str:
    parts = []
    for role, column in facts.items():
        if column:
            shown = " + ".join(column) if isinstance(column, list) else column
            parts.append(f"{role} = {shown}")
    return f"{what}: {', '.join(parts)}"


def choose_event_columns(columns: Sequence[str], settings: Settings, source: str) -> EventColumns:
    """Choose the columns of an event table.

    Parameters
    ----------
    source
        File or files that messages name.

    Raises
    ------
    InputError
        No user or item column, several that could be it, or a flag that names no column.
    """

    def named(name: str | None, flag: str) -> str | None:
        return named_column(name, columns, flag, source) if name is not None else None

    user = tuple(named_column(name, columns, "--user-column", source) for name in settings.user_column)
    item = named(settings.item_column, "--item-column")
    time = named(settings.time_column, "--time-column")
    kind = named(settings.kind_column, "--kind-column")
    value = named(settings.value_column, "--value-column")
    label = _event_label(columns, settings, source)
    texts: tuple[str, ...] = ()
    category = None
    if not settings.items:
        texts = tuple(named_column(name, columns, "--text-columns", source) for name in settings.text_columns)
        category = named(settings.category_column, "--category-column")
    taken = {*user, item, time, kind, value, label, category, *texts} - {None}
    if not user:
        user = (_the_one(usual.USER, columns, taken, "user id", "--user-column", source),)
        taken.update(user)
    if item is None:
        item = _the_one(usual.ITEM, columns, taken, "item id", "--item-column", source)
        taken.add(item)
    time = time or _first(usual.TIME, columns, taken)
    kind = kind or _first(usual.KIND, columns, taken)
    value = value or _first(usual.VALUE, columns, taken)
    taken.update({time, kind, value} - {None})
    if not settings.items:
        texts = texts or _text_columns(columns, taken)
        category = category or _first(usual.CATEGORY, columns, taken | set(texts))
    return EventColumns(user, item, time, kind, value, texts, category, label)


def _event_label(columns: Sequence[str], settings: Settings, source: str) -> str | None:
    if settings.label_column is None:
        return None
    if settings.users:
        return None
    return named_column(settings.label_column, columns, "--label-column", source)


def choose_item_columns(
    columns: Sequence[str], settings: Settings, source: str, event_item_column: str | None = None
) -> ItemColumns:
    """Choose the columns of an item table.

    Parameters
    ----------
    event_item_column
        The events' item column: a column of the same name (a plural ``s`` does not matter) is the id.

    Raises
    ------
    InputError
        No id or no text column, several ids, or a flag that names no column.
    """
    item = None
    if settings.item_id_column is not None:
        item = named_column(settings.item_id_column, columns, "--item-id-column", source)
    texts = tuple(named_column(name, columns, "--text-columns", source) for name in settings.text_columns)
    category = None
    if settings.category_column is not None:
        category = named_column(settings.category_column, columns, "--category-column", source)
    taken = {item, category, *texts} - {None}
    like_events = event_item_column or settings.item_column
    if item is None and like_events is not None:
        wanted = _singular(usual.last_key(like_events))
        same = [name for name in columns if name not in taken and _singular(usual.name_key(name)) == wanted]
        item = same[0] if len(same) == 1 else None
    if item is None:
        item = _the_one(usual.ITEM_FILE, columns, taken, "item id", "--item-id-column", source)
    taken.add(item)
    texts = texts or _text_columns(columns, taken)
    category = category or _first(usual.CATEGORY, columns, taken | set(texts))
    if not texts and category is None:
        raise InputError(
            "no column with the items' text",
            where=_where(source, columns),
            fix="name it: --text-columns COLUMN (several are joined: --text-columns title,description)",
        )
    return ItemColumns(item, texts, category)


def choose_user_columns(columns: Sequence[str], settings: Settings, source: str) -> tuple[str, ...]:
    """Choose the id column(s) of a table of user attributes."""
    if settings.user_id_column is not None:
        return (named_column(settings.user_id_column, columns, "--user-id-column", source),)
    if settings.user_column:
        found = [find_column(name, columns) for name in settings.user_column]
        if all(found):
            return tuple(name for name in found if name)
    taken = {find_column(settings.label_column, columns)} - {None} if settings.label_column else set()
    return (_the_one(usual.USER_FILE, columns, taken, "user id", "--user-id-column", source),)


def named_column(name: str, columns: Sequence[str], flag: str, source: str) -> str:
    """Return the column that a flag names; case, separators and the folder of a dotted name may be left out.

    Raises
    ------
    InputError
        There is none, or the short form fits several; names the nearest one and lists what the file has.
    """
    found = find_column(name, columns)
    if found is not None:
        return found
    several = _by_key(name, columns)
    if several:
        raise InputError(
            f"{flag} {name} fits several columns: {', '.join(several)}",
            where=source,
            fix=f"write the full name, for example {flag} {several[0]}",
        )
    lowered = {column.casefold(): column for column in reversed(columns)}
    near = difflib.get_close_matches(name.casefold(), list(lowered), n=1, cutoff=0.5)
    guess = f"did you mean {flag} {lowered[near[0]]}?" if near else f"name one of these columns with {flag}"
    raise InputError(f"{flag}: no column {name!r}", where=_where(source, columns), fix=guess)


def find_column(name: str, columns: Sequence[str]) -> str | None:
    """Return the one column that ``name`` means, or None."""
    if name in columns:
        return name
    candidates = _by_key(name, columns)
    return candidates[0] if len(candidates) == 1 else None


def _by_key(name: str, columns: Sequence[str]) -> list[str]:
    wanted = usual.name_key(name)
    for key in _KEYS:
        candidates = [column for column in columns if wanted and key(column) == wanted]
        if candidates:
            return candidates
    return []


def _singular(key: str) -> str:
    return key.rstrip("s")


def _matches(tiers: Tiers, columns: Sequence[str], taken: set[str | None], *, plural: bool = False) -> list[str]:
    """Columns that match the best tier: full names before last parts, in the order of the tier's names."""
    for names in tiers:
        order = {(_singular(name) if plural else name): number for number, name in reversed(list(enumerate(names)))}
        for key in _KEYS:
            found: list[tuple[int, int, str]] = []
            for place, column in enumerate(columns):
                compared = _singular(key(column)) if plural else key(column)
                if column not in taken and compared in order:
                    found.append((order[compared], place, column))
            if found:
                return [column for _, _, column in sorted(found)]
    return []


def _first(tiers: Tiers, columns: Sequence[str], taken: set[str | None]) -> str | None:
    found = _matches(tiers, columns, taken)
    return found[0] if found else None


def _text_columns(columns: Sequence[str], taken: set[str | None]) -> tuple[str, ...]:
    title = _first(usual.TITLE, columns, taken)
    description = _first(usual.DESCRIPTION, columns, taken | {title})
    return tuple(column for column in (title, description) if column is not None)


def _the_one(tiers: Tiers, columns: Sequence[str], taken: set[str | None], what: str, flag: str, source: str) -> str:
    found = _matches(tiers, columns, taken, plural=True)
    if not found:
        raise InputError(
            f"no column with the {what}",
            where=_where(source, columns),
            fix=f"name it: {flag} COLUMN",
        )
    if len(found) > 1:
        raise InputError(
            f"several columns could be the {what}: {', '.join(found)}",
            where=source,
            fix=f"choose one: {flag} {found[0]}",
        )
    return found[0]


def _where(source: str, columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:MOST_COLUMNS_SHOWN])
    more = f" and {len(columns) - MOST_COLUMNS_SHOWN} more" if len(columns) > MOST_COLUMNS_SHOWN else ""
    return f"{source}; its columns: {shown}{more}"
