"""Vectors become clusters, clusters become profiles.

What a stage is: see :mod:`uicgpu.pipeline.graph`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from uicgpu.events.interactions import aggregate
from uicgpu.pipeline.previous import carry_on, lineage_sentence, read_previous
from uicgpu.pipeline.stages_tables import event_table, known_labels
from uicgpu.runs.folder import write_array, write_json, write_parquet, write_tensors
from uicgpu.runs.stages import StageContext
from uicgpu.vocabulary import Artefact, Column, StageName


def cluster_stage(context: StageContext) -> dict[str, Any]:
    """Cluster the interest vectors; write labels, centroids, quality, stability and agreement with known labels."""
    from uicgpu.cluster import cluster_vectors
    from uicgpu.cluster.quality import agreement, cluster_quality
    from uicgpu.cluster.stability import bootstrap_stability

    folder, settings, backend = context.folder, context.settings, context.backend
    vectors = np.load(folder.file(Artefact.INTEREST_VECTORS), allow_pickle=False)
    with context.progress.task("cluster", total=None, unit="users") as advance:
        clustering = cluster_vectors(vectors, settings, backend, advance)
    quality = cluster_quality(vectors, clustering, backend, settings.seed, settings.metric)
    with context.progress.task("stability", total=settings.stability_runs, unit="resamples") as advance:
        stability = bootstrap_stability(vectors, settings, backend, clustering, advance)
    facts: dict[str, Any] = {
        "algorithm": clustering.algorithm,
        "clusters": int(clustering.centroids.shape[0]),
        "unassigned": int((clustering.labels < 0).sum()),
        **clustering.facts,
    }
    if settings.previous is not None:
        user_ids = pl.read_parquet(folder.file(Artefact.BEHAVIOUR), columns=[Column.USER])[Column.USER]
        facts["previous"] = carry_on(read_previous(settings), user_ids, clustering.labels)
        context.progress.say(f"clusters of the former run: {lineage_sentence(facts['previous'])}")
    details: dict[str, Any] = {"quality": quality, "stability": stability, "agreement": None}
    truth = known_labels(context)
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
    write_tensors(folder.file(Artefact.DENSITY), clustering.model.state() if clustering.model else {})
    write_json(folder.file(Artefact.CLUSTER_FACTS), details)
    return facts


def profiles_stage(context: StageContext) -> dict[str, Any]:
    """Describe and name the clusters; write profiles, ``clusters.parquet`` and ``users.parquet``."""
    from uicgpu.profiles.profile import build_profiles
    from uicgpu.profiles.renaming import rename_clusters

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
    carried = context.facts(StageName.CLUSTER).get("previous")
    if carried:
        ids = pl.Series(carried["ids"], dtype=pl.Int32)
        built = rename_clusters(built, carried["ids"], context.settings.language)
        clustering = clustering.with_columns(
            pl.when(pl.col(name) < 0).then(pl.col(name)).otherwise(ids.gather(clustering[name].clip(0))).alias(name)
            for name in (Column.CLUSTER, Column.SECOND_CLUSTER)
        )
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
