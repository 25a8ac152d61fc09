"""Events and items become tables: the stages that read what the user gave.

What a stage is: see :mod:`uicgpu.pipeline.graph`.
"""

from __future__ import annotations

import shutil
from typing import Any

import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import SettingsError
from uicgpu.events.interactions import EventTable, Interactions, aggregate, load_events
from uicgpu.runs.folder import RunFolder, write_parquet
from uicgpu.runs.stages import StageContext
from uicgpu.vocabulary import Artefact, Column, StageName


def clean_stage(context: StageContext) -> dict[str, Any]:
    """Read and clean the events; write events, interactions, behaviour, labels and refused rows."""
    from uicgpu.events.clean import clean_events

    folder = context.folder
    scratch = folder.file("stages/scratch")
    cleaned = clean_events(context.settings, context.backend, scratch, context.progress.say)
    write_parquet(folder.file(Artefact.EVENTS), cleaned.events)
    write_parquet(folder.file(Artefact.INTERACTIONS), cleaned.interactions)
    write_parquet(folder.file(Artefact.EVENT_ITEMS), cleaned.event_items)
    write_parquet(folder.file(Artefact.BEHAVIOUR), cleaned.behaviour)
    write_parquet(folder.file(Artefact.EVENT_REJECTS), cleaned.rejected)
    labels = cleaned.labels if cleaned.labels is not None else cleaned.behaviour.select(Column.USER).clear()
    write_parquet(folder.file(Artefact.LABELS), labels)
    shutil.rmtree(scratch, ignore_errors=True)
    return {**cleaned.facts, "kind_names": list(cleaned.kind_names)}


def items_stage(context: StageContext) -> dict[str, Any]:
    """Read items and users; write items, attributes and all refused rows."""
    from uicgpu.items.attributes import read_attributes
    from uicgpu.items.read import read_items

    folder, settings = context.folder, context.settings
    event_items = pl.read_parquet(folder.file(Artefact.EVENT_ITEMS))
    event_item_column = context.facts(StageName.CLEAN)["columns"]["item"]
    table = read_items(settings, event_items, context.progress.say, event_item_column=event_item_column)
    write_parquet(folder.file(Artefact.ITEMS), table.items)
    rejects = [pl.read_parquet(folder.file(Artefact.EVENT_REJECTS)), table.rejected]
    facts = dict(table.facts)
    user_ids = pl.read_parquet(folder.file(Artefact.BEHAVIOUR), columns=[Column.USER])
    attributes = user_ids
    if settings.users:
        read = read_attributes(settings, user_ids[Column.USER].to_list(), context.progress.say)
        attributes = read.attributes
        rejects.append(read.rejected)
        facts["attributes"] = read.facts
    write_parquet(folder.file(Artefact.ATTRIBUTES), attributes)
    rejected = pl.concat(rejects, how="vertical_relaxed")
    write_parquet(folder.file(Artefact.REJECTED), rejected)
    reasons = rejected.group_by(Column.REASON).len().sort(Column.REASON)
    facts["rejected"] = dict(zip(reasons[Column.REASON].to_list(), reasons["len"].to_list(), strict=True))
    return facts


def event_table(folder: RunFolder) -> EventTable:
    """Load the clean events of a run."""
    events = pl.read_parquet(folder.file(Artefact.EVENTS))
    items = pl.scan_parquet(folder.file(Artefact.ITEMS)).select(pl.len()).collect().item()
    facts = folder.manifest["stages"][StageName.CLEAN]["facts"]
    return load_events(events, n_users=facts["users"], n_items=items, kind_names=tuple(facts["kind_names"]))


def run_interactions(context: StageContext) -> Interactions:
    """Aggregate the clean events of a run with the run's half-life."""
    return aggregate(event_table(context.folder), half_life=context.settings.half_life)


def known_labels(context: StageContext) -> NDArray[Any] | None:
    """Known group of each user, ``None`` where unknown: from the users table, or from the events."""
    column = context.settings.label_column
    if column is None:
        return None
    attributes = pl.read_parquet(context.folder.file(Artefact.ATTRIBUTES))
    if column in attributes.columns:
        return attributes[column].cast(pl.String).to_numpy()
    labels = pl.read_parquet(context.folder.file(Artefact.LABELS))
    if labels.height == 0:
        raise SettingsError(
            f"label column {column!r} is neither in the users table nor in the events",
            where="option --label-column",
            fix=f"columns of the users table: {', '.join(attributes.columns[1:]) or 'none (give --users)'}",
        )
    joined = attributes.select(Column.USER).join(labels, on=Column.USER, how="left", maintain_order="left")
    return joined["label"].to_numpy()
