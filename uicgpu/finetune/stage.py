"""Training as one piece of work: from the events of a run, or of files, to an encoder folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Backend
from uicgpu.encode.encoder import Encoder
from uicgpu.encode.models import find_model
from uicgpu.errors import InputError, RunFolderError, SettingsError
from uicgpu.events.interactions import EventTable, load_events
from uicgpu.events.split import split_events
from uicgpu.finetune.data import prepare
from uicgpu.finetune.folder import check_out, read_ranking_map, write_encoder
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.train import FineTuned, fine_tune
from uicgpu.runs.folder import write_json
from uicgpu.runs.progress import Progress, SilentProgress
from uicgpu.runs.stages import StageContext
from uicgpu.settings import Settings
from uicgpu.vocabulary import Artefact, Column, StageName

ENCODER_FOLDER: Final = "encoder"
"""The trained encoder inside a run folder."""

RecipeOf = Callable[[str], Recipe]
"""From the base's architecture to the recipe."""


def train_encoder(
    settings: Settings,
    recipe_of: RecipeOf,
    out: Path,
    progress: Progress,
    *,
    fresh: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Read events and items, train, and write the encoder folder.

    Only the training part of ``settings.split`` is learned from, so that the encoder may be evaluated with the same
    split afterwards; ``--split none`` learns from everything.

    Parameters
    ----------
    settings
        Inputs, columns, cleaning, encoder, split, seed, machine.
    recipe_of
        What to train.
    out
        The encoder folder; checkpoints lie beside it until it is finished.
    progress
        Shows what happens.
    fresh
        Replace an encoder in ``out`` and forget checkpoints.
    dry_run
        Say what would be trained; write nothing.

    Returns
    -------
    dict
        What ships and why, figures, and where it is.
    """
    texts_only = not settings.events and bool(settings.items) and settings.objective == "masked"
    if not settings.events and not texts_only:
        raise SettingsError(
            "no events given",
            fix="add --events PATH (a file, a folder or a glob), or --objective masked to learn from --items alone",
        )
    from uicgpu.backends.probe import probe_device
    from uicgpu.finetune.processes import several_processes

    processes = several_processes(cpu=settings.device == "cpu" or not probe_device().available)
    if processes.device is not None:
        settings = settings.model_copy(update={"device": processes.device})
    if not processes.main:
        progress = SilentProgress()
    check_out(out, fresh=fresh)
    processes.wait()  # none may look for an empty folder after another one wrote it
    backend = choose_backend(settings.device, settings.threads, settings.memory)
    events, texts = _read(settings, backend, progress)
    encoder = _encoder(settings.model, settings, backend, texts, progress)
    recipe = recipe_of(encoder.model.architecture)
    train = _training_part(events, settings, progress) if events is not None else None
    if dry_run:
        from uicgpu.finetune.plan import plan_training

        return plan_training(train, texts, recipe, encoder)
    checkpoints = out.with_name(f".{out.name}.checkpoints")
    if fresh and processes.main:
        shutil.rmtree(checkpoints, ignore_errors=True)
    machine: dict[str, Any] = {
        "seed": settings.seed,
        "device": backend.device,
        "threads": settings.threads,
        "memory": settings.memory,
        "checkpoints": checkpoints,
        "progress": progress,
        "processes": processes,
    }
    if train is None:
        from uicgpu.finetune.texts_only import adapt_to_texts

        tuned = adapt_to_texts(texts, encoder, recipe, **machine)
    else:
        tuned = fine_tune(prepare(train, texts, recipe, settings.seed), encoder, recipe, **machine)
    processes.wait()
    if processes.main:
        write_encoder(out, tuned.model, tuned.weights, tuned.ranking, tuned.facts)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return {**summary(tuned), "out": str(out.resolve())}


def train_stage(context: StageContext, recipe_of: RecipeOf, events: EventTable) -> dict[str, Any]:
    """Train on the run's events as a stage; writes ``encoder/`` and ``stages/training.json``.

    Parameters
    ----------
    context
        The run, with clean events and items done.
    recipe_of
        What to train.
    events
        All clean events; the run's split decides which of them may be learned from.
    """
    folder, settings = context.folder, context.settings
    texts = pl.read_parquet(folder.file(Artefact.ITEMS), columns=[Column.TEXT])[Column.TEXT].to_list()
    encoder = _encoder(settings.model, settings, context.backend, texts, context.progress)
    recipe = recipe_of(encoder.model.architecture)
    data = prepare(_training_part(events, settings, context.progress), texts, recipe, settings.seed)
    checkpoints = folder.file("stages/train-checkpoints")
    tuned = fine_tune(
        data,
        encoder,
        recipe,
        seed=settings.seed,
        device=context.backend.device,
        threads=settings.threads,
        memory=settings.memory,
        checkpoints=checkpoints,
        progress=context.progress,
    )
    write_encoder(folder.file(ENCODER_FOLDER), tuned.model, tuned.weights, tuned.ranking, tuned.facts)
    found = {"trained": True, "weights_sha256": find_model(str(folder.file(ENCODER_FOLDER))).weights_sha256}
    write_json(folder.file(Artefact.TRAINING), {**found, **tuned.facts})
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {**found, **summary(tuned)}


def skip_stage(context: StageContext) -> dict[str, Any]:
    """Write down that this run trains nothing."""
    write_json(context.folder.file(Artefact.TRAINING), {"trained": False})
    return {"trained": False}


def trained_encoder(run: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Return the encoder that a run trained, None where it trained none.

    Raises
    ------
    RunFolderError
        When its weights are not those that the run recorded.
    """
    facts = manifest["stages"].get(StageName.TRAIN, {}).get("facts", {})
    if not facts.get("trained"):
        return None
    folder = run / ENCODER_FOLDER
    if find_model(str(folder)).weights_sha256 != facts["weights_sha256"]:
        raise RunFolderError(
            "the trained encoder is not the one that this run wrote", where=str(folder), fix="run again with --fresh"
        )
    return folder


def ranking_vectors(run: Path, manifest: Mapping[str, Any], vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return item vectors for ranking: those of the run through the trained ranking map, if there is one."""
    encoder = trained_encoder(run, manifest)
    if encoder is None:
        return np.asarray(vectors, np.float32)
    return read_ranking_map(encoder).apply(vectors)


def summary(tuned: FineTuned) -> dict[str, Any]:
    """Return what a reader wants to know, flat and JSON-able."""
    facts = tuned.facts
    row = next((row for row in tuned.verdict.table if row["arm"] == tuned.verdict.chosen), {})
    return {
        "base": facts["base"]["name"],
        "ships": tuned.verdict.chosen,
        "reason": tuned.verdict.reason,
        "encoder_changed": tuned.weights is not None,
        "ndcg_held_out": row.get("ndcg"),
        "gain_percent": row.get("gain"),
        "gain_low": row.get("low"),
        "gain_high": row.get("high"),
        "users_judged": facts["gate"]["users"],
        "pairs": facts["data"]["pairs"],
        "similarity_base": round(facts["similarity"]["base"], 4),
        "similarity_shipped": round(facts["similarity"]["shipped"], 4),
        "data_sha256": facts["data"]["sha256"],
    }


def _read(settings: Settings, backend: Backend, progress: Progress) -> tuple[EventTable | None, list[str]]:
    """Return events (None where none are given) and one text per item."""
    from uicgpu.events.clean import clean_events
    from uicgpu.items.read import read_items

    if not settings.events:
        none = pl.DataFrame(schema={Column.ITEM: pl.String, Column.TEXT: pl.String, Column.CATEGORY: pl.String})
        return None, read_items(settings, none, progress.say).items[Column.TEXT].to_list()
    with tempfile.TemporaryDirectory(prefix="uicgpu-train-") as scratch:
        cleaned = clean_events(settings, backend, Path(scratch) / "events", progress.say)
    column = cleaned.facts["columns"]["item"]
    items = read_items(settings, cleaned.event_items, progress.say, event_item_column=column).items
    table = load_events(
        cleaned.events, n_users=cleaned.facts["users"], n_items=items.height, kind_names=tuple(cleaned.kind_names)
    )
    return table, items[Column.TEXT].to_list()


def _encoder(model: str, settings: Settings, backend: Backend, texts: list[str], progress: Progress) -> Encoder:
    encoder = Encoder(
        model,
        device=backend.device,
        cache="default",
        threads=settings.threads,
        batch_tokens=settings.batch_tokens,
        max_tokens=settings.max_tokens,
        say=progress.say,
    )
    if model == "auto":
        encoder.encode(texts[:: max(1, len(texts) // 256)])  # the first texts that it sees choose the encoder
    if getattr(encoder.model, "dense", ()):
        raise InputError(
            f"encoder {encoder.model.name} ends in linear layers, which are not trained",
            where=str(encoder.model.folder),
            fix="train the encoder that it was made from",
        )
    return encoder


def _training_part(events: EventTable, settings: Settings, progress: Progress) -> EventTable:
    split = split_events(events, settings.split, settings.seed)
    train = split.train
    if split.kind != "none":
        progress.say(
            f"train on {len(train):,} of {len(events):,} events: the rest is for the evaluation, --split {split.kind}"
        )
    return train
