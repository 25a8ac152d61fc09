"""Data quality and making of a run, in figures that are the same on every machine."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import polars as pl

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts, base_name
from uicgpu.report.catalogue import Words
from uicgpu.report.notes import tell_note
from uicgpu.settings import MACHINE_SETTINGS
from uicgpu.vocabulary import Column, StageName

COLD_EVENTS: Final = 5
MOST_REASONS: Final = 30
ROWS_PER_BLOCK: Final = 65_536


def data_quality_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    """Rejected rows per reason, and how many users and items little is known of."""
    users = run.users.height
    cold = run.users.filter(pl.col(Column.EVENTS) < COLD_EVENTS).height
    checks = [(words("data.cold", events=COLD_EVENTS), cold, users), (words("data.no_vector"), _empty_rows(run), users)]
    if run.items is not None:
        items = run.items.height
        empty = run.items.filter(pl.col(Column.TEXT).fill_null("").str.strip_chars() == "").height
        checks.append((words("data.no_text"), empty, items))
        if Column.CATEGORY in run.items.columns:
            checks.append((words("data.no_category"), run.items[Column.CATEGORY].null_count(), items))
        if run.interactions is not None:
            seen = run.interactions.select(pl.col(Column.ITEM).n_unique()).collect().item()
            checks.append((words("data.no_events"), items - seen, items))
    return {
        "checks": [
            {
                "label": label,
                "value": numbers.count(value),
                "share": numbers.percent(value / whole) if value is not None and whole else numbers.MISSING,
            }
            for label, value, whole in checks
        ],
        "rejected": _rejected(run),
        "rejected_total": numbers.count(run.rejected.height if run.rejected is not None else None),
        "columns": _columns(run, words),
        "notes": _notes(run, words),
    }


def making_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    """Settings with sources (machine settings left out), seed, versions, fingerprints of the inputs."""
    settings = run.manifest.get("settings") or {}
    sources = run.manifest.get("settings_sources") or {}
    encode = run.facts(StageName.ENCODE)
    cluster = run.facts(StageName.CLUSTER)
    summary = [
        (words("making.version"), run.manifest.get("uicgpu_version")),
        (words("making.seed"), run.manifest.get("seed")),
        (words("making.model"), encode.get("model")),
        (words("making.algorithm"), cluster.get("algorithm") or run.setting("algorithm")),
        (words("making.device"), (run.manifest.get("device") or {}).get("name")),
    ]
    return {
        "summary": [{"label": label, "value": _plain(value)} for label, value in summary if value is not None],
        "settings": [
            {
                "name": name,
                "value": _plain(settings[name]),
                "source": words.named("source", str(sources.get(name, "default"))),
                "chosen": sources.get(name, "default") != "default",
            }
            for name in sorted(settings)
            if name not in MACHINE_SETTINGS
        ],
        "versions": [
            {"name": name, "value": str(value)} for name, value in sorted((run.manifest.get("versions") or {}).items())
        ],
        "inputs": [
            {
                "name": base_name(str(entry.get("path", ""))),
                "size": numbers.size(entry.get("bytes")),
                "sha256": str(entry.get("sha256", "")),
            }
            for entry in run.manifest.get("inputs") or []
        ],
        "numbers": [{"name": name, "value": numbers.figure(value, 4)} for name, value in run.scores.plain.items()],
    }


def _empty_rows(run: RunArtefacts) -> int | None:
    if run.vectors is None:
        return None
    return sum(
        int((~np.asarray(run.vectors[start : start + ROWS_PER_BLOCK]).any(axis=1)).sum())
        for start in range(0, run.vectors.shape[0], ROWS_PER_BLOCK)
    )


def _rejected(run: RunArtefacts) -> list[dict[str, str]]:
    if run.rejected is None or not run.rejected.height:
        return []
    counted = (
        run.rejected.with_columns(
            pl.col(Column.SOURCE).cast(pl.String).fill_null(""), pl.col(Column.REASON).cast(pl.String).fill_null("")
        )
        .group_by(Column.SOURCE, Column.REASON)
        .len("rows")
        .sort(["rows", Column.SOURCE, Column.REASON], descending=[True, False, False])
    )
    rows = [
        {
            "source": base_name(row[Column.SOURCE]),
            "reason": row[Column.REASON],
            "rows": numbers.count(row["rows"]),
        }
        for row in counted.head(MOST_REASONS).iter_rows(named=True)
    ]
    rest = int(counted["rows"].sum()) - int(counted["rows"].head(MOST_REASONS).sum())
    return [*rows, {"source": "", "reason": "…", "rows": numbers.count(rest)}] if rest else rows


def _notes(run: RunArtefacts, words: Words) -> list[str]:
    """What stages noted for the reader, each once."""
    noted = [note for stage in run.stage_order for note in run.facts(stage).get("notes") or []]
    told = [tell_note(note, words) for note in [*noted, *run.evaluation_notes] if isinstance(note, str)]
    return list(dict.fromkeys(_plain(note) for note in told if note))


def _columns(run: RunArtefacts, words: Words) -> list[dict[str, str]]:
    """Columns that were chosen for each role."""
    chosen = []
    for stage in (StageName.CLEAN, StageName.ITEMS):
        columns = run.facts(stage).get("columns")
        if isinstance(columns, dict):
            chosen += [
                {"stage": words.named("stage", stage), "role": str(role), "column": _plain(column)}
                for role, column in sorted(columns.items())
                if column
            ]
    return chosen


def _plain(value: Any) -> str:
    """A setting or fact as text, without the folders of paths."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_plain(entry)}" for key, entry in sorted(value.items())) or "—"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(entry) for entry in value) or "—"
    if isinstance(value, str):
        return _INNER_PATH.sub(lambda match: base_name(match[0]), base_name(value)) or "—"
    return str(value)


_INNER_PATH = re.compile(r"(?<![\w:/])(?:/[\w.@+-]+){2,}|[A-Za-z]:\\[\w.\\@+-]+")
"""Absolute paths inside a longer text."""
