"""JSON lines, staged into Parquet: every cell stays text, nested objects become events.

Flat lines go through one Polars scan. Lines with nested values, and files with a bad line, are read line by line:

- an object inside a line gives dotted columns (``product.title``); a list of plain values is joined by ``|``;
- where the line has no item id of its own, each object (or list of objects) that holds one is an event: one row each,
  with the line's plain values repeated. A line's value whose name an event also uses is kept as ``line.<name>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events.plain_text import PlainText
from uicgpu.events.staging import LONGEST_LINE, ROW_COLUMN, PartWriter, Staged, rejected_frame, speakable
from uicgpu.events.usual_names import ITEM, name_key

DEEPEST = 8
"""Levels of nesting that are opened; deeper values are left out."""
_ITEM_KEYS = frozenset(ITEM[0])


def stage_json_lines(plain: PlainText, out: Path) -> Staged:
    """Stage a file with one JSON object per line into Parquet parts named after ``out``.

    Lines that are not a JSON object are refused with their line number.

    Raises
    ------
    InputError
        A JSON array, no objects at all, or more bad lines than good ones.
    """
    with plain.path.open(encoding="utf-8-sig") as file:
        start = file.read(4096).lstrip()
    if start.startswith("["):
        raise InputError(
            "the file is one JSON array, not JSON lines",
            where=plain.source,
            fix=f"write one object per line, for example: jq -c '.[]' {plain.source} > rows.jsonl",
        )
    if not start:
        raise InputError("the file is empty: only blank lines", where=plain.source, fix="give one object per line")
    staged = _fast(plain, out) or _slow(plain, out)
    if staged.rows == 0:
        raise InputError("the file has no rows", where=plain.source, fix="give one JSON object per line")
    return staged


def _fast(plain: PlainText, out: Path) -> Staged | None:
    """Stage flat lines with one Polars scan; None when a line is nested or bad."""
    part = out.with_name(f"{out.name}-00000.parquet")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        schema = pl.scan_ndjson(plain.path, infer_schema_length=None).collect_schema()
        if any(dtype.is_nested() for dtype in schema.values()) or not len(schema):
            return None
        pl.scan_ndjson(plain.path, schema=dict.fromkeys(schema, pl.String)).with_row_index(
            ROW_COLUMN, offset=1
        ).sink_parquet(part, compression="lz4")
    except pl.exceptions.PolarsError:
        part.unlink(missing_ok=True)
        return None
    staged = pl.scan_parquet(part)
    # A column that holds plain values in one line and a list in another is inferred as text, the list as its JSON.
    nested = pl.any_horizontal(pl.col(name).str.contains(r"(?s)^\s*(\[.*\]|\{.*\})\s*$").any() for name in schema)
    rows, found = staged.select(pl.len(), nested.alias("nested")).collect().row(0)
    if found:
        part.unlink()
        return None
    return Staged((part,), tuple(schema), rows, rows, rejected_frame())


def _slow(plain: PlainText, out: Path) -> Staged:
    writer = PartWriter(out, plain.source)
    with plain.path.open(encoding="utf-8-sig", newline="\n") as file:
        line = 0
        while text := file.readline(LONGEST_LINE + 1):
            line += 1
            if len(text) > LONGEST_LINE:
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                    pass
                writer.source_rows += 1
                writer.refuse(writer.source_rows, "line too long", text, line)
                continue
            if not text.strip():
                continue
            writer.source_rows += 1
            reason, rows = parse_line(text)
            if reason:
                writer.refuse(writer.source_rows, reason, text, line)
            for cells in rows:
                writer.add(writer.source_rows, cells)
    return writer.finish()


def parse_line(text: str) -> tuple[str, list[dict[str, str | None]]]:
    """Return (reason why the line is refused, or "") and its rows.

    >>> parse_line('{"user_id": 7, "history": [{"item_id": "a"}, {"item_id": "b", "p": {"title": "B"}}]}')[1]
    [{'user_id': '7', 'item_id': 'a'}, {'user_id': '7', 'item_id': 'b', 'p.title': 'B'}]
    """
    try:
        # Numbers stay as they are written: an id of 20 digits must not pass through a float.
        value = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return "not JSON", []
    if not isinstance(value, dict):
        return "not a JSON object", []
    events = [] if _has_item(value) else list(_event_objects(value))
    if not events:
        return "", [dict(_cells(value))]
    carriers = {id(event) for event in events}
    shared = {
        name: inner
        for name, inner in value.items()
        if not (id(inner) in carriers or (isinstance(inner, list) and any(id(part) in carriers for part in inner)))
    }
    outer = dict(_cells(shared))
    inner = [dict(_cells(event)) for event in events]
    used = set().union(*inner)
    repeated = {(f"line.{name}" if name in used else name): cell for name, cell in outer.items()}
    return "", [{**repeated, **cells} for cells in inner]


def _has_item(value: dict[str, Any]) -> bool:
    return any(name_key(name).rstrip("s") in _ITEM_KEYS and not isinstance(value[name], dict | list) for name in value)


def _event_objects(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for inner in value.values():
        parts = inner if isinstance(inner, list) else [inner]
        for part in parts:
            if isinstance(part, dict) and _has_item(part):
                yield part


def _cells(value: dict[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str | None]]:
    for name, inner in value.items():
        full = prefix + speakable(str(name))
        if isinstance(inner, dict):
            if depth < DEEPEST:
                yield from _cells(inner, f"{full}.", depth + 1)
        elif isinstance(inner, list):
            plain = [_text(part) for part in inner if not isinstance(part, dict | list)]
            if plain or not inner:
                yield full, "|".join(part for part in plain if part) or None
        else:
            yield full, _text(inner)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return speakable(str(value))
