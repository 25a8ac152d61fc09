"""Texts and interactions become vectors: training, encoding and pooling.

What a stage is: see :mod:`uicgpu.pipeline.graph`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.pipeline.stages_tables import event_table, run_interactions
from uicgpu.runs.folder import write_array, write_parquet, write_tensors
from uicgpu.runs.progress import Progress
from uicgpu.runs.stages import StageContext
from uicgpu.settings import Settings
from uicgpu.vocabulary import Artefact, Column, StageName


def train_stage(context: StageContext) -> dict[str, Any]:
    """Fine-tune the encoder on behaviour, or record that this was not asked for."""
    from uicgpu.finetune.recipe import Recipe, recipe_of
    from uicgpu.finetune.stage import skip_stage
    from uicgpu.finetune.stage import train_stage as train_encoder

    settings = context.settings
    if not settings.train:
        return skip_stage(context)

    def recipe(architecture: str) -> Recipe:
        return recipe_of(settings.recipe, architecture, objective=settings.objective)

    return train_encoder(context, recipe, event_table(context.folder))


def encode_stage(context: StageContext) -> dict[str, Any]:
    """Encode the item texts, with the trained encoder where there is one."""
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
    context.measured["cache_hits"] = facts.pop("cache_hits")
    return facts


def interests_stage(context: StageContext) -> dict[str, Any]:
    """Pool item vectors to users; write interest vectors, the fitted pooling and several interests per user."""
    from uicgpu.interests.behaviour import feature_matrix
    from uicgpu.interests.multiple import find_interests
    from uicgpu.interests.pool import InterestPooler

    folder, settings = context.folder, context.settings
    vectors = np.load(folder.file(Artefact.ITEM_VECTORS), allow_pickle=False)
    interactions = run_interactions(context)
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


def encoder_fingerprint(settings: Settings) -> str:
    """Fingerprint of the model that the settings name: a changed model file runs the stage again."""
    from uicgpu.encode.models import fingerprint_model

    return fingerprint_model(settings.model)
