"""The data flow as stages: from events and items to the report.

This is the one place that knows which room feeds which artefact. Each function below is a stage: it reads artefacts of
earlier stages, calls one room, writes its own artefacts and returns facts for the manifest.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import SettingsError
from uicgpu.events.interactions import EventTable, Interactions, aggregate, load_events
from uicgpu.recommend.inputs import Catalogue
from uicgpu.recommend.recommender import Recommender
from uicgpu.runs.folder import RunFolder, write_array, write_json, write_parquet, write_tensors, write_text
from uicgpu.runs.progress import Progress
from uicgpu.runs.stages import Stage, StageContext
from uicgpu.settings import MACHINE_SETTINGS, Settings
from uicgpu.vocabulary import Artefact, Column, StageName

COLUMN_SETTINGS = (
    "user_column",
    "item_column",
    "time_column",
    "kind_column",
    "value_column",
    "text_columns",
    "category_column",
)


def _clean(context: StageContext) -> dict[str, Any]:
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


def _items(context: StageContext) -> dict[str, Any]:
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


def _train(context: StageContext) -> dict[str, Any]:
    from uicgpu.finetune.recipe import recipe_of
    from uicgpu.finetune.stage import skip_stage, train_stage

    settings = context.settings
    if not settings.train:
        return skip_stage(context)
    return train_stage(context, lambda kind: recipe_of(settings.recipe, kind), event_table(context.folder))


def _encode(context: StageContext) -> dict[str, Any]:
    from uicgpu.finetune.stage import trained_encoder

    folder, settings = context.folder, context.settings
    trained = trained_encoder(folder.path, folder.manifest)
    if trained is not None:
        settings = settings.model_copy(update={"model": str(trained)})
    texts = pl.read_parquet(folder.file(Artefact.ITEMS), columns=[Column.TEXT])[Column.TEXT].to_list()
    facts = encode_file(texts, folder.file(Artefact.ITEM_VECTORS), settings, context.backend, context.progress)
    if trained is not None:  # what the encoder is, not where it lies: facts are free of paths
        told = context.facts(StageName.TRAIN)
        facts |= {"model": f"{told['base']} after behaviour", "message": told["reason"]}
    # Cache hits differ between two runs that give the same vectors: they may not enter the keys of later stages.
    return {name: value for name, value in facts.items() if name != "cache_hits"}


def encode_texts(
    texts: list[str], settings: Settings, backend: Backend, progress: Progress
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Encode with the run's settings and the default cache; returns vectors and the encoder's facts."""
    from uicgpu.encode import Encoder

    encoder = Encoder.from_settings(settings, device=backend.device, say=progress.say)
    with progress.task("encode", total=len(texts), unit="texts") as advance:
        vectors = encoder.encode(texts, advance=advance)
    return vectors, encoder.facts


def encode_file(
    texts: list[str], out_file: Path, settings: Settings, backend: Backend, progress: Progress
) -> dict[str, Any]:
    """Like :func:`encode_texts`, straight into a ``.npy`` file; memory does not grow with the number of texts."""
    from uicgpu.encode import Encoder

    encoder = Encoder.from_settings(settings, device=backend.device, say=progress.say)
    with progress.task("encode", total=len(texts), unit="texts") as advance:
        half = settings.vectors_dtype == "fp16"
        encoder.encode_to(out_file, texts, advance, dtype="float16" if half else "float32")
    return encoder.facts


def _encoder_fingerprint(settings: Settings) -> str:
    from uicgpu.encode.models import fingerprint_model

    return fingerprint_model(settings.model)


def event_table(folder: RunFolder) -> EventTable:
    """Load the clean events of a run."""
    events = pl.read_parquet(folder.file(Artefact.EVENTS))
    items = pl.scan_parquet(folder.file(Artefact.ITEMS)).select(pl.len()).collect().item()
    facts = folder.manifest["stages"][StageName.CLEAN]["facts"]
    return load_events(events, n_users=facts["users"], n_items=items, kind_names=tuple(facts["kind_names"]))


def _interactions(context: StageContext) -> Interactions:
    return aggregate(event_table(context.folder), half_life=context.settings.half_life)


