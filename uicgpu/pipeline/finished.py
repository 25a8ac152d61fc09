"""What can be done with a finished run: assign users, recommend, evaluate again, rebuild the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import EventTable, aggregate, load_events
from uicgpu.finetune.stage import ranking_vectors, trained_encoder
from uicgpu.pipeline.stages_ranking import (
    fitted_recommender,
    load_catalogue,
    longer_than_catalogue,
    read_learned,
    with_ids,
)
from uicgpu.pipeline.stages_tables import event_table
from uicgpu.pipeline.stages_vectors import encode_texts
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import RunFolder, write_text
from uicgpu.runs.progress import Progress, SilentProgress
from uicgpu.settings import MACHINE_SETTINGS, Settings, checked
from uicgpu.vocabulary import Artefact, Column, StageName


def settings_of(run: Run, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings that a run was made with, with ``overrides`` (``None`` and ``()`` mean "as in the run")."""
    values = {name: value for name, value in run.manifest["settings"].items() if name not in MACHINE_SETTINGS}
    given = {name: value for name, value in (overrides or {}).items() if value is not None and value != ()}
    return checked({**values, **given}, dict.fromkeys(given, "flag"))


def _backend(settings: Settings) -> Backend:
    return choose_backend(settings.device, settings.threads, settings.memory)


def _folder(run: Run) -> RunFolder:
    folder = RunFolder(run.path)
    folder.load()
    return folder


def rebuild_report(path: str | Path, language: str | None = None) -> Path:
    """Write ``report.html`` of a finished run again and return its path.

    Parameters
    ----------
    language
        ``en`` or ``zh``; default: the run's own.
    """
    from uicgpu.report import build_report

    run = open_run(path)
    run.facts(StageName.METRICS)
    folder = _folder(run)
    with folder.lock():
        write_text(folder.file(Artefact.REPORT), build_report(run.path, language=language))
        entry = folder.manifest["stages"].get(StageName.REPORT)
        if entry:
            entry["outputs"] = {Artefact.REPORT: folder.describe(Artefact.REPORT)}
        folder.save()
    return folder.file(Artefact.REPORT)


def recommend_users(
    path: str | Path,
    users: Sequence[str] = (),
    top: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    typed: bool = False,
    **options: Any,
) -> pl.DataFrame:
    """Recommendations of a finished run for some or all users.

    Parameters
    ----------
    users
        User ids; empty for all.
    top
        Items per user; default: as many as the run stored. More are computed anew with the run's learned weights.
    typed
        A person typed the ids, so an error may quote them.
    **options
        ``categories``, ``diversity``, ``calibration``, ``new_items`` of
        :meth:`uicgpu.recommend.Recommender.recommend`; with any of them the lists are computed anew.

    Returns
    -------
    DataFrame
        ``user_id, rank, item_id, score, source, reason``.

    Raises
    ------
    InputError
        When a user is not in the run.
    """
    run = open_run(path)
    known = run.users[Column.USER]
    wanted = pl.Series(Column.USER, list(users), pl.String)
    unknown = (~wanted.is_in(known.implode())).arg_true()
    if len(unknown):
        first = int(unknown[0])
        # An id that a person typed is theirs to see; one out of a caller's table would end up in logs.
        told = f"number {first + 1}" + (f", {users[first]!r}" if typed else "")
        raise InputError(
            f"{len(unknown)} of {len(wanted)} users are not in this run, the first is {told}",
            where=str(run.path),
            fix="uicgpu assign RUN --events PATH places users that the run has not seen",
        )
    stored = int(run.manifest["settings"]["top"])
    options = {name: value for name, value in options.items() if value}
    if not options and (top is None or top <= stored):
        frame = run.recommendations
        if top is not None:
            frame = frame.filter(pl.col(Column.RANK) <= top)
        return frame.filter(pl.col(Column.USER).is_in(wanted.implode())) if len(wanted) else frame
    return _recommend_anew(run, wanted, top or stored, overrides, progress or SilentProgress(), options)


def _recommend_anew(
    run: Run,
    wanted: pl.Series,
    top: int,
    overrides: Mapping[str, Any] | None,
    progress: Progress,
    options: Mapping[str, Any],
) -> pl.DataFrame:
    settings = settings_of(run, {**(overrides or {}), "top": top})
    learned = read_learned(run.path)
    codes: NDArray[np.int32] | None = None
    if len(wanted):
        positions = run.users.with_row_index("position").filter(pl.col(Column.USER).is_in(wanted.implode()))
        codes = positions["position"].to_numpy().astype(np.int32)
    catalogue = load_catalogue(run.items, ranking_vectors(run.path, run.manifest, run.item_vectors))
    recommender = fitted_recommender(event_table(_folder(run)), catalogue, learned, settings, _backend(settings))
    longer = longer_than_catalogue(top, run.items.height)
    if longer:
        progress.say(longer)
    with progress.task("recommend", total=len(wanted) or run.users.height, unit="users") as advance:
        table = recommender.recommend(codes, top, advance, **options)
    return with_ids(table, run.users[Column.USER], run.items[Column.ITEM])


def evaluate(
    run: Run | str | Path, overrides: Mapping[str, Any] | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Evaluate the data of a finished run again, perhaps with other settings (split, seed, resamples …).

    Parameters
    ----------
    run
        The run, or its folder.
    overrides
        Settings that differ from the run's own: ``{"split": "user-time"}``.

    Returns
    -------
    dict
        Flat figures as in ``metrics.json``: ranking figures anew, cluster figures of the run.
    """
    from uicgpu.evaluation import evaluate as evaluate_events
    from uicgpu.evaluation import evaluation_steps

    run = run if isinstance(run, Run) else open_run(run)
    settings = settings_of(run, overrides)
    progress = progress or SilentProgress()
    backend = _backend(settings)
    with backend, progress.task("evaluate", total=evaluation_steps(settings.tune), unit="steps") as advance:
        result = evaluate_events(
            event_table(_folder(run)),
            load_catalogue(run.items, ranking_vectors(run.path, run.manifest, run.item_vectors)),
            settings,
            backend,
            advance=advance,
        )
    for note in result.learned.get("notes", []):
        progress.say(note)
    clusters = {name: value for name, value in run.metrics.items() if name.startswith("cluster.")}
    return {**result.metrics, **clusters}


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
    backend = _backend(settings)
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
    placed = assign_points(pooled, np.ascontiguousarray(run.centroids), backend, model, settings.noise)
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


def ids_of(run: Run, rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ids of the clusters in these rows of the centroids, int32; -1 stays."""
    return np.where(rows < 0, rows, run.cluster_ids[np.maximum(rows, 0)]).astype(np.int32)


def rows_of(run: Run, clusters: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rows of the centroids of these clusters, int32; -1 stays."""
    order = np.argsort(run.cluster_ids)
    place = order[np.searchsorted(run.cluster_ids, np.maximum(clusters, run.cluster_ids.min()), sorter=order)]
    return np.where(clusters < 0, clusters, place).astype(np.int32)


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
