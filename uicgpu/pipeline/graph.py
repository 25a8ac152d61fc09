"""The data flow as stages: from events and items to the report.

This is the one place that knows which room feeds which artefact. A stage is a function that reads artefacts of earlier
stages, calls one room, writes its own artefacts and returns facts for the manifest; the functions are in
``stages_tables.py``, ``stages_vectors.py``, ``stages_clusters.py`` and ``stages_ranking.py``, what depends on what is
the table below.
"""

from __future__ import annotations

import json
from typing import Any

from uicgpu.pipeline.previous import NEXT_ID, previous_fingerprint
from uicgpu.pipeline.stages_clusters import cluster_stage, profiles_stage
from uicgpu.pipeline.stages_ranking import evaluate_stage, recommend_stage
from uicgpu.pipeline.stages_tables import clean_stage, items_stage
from uicgpu.pipeline.stages_vectors import encode_stage, encoder_fingerprint, interests_stage, train_stage
from uicgpu.runs.folder import write_json, write_text
from uicgpu.runs.stages import Stage, StageContext
from uicgpu.settings import CLUSTERING_SETTINGS, MACHINE_SETTINGS, Settings
from uicgpu.vocabulary import Artefact, StageName

COLUMN_SETTINGS = (
    "user_column",
    "item_column",
    "time_column",
    "kind_column",
    "value_column",
    "text_columns",
    "category_column",
)


def metrics_stage(context: StageContext) -> dict[str, Any]:
    """Write ``metrics.json``: what the evaluation and the clustering measured, as flat numbers."""
    folder = context.folder
    metrics = dict(json.loads(folder.file(Artefact.EVALUATION).read_text(encoding="utf-8"))["metrics"])
    details = json.loads(folder.file(Artefact.CLUSTER_FACTS).read_text(encoding="utf-8"))
    for group in ("quality", "stability", "agreement"):
        prefix = "cluster" if group != "stability" else "cluster.stability"
        for name, value in (details[group] or {}).items():
            if not isinstance(value, list | dict):
                metrics[f"{prefix}.{name}"] = value
    facts = context.facts(StageName.CLUSTER)
    metrics["cluster.count"] = facts["clusters"]
    carried = facts.get("previous")
    if carried:
        metrics["cluster.previous.users"] = carried["users"]
        metrics |= {
            f"cluster.previous.{name}": len(carried[name]) for name in ("kept", "births", "deaths", "splits", "merges")
        }
        metrics[NEXT_ID] = carried["next_id"]
    write_json(folder.file(Artefact.METRICS), metrics)
    return {"metrics": len(metrics)}


def report_stage(context: StageContext) -> dict[str, Any]:
    """Write ``report.html`` from the finished artefacts, without seconds: equal runs leave equal bytes."""
    from uicgpu.report import build_report

    write_text(context.folder.file(Artefact.REPORT), build_report(context.folder.path, measured=False))
    return {}


STAGES: tuple[Stage, ...] = (
    Stage(
        StageName.CLEAN,
        clean_stage,
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
        items_stage,
        outputs=(Artefact.ITEMS, Artefact.ATTRIBUTES, Artefact.REJECTED),
        needs=(StageName.CLEAN,),
        settings=("item_id_column", "item_column", "text_columns", "category_column", "user_id_column", "label_column"),
        inputs=("items", "users"),
    ),
    Stage(
        StageName.TRAIN,
        train_stage,
        outputs=(Artefact.TRAINING,),
        needs=(StageName.CLEAN, StageName.ITEMS),
        settings=("train", "recipe", "objective", "model", "max_tokens", "split", "seed"),
        fingerprint=encoder_fingerprint,
        version=2,
    ),
    Stage(
        StageName.ENCODE,
        encode_stage,
        outputs=(Artefact.ITEM_VECTORS,),
        needs=(StageName.ITEMS, StageName.TRAIN),
        settings=("model", "max_tokens", "batch_tokens", "long_texts", "prompt", "dim", "dtype"),
        fingerprint=encoder_fingerprint,
        version=2,
    ),
    Stage(
        StageName.INTERESTS,
        interests_stage,
        outputs=(Artefact.INTEREST_VECTORS, Artefact.POOLING, Artefact.USER_INTERESTS),
        needs=(StageName.CLEAN, StageName.ENCODE),
        settings=("half_life", "numeric_weight"),
        version=3,
    ),
    Stage(
        StageName.CLUSTER,
        cluster_stage,
        outputs=(Artefact.CLUSTERING, Artefact.CENTROIDS, Artefact.DENSITY, Artefact.CLUSTER_FACTS),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.INTERESTS),
        settings=(
            *CLUSTERING_SETTINGS,
            "stability_runs",
            "label_column",
            "seed",
        ),
        fingerprint=previous_fingerprint,
        version=3,
    ),
    Stage(
        StageName.PROFILES,
        profiles_stage,
        outputs=(Artefact.PROFILES, Artefact.CLUSTERS, Artefact.USERS),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.ENCODE, StageName.CLUSTER),
        settings=("half_life", "language", "k_anonymity", "small_clusters", "unnamed_words", "llm_url", "llm_model"),
        version=2,
    ),
    Stage(
        StageName.EVALUATE,
        evaluate_stage,
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
            *CLUSTERING_SETTINGS,
            "seed",
            "memory",
        ),
        version=5,
    ),
    Stage(
        StageName.RECOMMEND,
        recommend_stage,
        outputs=(Artefact.RECOMMENDATIONS,),
        needs=(StageName.CLEAN, StageName.ITEMS, StageName.TRAIN, StageName.ENCODE, StageName.EVALUATE),
        settings=("half_life", "top", "allow_repeat", "seed", "memory"),
        version=3,
    ),
    Stage(
        StageName.METRICS,
        metrics_stage,
        outputs=(Artefact.METRICS,),
        needs=(StageName.CLUSTER, StageName.EVALUATE),
    ),
    Stage(
        StageName.REPORT,
        report_stage,
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
        version=3,
    ),
)
"""The pipeline, in order. The report prints the settings, so it depends on all that are not about the machine."""