def _interests(context: StageContext) -> dict[str, Any]:
    from uicgpu.interests.behaviour import feature_matrix
    from uicgpu.interests.multiple import find_interests
    from uicgpu.interests.pool import InterestPooler

    folder, settings = context.folder, context.settings
    vectors = np.load(folder.file(Artefact.ITEM_VECTORS), allow_pickle=False)
    interactions = _interactions(context)
    features = None
    if settings.numeric_weight > 0:
        features = feature_matrix(pl.read_parquet(folder.file(Artefact.BEHAVIOUR)))
    pooler = InterestPooler(numeric_weight=settings.numeric_weight)
    pooler.fit(interactions, vectors, features)
    pooled = pooler.transform(interactions, vectors, features, backend=context.backend)
    write_array(folder.file(Artefact.INTEREST_VECTORS), pooled)
    write_tensors(folder.file(Artefact.POOLING), pooler.state())
    with context.progress.task("interests", total=interactions.n_users, unit="users") as advance:
        several = find_interests(interactions, pooler.centred(vectors), pooler.idf, context.backend, advance=advance)
    write_parquet(folder.file(Artefact.USER_INTERESTS), several.frame())
    return {
        "users": int(pooled.shape[0]),
        "dimensions": int(pooled.shape[1]),
        "users_without_text": int((~pooled.any(axis=1)).sum()),
        "interests_per_user": round(several.items.size / max(interactions.n_users, 1), 3),
        "numeric_features": 0 if features is None else len(features.names),
    }


def _cluster(context: StageContext) -> dict[str, Any]:
    from uicgpu.cluster import cluster_vectors
    from uicgpu.cluster.quality import agreement, cluster_quality
    from uicgpu.cluster.stability import bootstrap_stability

    folder, settings, backend = context.folder, context.settings, context.backend
    vectors = np.load(folder.file(Artefact.INTEREST_VECTORS), allow_pickle=False)
    with context.progress.task("cluster", total=None, unit="users") as advance:
        clustering = cluster_vectors(vectors, settings, backend, advance)
    quality = cluster_quality(vectors, clustering, backend, settings.seed)
    with context.progress.task("stability", total=settings.stability_runs, unit="resamples") as advance:
        stability = bootstrap_stability(vectors, settings, backend, clustering, advance)
    facts: dict[str, Any] = {
        "algorithm": clustering.algorithm,
        "clusters": int(clustering.centroids.shape[0]),
        "unassigned": int((clustering.labels < 0).sum()),
        **clustering.facts,
    }
    details: dict[str, Any] = {"quality": quality, "stability": stability, "agreement": None}
    truth = _labels(context)
    if truth is not None:
        details["agreement"] = agreement(clustering.labels, truth)
    write_parquet(
        folder.file(Artefact.CLUSTERING),
        pl.DataFrame(
            {
                Column.CLUSTER: clustering.labels.astype(np.int32),
                Column.SECOND_CLUSTER: clustering.second_labels.astype(np.int32),
                Column.CONFIDENCE: clustering.confidence.astype(np.float32),
            }
        ),
    )
    write_array(folder.file(Artefact.CENTROIDS), clustering.centroids.astype(np.float32))
    write_json(folder.file(Artefact.CLUSTER_FACTS), details)
    return facts


def _labels(context: StageContext) -> NDArray[Any] | None:
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


def _profiles(context: StageContext) -> dict[str, Any]:
    from uicgpu.profiles.profile import build_profiles

    folder = context.folder
    clustering = pl.read_parquet(folder.file(Artefact.CLUSTERING))
    behaviour = pl.read_parquet(folder.file(Artefact.BEHAVIOUR))
    attributes = pl.read_parquet(folder.file(Artefact.ATTRIBUTES))
    details = json.loads(folder.file(Artefact.CLUSTER_FACTS).read_text(encoding="utf-8"))
    events = event_table(folder)
    interactions = aggregate(events, half_life=context.settings.half_life)
    built = build_profiles(
        labels=clustering[Column.CLUSTER].to_numpy(),
        interactions=interactions,
        items=pl.read_parquet(folder.file(Artefact.ITEMS)),
        item_vectors=np.load(folder.file(Artefact.ITEM_VECTORS), allow_pickle=False),
        behaviour=behaviour,
        attributes=attributes if attributes.width > 1 else None,
        confidence=clustering[Column.CONFIDENCE].to_numpy(),
        silhouettes=details["quality"].get("per_cluster_silhouette"),
        centroids=np.load(folder.file(Artefact.CENTROIDS), allow_pickle=False),
        settings=context.settings,
        events=events,
        stabilities=details["stability"].get("per_cluster"),
    )
    for note in built.notes:
        context.progress.say(note)
    write_json(folder.file(Artefact.PROFILES), built.profiles)
    write_parquet(folder.file(Artefact.CLUSTERS), built.clusters)
    counts = np.zeros(interactions.n_users, np.int64)
    np.add.at(counts, interactions.users, interactions.events)
    users = pl.DataFrame(
        {
            Column.USER: behaviour[Column.USER],
            Column.CLUSTER: clustering[Column.CLUSTER],
            Column.CONFIDENCE: clustering[Column.CONFIDENCE],
            Column.SECOND_CLUSTER: clustering[Column.SECOND_CLUSTER],
            Column.EVENTS: counts.astype(np.int32),
            Column.ROW: np.arange(interactions.n_users, dtype=np.int32),
        }
    )
    write_parquet(folder.file(Artefact.USERS), users)
    return {"profiles": len(built.profiles), **built.publication, "notes": built.notes}


