"""What can be done with a finished run: recommend, evaluate again, ask its users, rebuild the report."""

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
from uicgpu.finetune.stage import ranking_vectors
from uicgpu.pipeline.stages_ranking import (
    fitted_recommender,
    load_catalogue,
    longer_than_catalogue,
    read_learned,
    with_ids,
)
from uicgpu.pipeline.stages_tables import event_table
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


def backend_of(settings: Settings) -> Backend:
    """Choose the backend that the settings ask for."""
    return choose_backend(settings.device, settings.threads, settings.memory)


def _folder(run: Run) -> RunFolder:
    folder = RunFolder(run.path)
    folder.load()
    return folder


def rebuild_report(path: str | Path, language: str | None = None, *, measured: bool = False) -> Path:
    """Write ``report.html`` of a finished run again and return its path.

    Parameters
    ----------
    language
        ``en`` or ``zh``; default: the run's own.
    measured
        Whether the page tells seconds and peak memory: with them it is no longer the page of an equal run.
    """
    from uicgpu.report import build_report

    run = open_run(path)
    run.facts(StageName.METRICS)
    folder = _folder(run)
    with folder.lock():
        write_text(folder.file(Artefact.REPORT), build_report(run.path, language=language, measured=measured))
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
    recommender = fitted_recommender(event_table(_folder(run)), catalogue, learned, settings, backend_of(settings))
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
    backend = backend_of(settings)
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


def ids_of(run: Run, rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ids of the clusters in these rows of the centroids, int32; -1 stays."""
    return np.where(rows < 0, rows, run.cluster_ids[np.maximum(rows, 0)]).astype(np.int32)


def rows_of(run: Run, clusters: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rows of the centroids of these clusters, int32; -1 stays."""
    order = np.argsort(run.cluster_ids)
    place = order[np.searchsorted(run.cluster_ids, np.maximum(clusters, run.cluster_ids.min()), sorter=order)]
    return np.where(clusters < 0, clusters, place).astype(np.int32)
