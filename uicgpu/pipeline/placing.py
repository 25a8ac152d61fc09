"""Places users in the clusters of a finished run, new ones and those with new events, without fitting again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.events.interactions import EventTable, aggregate, load_events
from uicgpu.finetune.stage import trained_encoder
from uicgpu.pipeline.finished import backend_of, ids_of, settings_of
from uicgpu.pipeline.stages_vectors import encode_texts
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.progress import Progress, SilentProgress
from uicgpu.settings import Settings, checked
from uicgpu.vocabulary import Artefact, Column, StageName


def assign_users(
    path: str | Path,
    events: Sequence[str],
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Place users in the clusters of a finished run, without fitting anything again.

    New events of users that the run knows are added to their old ones. Items that the run does not know are encoded
    when the events or ``items`` carry a text for them; otherwise they do not count.

    Returns
    -------
    DataFrame
        ``user_id, cluster, name, confidence, second_cluster, events``, one row per user of the new events.

    Raises
    ------
    InputError
        When the events cannot be used.
    """
    from uicgpu.cluster.assign import assign_points
    from uicgpu.cluster.density_model import model_from_state
    from uicgpu.events.clean import clean_events
    from uicgpu.interests.pool import InterestPooler

    run = open_run(path)
    progress = progress or SilentProgress()
    given = {name: value for name, value in (overrides or {}).items() if value is not None and value != ()}
    # The run's item table and labels have done their part: only what the caller names is read now.
    once = {"items": (), "users": (), "text_columns": (), "category_column": None, "label_column": None}
    settings = settings_of(run, {}).model_copy(update={**once, "events": tuple(events)})
    settings = checked({**settings.model_dump(), **given}, dict.fromkeys(given, "flag"))
    backend = backend_of(settings)
    cleaned = clean_events(settings, backend, None, progress.say)
    items, vectors = _known_and_new_items(run, cleaned.event_items, settings, backend, progress)
    table, user_ids = _with_former_events(run, cleaned, items)
    interactions = aggregate(table, half_life=settings.half_life)
    pooler = InterestPooler.from_state(run.tensors(Artefact.POOLING))
    features = None
    if settings.numeric_weight > 0:
        from uicgpu.interests.behaviour import feature_matrix

        if run.users.filter(pl.col(Column.USER).is_in(user_ids.implode())).height:
            progress.say("behaviour features of known users are those of the new events alone")
        features = feature_matrix(cleaned.behaviour)
    pooled = pooler.transform(interactions, vectors, features, backend=backend)
    model = model_from_state(run.tensors(Artefact.DENSITY)) if run.has(Artefact.DENSITY) else None
    placed = assign_points(pooled, np.ascontiguousarray(run.centroids), backend, model, settings.noise, settings.metric)
    counts = np.zeros(table.n_users, np.int64)
    np.add.at(counts, table.users, 1)
    frame = pl.DataFrame(
        {
            Column.USER: user_ids,
            Column.CLUSTER: ids_of(run, placed.labels),
            Column.CONFIDENCE: placed.confidence.astype(np.float32),
            Column.SECOND_CLUSTER: ids_of(run, placed.second_labels),
            Column.EVENTS: counts.astype(np.int32),
        }
    )
    names = run.clusters.select(Column.CLUSTER, Column.NAME)
    joined = frame.join(names, on=Column.CLUSTER, how="left", maintain_order="left")
    return joined.select(
        Column.USER, Column.CLUSTER, Column.NAME, Column.CONFIDENCE, Column.SECOND_CLUSTER, Column.EVENTS
    )


def _known_and_new_items(
    run: Run, event_items: pl.DataFrame, settings: Settings, backend: Backend, progress: Progress
) -> tuple[pl.DataFrame, NDArray[np.float32]]:
    """Items of the run, then those that only the new events have; and the vectors of all."""
    from uicgpu.items.read import read_items

    fresh = event_items.join(run.items.select(Column.ITEM), on=Column.ITEM, how="anti").sort(Column.ITEM)
    known = run.items.select(Column.ITEM)
    vectors = np.asarray(run.item_vectors, np.float32)
    if fresh.height == 0:
        return known, vectors
    table = read_items(settings, fresh, progress.say, texts_needed=False).items.head(fresh.height)
    texts = table[Column.TEXT].to_list()
    with_text = sum(bool(text) for text in texts)
    progress.say(f"{fresh.height} items are new to this run, {with_text} of them with a text")
    added = np.zeros((fresh.height, vectors.shape[1]), np.float32)
    if with_text:
        # The run's own encoder, not what these few texts would choose: vectors of two encoders do not mix.
        used = settings.model_copy(update={"model": _encoder_name(run)})
        added, _ = encode_texts(texts, used, backend, progress)
    return pl.concat([known, table.select(Column.ITEM)]), np.vstack([vectors, added])


def _encoder_name(run: Run) -> str:
    trained = trained_encoder(run.path, run.manifest)
    if trained is not None:
        return str(trained)
    requested = str(run.manifest["settings"]["model"])
    return str(run.facts(StageName.ENCODE)["model"]) if requested == "auto" else requested


def _with_former_events(run: Run, cleaned: Any, items: pl.DataFrame) -> tuple[EventTable, pl.Series]:
    """New events, joined by the former events of the same users; codes follow ``items`` and the new user ids."""
    user_ids = cleaned.behaviour[Column.USER]
    codes = items.with_row_index("row").with_columns(pl.col("row").cast(pl.Int32))
    positions = cleaned.event_items.select(Column.ITEM).join(codes, on=Column.ITEM, how="left", maintain_order="left")
    item_rows = positions["row"].to_numpy()
    new = cleaned.events.with_columns(
        pl.Series(Column.ITEM_CODE, item_rows[cleaned.events[Column.ITEM_CODE].to_numpy()])
    )
    kinds = list(cleaned.kind_names)
    former_kinds = run.facts(StageName.CLEAN)["kind_names"]
    kinds += [kind for kind in former_kinds if kind not in kinds]
    users = pl.DataFrame({Column.USER: user_ids}).with_row_index("new_code")
    former_users = run.users.select(Column.USER).with_row_index(Column.USER_CODE).join(users, on=Column.USER)
    former = (
        run.table(Artefact.EVENTS)
        .join(former_users.select(pl.col(Column.USER_CODE).cast(pl.Int32), "new_code"), on=Column.USER_CODE)
        .with_columns(
            pl.col("new_code").cast(pl.Int32).alias(Column.USER_CODE),
            pl.col(Column.KIND).replace_strict(
                range(len(former_kinds)), [kinds.index(kind) for kind in former_kinds], return_dtype=pl.Int32
            ),
        )
        .select(new.columns)
    )
    together = pl.concat([new.cast(former.schema), former]).sort(Column.USER_CODE, Column.TIME, Column.ITEM_CODE)
    return load_events(together, n_users=len(user_ids), n_items=items.height, kind_names=tuple(kinds)), user_ids