def load_catalogue(items: pl.DataFrame, vectors: NDArray[Any]) -> Catalogue:
    """Turn ``items.parquet`` and ``item_vectors.npy`` into what recommenders work on."""
    categories = items[Column.CATEGORY].fill_null("").to_list()
    return Catalogue(
        np.asarray(vectors, np.float32),
        [tuple(filter(None, value.split("|"))) for value in categories] if any(categories) else None,
        items[Column.TITLE].to_list(),
    )


def _catalogue(context: StageContext) -> Catalogue:
    from uicgpu.finetune.stage import ranking_vectors

    folder = context.folder
    vectors = np.load(folder.file(Artefact.ITEM_VECTORS), allow_pickle=False)
    ranked = ranking_vectors(folder.path, folder.manifest, vectors)
    return load_catalogue(pl.read_parquet(folder.file(Artefact.ITEMS)), ranked)


def _evaluate(context: StageContext) -> dict[str, Any]:
    from uicgpu.evaluation import evaluate, evaluation_steps

    with context.progress.task("evaluate", total=evaluation_steps(context.settings.tune), unit="steps") as advance:
        result = evaluate(
            event_table(context.folder), _catalogue(context), context.settings, context.backend, advance=advance
        )
    for note in result.learned.get("notes", []):  # the report has them all
        context.progress.say(note, detail=True)
    write_text(context.folder.file(Artefact.RANKER), result.learned["ranker"].pop("model"))
    write_json(context.folder.file(Artefact.EVALUATION), {"metrics": result.metrics, "learned": result.learned})
    return {"split": result.learned.get("split"), "notes": result.learned.get("notes", [])}


def _recommend(context: StageContext) -> dict[str, Any]:
    folder = context.folder
    learned = read_learned(folder.path)
    events = event_table(folder)
    recommender = fitted_recommender(events, _catalogue(context), learned, context.settings, context.backend)
    with context.progress.task("recommend", total=events.n_users, unit="users") as advance:
        table = recommender.recommend(top=context.settings.top, advance=advance)
    for note in recommender.notes:
        context.progress.say(note, detail=True)
    user_ids = pl.read_parquet(folder.file(Artefact.BEHAVIOUR), columns=[Column.USER])[Column.USER]
    item_ids = pl.read_parquet(folder.file(Artefact.ITEMS), columns=[Column.ITEM])[Column.ITEM]
    write_parquet(folder.file(Artefact.RECOMMENDATIONS), with_ids(table, user_ids, item_ids))
    return {"rows": table.height, "rungs": dict(recommender.rung_counts), "notes": list(recommender.notes)}


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


def _metrics(context: StageContext) -> dict[str, Any]:
    folder = context.folder
    metrics = dict(json.loads(folder.file(Artefact.EVALUATION).read_text(encoding="utf-8"))["metrics"])
    details = json.loads(folder.file(Artefact.CLUSTER_FACTS).read_text(encoding="utf-8"))
    for group in ("quality", "stability", "agreement"):
        prefix = "cluster" if group != "stability" else "cluster.stability"
        for name, value in (details[group] or {}).items():
            if not isinstance(value, list | dict):
                metrics[f"{prefix}.{name}"] = value
    metrics["cluster.count"] = context.facts(StageName.CLUSTER)["clusters"]
    write_json(folder.file(Artefact.METRICS), metrics)
    return {"metrics": len(metrics)}


