"""Events and vectors become a judged recommender and its lists.

What a stage is: see :mod:`uicgpu.pipeline.graph`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.events.interactions import EventTable
from uicgpu.pipeline.stages_tables import event_table
from uicgpu.recommend.inputs import Catalogue
from uicgpu.recommend.recommender import Recommender
from uicgpu.runs.folder import write_json, write_parquet, write_text
from uicgpu.runs.stages import StageContext
from uicgpu.settings import Settings
from uicgpu.vocabulary import Artefact, Column


def evaluate_stage(context: StageContext) -> dict[str, Any]:
    """Tune, learn and judge the recommender; write what was learned and measured."""
    from uicgpu.evaluation import evaluate, evaluation_steps
    from uicgpu.evaluation.learning import WARNING

    with context.progress.task("evaluate", total=evaluation_steps(context.settings.tune), unit="steps") as advance:
        result = evaluate(
            event_table(context.folder), _catalogue(context), context.settings, context.backend, advance=advance
        )
    for note in result.learned.get("notes", []):  # the report has them all
        context.progress.say(note, detail=not note.startswith(WARNING))
    write_text(context.folder.file(Artefact.RANKER), result.learned["ranker"].pop("model"))
    write_json(context.folder.file(Artefact.EVALUATION), {"metrics": result.metrics, "learned": result.learned})
    return {"split": result.learned.get("split"), "notes": result.learned.get("notes", [])}


def recommend_stage(context: StageContext) -> dict[str, Any]:
    """Write the best items of every user, by the recommender that the evaluation chose."""
    folder = context.folder
    learned = read_learned(folder.path)
    events = event_table(folder)
    recommender = fitted_recommender(events, _catalogue(context), learned, context.settings, context.backend)
    with context.progress.task("recommend", total=events.n_users, unit="users") as advance:
        table = recommender.recommend(top=context.settings.top, advance=advance)
    for note in recommender.notes:
        context.progress.say(note, detail=True)
    longer = longer_than_catalogue(context.settings.top, events.n_items)
    if longer:
        context.progress.say(longer)
    user_ids = pl.read_parquet(folder.file(Artefact.BEHAVIOUR), columns=[Column.USER])[Column.USER]
    item_ids = pl.read_parquet(folder.file(Artefact.ITEMS), columns=[Column.ITEM])[Column.ITEM]
    write_parquet(folder.file(Artefact.RECOMMENDATIONS), with_ids(table, user_ids, item_ids))
    return {"rows": table.height, "rungs": dict(recommender.rung_counts), "notes": list(recommender.notes)}


def longer_than_catalogue(top: int, items: int) -> str | None:
    """A sentence for whoever asks for longer lists than there are items."""
    if top <= items:
        return None
    return f"--top {top} is more than the catalogue's {items} items: lists end where a user has seen everything"


def _catalogue(context: StageContext) -> Catalogue:
    from uicgpu.finetune.stage import ranking_vectors

    folder = context.folder
    vectors = np.load(folder.file(Artefact.ITEM_VECTORS), allow_pickle=False)
    ranked = ranking_vectors(folder.path, folder.manifest, vectors)
    return load_catalogue(pl.read_parquet(folder.file(Artefact.ITEMS)), ranked)


def load_catalogue(items: pl.DataFrame, vectors: NDArray[Any]) -> Catalogue:
    """Turn ``items.parquet`` and ``item_vectors.npy`` into what recommenders work on."""
    categories = items[Column.CATEGORY].fill_null("").to_list()
    return Catalogue(
        np.asarray(vectors, np.float32),
        [tuple(filter(None, value.split("|"))) for value in categories] if any(categories) else None,
        items[Column.TITLE].to_list(),
    )


def read_learned(folder: Path) -> dict[str, Any]:
    """What the evaluation of a run learned, with the ranker's model."""
    learned: dict[str, Any] = json.loads((folder / Artefact.EVALUATION).read_text(encoding="utf-8"))["learned"]
    model = folder / Artefact.RANKER
    if model.is_file():
        learned.setdefault("ranker", {})["model"] = model.read_text(encoding="utf-8")
    return learned


def fitted_recommender(
    events: EventTable, catalogue: Catalogue, learned: dict[str, Any], settings: Settings, backend: Backend
) -> Recommender:
    """Fit the recommender on all events with what the evaluation learned."""
    recommender = Recommender(
        learned,
        backend,
        allow_repeat=settings.allow_repeat,
        half_life=settings.half_life,
        seed=settings.seed,
    )
    return recommender.fit(events, catalogue)


def with_ids(frame: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """Replace int32 codes (``user``, ``item``) by ids, in the column order of ``recommendations.parquet``."""
    return frame.select(
        user_ids.gather(frame[Column.USER_CODE]).alias(Column.USER),
        pl.col(Column.RANK),
        item_ids.gather(frame[Column.ITEM_CODE]).alias(Column.ITEM),
        pl.col(Column.SCORE),
        pl.col(Column.SOURCE),
        pl.col(Column.REASON),
    )