def _report(context: StageContext) -> dict[str, Any]:
    from uicgpu.report import build_report

    write_text(context.folder.file(Artefact.REPORT), build_report(context.folder.path))
    return {}


STAGES: tuple[Stage, ...] = (
    Stage(
        StageName.CLEAN,
        _clean,
        outputs=(
            Artefact.EVENTS,
            Artefact.INTERACTIONS,
            Artefact.EVENT_ITEMS,
            Artefact.BEHAVIOUR,
            Artefact.EVENT_REJECTS,
            Artefact.LABELS,
        ),
        settings=(*COLUMN_SETTINGS, "kind_weights", "half_life", "min_value", "item_pattern", "label_column"),
        inputs=("events",),
    ),
    Stage(
        StageName.ITEMS,
        _items,
        outputs=(Artefact.ITEMS, Artefact.ATTRIBUTES, Artefact.REJECTED),
        needs=(StageName.CLEAN,),
        settings=("item_id_column", "item_column", "text_columns", "category_column", "user_id_column", "label_column"),
        inputs=("items", "users"),
    ),
    Stage(
        StageName.TRAIN,
        _train,
        outputs=(Artefact.TRAINING,),
        needs=(StageName.CLEAN, StageName.ITEMS),
        settings=("train", "recipe", "model", "max_tokens", "split", "seed"),
        fingerprint=_encoder_fingerprint,
    ),
    Stage(
        StageName.ENCODE,
        _encode,
        outputs=(Artefact.ITEM_VECTORS,),
        needs=(StageName.ITEMS, StageName.TRAIN),
        settings=("model", "max_tokens", "batch_tokens", "long_texts", "prompt", "dim", "dtype"),
        fingerprint=_encoder_fingerprint,
        version=2,
    ),
    Stage(
        StageName.INTERESTS,
        _interests,
        outputs=(Artefact.INTEREST_VECTORS, Artefact.POOLING, Artefact.USER_INTERESTS),
        needs=(StageName.CLEAN, StageName.ENCODE),
        settings=("half_life", "numeric_weight"),
        version=2,
    ),
    Stage(
        StageName.CLUSTER,
        _cluster,
        outputs=(Artefact.CLUSTERING, Artefact.CENTROIDS, Artefact.CLUSTER_FACTS),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.INTERESTS),
        settings=(
            "algorithm",
            "k",
            "min_cluster_size",
            "min_samples",
            "eps",
            "linkage",
            "noise",
            "stability_runs",
            "label_column",
            "seed",
        ),
        version=2,
    ),
    Stage(
        StageName.PROFILES,
        _profiles,
        outputs=(Artefact.PROFILES, Artefact.CLUSTERS, Artefact.USERS),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.ENCODE, StageName.CLUSTER),
        settings=("half_life", "language", "k_anonymity", "small_clusters", "llm_url", "llm_model"),
        version=2,
    ),
    Stage(
        StageName.EVALUATE,
        _evaluate,
        outputs=(Artefact.EVALUATION, Artefact.RANKER),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.TRAIN, StageName.ENCODE),
        settings=(
            "half_life",
            "split",
            "tune",
            "evaluate_users",
            "bootstrap",
            "top",
            "allow_repeat",
            "algorithm",
            "k",
            "min_cluster_size",
            "min_samples",
            "eps",
            "linkage",
            "noise",
            "seed",
            "memory",
        ),
        version=3,
    ),
    Stage(
        StageName.RECOMMEND,
        _recommend,
        outputs=(Artefact.RECOMMENDATIONS,),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.TRAIN, StageName.ENCODE, StageName.EVALUATE),
        settings=("half_life", "top", "allow_repeat", "seed", "memory"),
        version=3,
    ),
    Stage(
        StageName.METRICS,
        _metrics,
        outputs=(Artefact.METRICS,),
        needs=(StageName.CLUSTER, StageName.EVALUATE),
    ),
    Stage(
        StageName.REPORT,
        _report,
        outputs=(Artefact.REPORT,),
        needs=(
            StageName.CLEAN,
            StageName.ITEMS,
            StageName.ENCODE,
            StageName.INTERESTS,
            StageName.PROFILES,
            StageName.RECOMMEND,
            StageName.METRICS,
        ),
        settings=tuple(sorted(set(Settings.model_fields) - MACHINE_SETTINGS - {"events", "items", "users"})),
        version=2,
    ),
)
"""The pipeline, in order. The report prints the settings, so it depends on all that are not about the machine."""
