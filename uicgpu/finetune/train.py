"""Train an encoder on behaviour, judge every arm on texts nobody trained on, and keep what is certainly better."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.encoder import Encoder
from uicgpu.encode.folders import Model
from uicgpu.finetune.behaviour import History
from uicgpu.finetune.data import Data
from uicgpu.finetune.folder import base_licence
from uicgpu.finetune.gate import Verdict, cold_ndcg, cold_task, decide
from uicgpu.finetune.ranking_map import RankingMap, centring, whitened
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.similarity import LARGEST_LOSS, meaning_of
from uicgpu.runs.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from uicgpu.finetune.processes import Processes

REFERENCE: Final = "half-whitened"
ALGORITHM: Final = 1
"""Raised when the same data and settings would give other weights: old checkpoints are then not used."""


@dataclass(frozen=True)
class Arm:
    """One candidate: weights (None: the base's), a ranking map, and the vectors it gives."""

    weights: str | None
    ranking: RankingMap


@dataclass(frozen=True)
class FineTuned:
    """What a training gives.

    Attributes
    ----------
    model
        The base.
    weights
        Trained tensors of the arm that ships, None where it is the base's own.
    ranking
        Its ranking map.
    verdict
        What the gate said of every arm.
    facts
        For the model card, the manifest and the reader.
    arms
        All arms by name.
    states
        Trained tensors by the name that arms use.
    vectors
        Plain vectors of all distinct texts, float32 [texts, dim], by that name; None is the base.
    """

    model: Model
    weights: dict[str, NDArray[Any]] | None
    ranking: RankingMap
    verdict: Verdict
    facts: dict[str, Any]
    arms: dict[str, Arm]
    states: dict[str, dict[str, NDArray[Any]]]
    vectors: dict[str | None, NDArray[np.float32]]


def fine_tune(
    data: Data,
    encoder: Encoder,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    memory: int = 4 * 2**30,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> FineTuned:
    """Train the arms of a recipe and choose among them.

    Parameters
    ----------
    data
        From :func:`uicgpu.finetune.data.prepare`.
    encoder
        The base encoder, with its cache.
    recipe
        What to train.
    device, threads, memory
        Where; none of them changes the result on a CPU.
    checkpoints
        Folder for checkpoints: a killed training goes on from there.
    progress
        Shows estimate, loss and validation.
    processes
        Those that train together; None for one.

    Raises
    ------
    MissingExtraError
        LoRA without the package peft.
    UicError
        A loss that is not finite.
    """
    from uicgpu.finetune.objective import spread_uniformity

    progress = progress or SilentProgress()
    started = time.process_time()
    with progress.task("encode", total=len(data.texts), unit="texts") as advance:
        frozen = encoder.encode(data.texts.texts, advance)
    model = encoder.model
    task = cold_task(data.past, data.history, data.held, seed)
    identity = _identity(data, model, recipe, seed)
    arms: dict[str, Arm] = {}
    scores: dict[str, NDArray[np.float64]] = {}
    records: dict[str, Any] = {}

    def add(name: str, vectors: NDArray[np.float32], weights: str | None, ranking: RankingMap) -> None:
        arms[name] = Arm(weights, ranking)
        scores[name] = cold_ndcg(task, ranking.apply(vectors))

    def add_whitened(name: str, vectors: NDArray[np.float32], weights: str | None) -> None:
        whitening = whitened(vectors, data.rows)
        add(f"{name} + whitening" if name else REFERENCE, vectors, weights, whitening)
        if recipe.name == "whiten":
            return
        label = f"{name} + head" if name else "head"
        from uicgpu.finetune.arms import train_head

        inputs = whitening.apply(vectors)
        ranking, record = train_head(inputs, data.past, data.later, whitening, seed, label, progress)
        records[label] = record
        add(label, vectors, weights, ranking.then(centring(ranking.apply(vectors[data.rows]))))
        add(f"{label} + whitening", vectors, weights, whitened(vectors, data.rows, ranking))

    add("frozen", frozen, None, RankingMap((centring(frozen[data.rows]),)))
    add_whitened("", frozen, None)
    english = model.english_only
    before = meaning_of(encoder.encode, english_only=english)
    guards = {"base": before}
    states: dict[str, dict[str, NDArray[Any]]] = {}
    plain: dict[str | None, NDArray[np.float32]] = {None: frozen}
    if recipe.trains_encoder:
        from uicgpu.finetune.arms import load_weights, train_encoder_weights, trainable_encoder, weights_of
        from uicgpu.finetune.processes import ALONE

        trainable = trainable_encoder(
            model, data.texts.texts, recipe, device, threads, memory, seed, processes or ALONE
        )
        base_state = weights_of(trainable)
        readable = np.flatnonzero(~data.held)
        records |= train_encoder_weights(
            trainable, data.past, data.later, readable, recipe, seed, checkpoints, identity, progress
        )
        trained = weights_of(trainable)
        half = {name: ((base_state[name] + value) / 2).astype(np.float32) for name, value in trained.items()}
        for name, state in (("blend", half), (recipe.name, trained)):
            load_weights(trainable, state)
            states[name] = state
            with progress.task(f"encode with {name}", total=len(data.texts), unit="texts") as advance:
                plain[name] = trainable.vectors(np.arange(len(data.texts)), advance)
            guards[name] = meaning_of(trainable.encode, english_only=english)
            add(name, plain[name], name, RankingMap((centring(plain[name][data.rows]),)))
            add_whitened(name, plain[name], name)
    meaning = {name: guard.similarity for name, guard in guards.items()}
    structure = {name: 1.0 if name == "base" else guard.structure_of(before) for name, guard in guards.items()}
    dull = {name for name, value in meaning.items() if value < meaning["base"] - LARGEST_LOSS}
    strange = {name for name, value in structure.items() if value < recipe.structure}
    harmed = dull | strange
    eligible = {name: value for name, value in scores.items() if arms[name].weights not in harmed}
    verdict = decide(eligible, REFERENCE, seed)
    chosen = arms[verdict.chosen]
    facts = {
        "base": base_facts(model),
        "base_licence": base_licence(model),
        "data": {
            "sha256": data.sha256,
            "pairs": len(data.history),
            "users": int((data.history.lengths > 0).sum()),
            "texts": len(data.texts),
            "held_out_texts": int(data.held.sum()),
        },
        "gate": {
            "chosen": verdict.chosen,
            "reason": verdict.reason,
            "table": verdict.table,
            "users": int(task.users.size),
            "refused_for_meaning": sorted(dull),
            "refused_for_structure": sorted(strange),
        },
        "similarity": {**meaning, "shipped": meaning[chosen.weights or "base"]},
        "structure": {**structure, "shipped": structure[chosen.weights or "base"]},
        "uniformity": {
            "base": spread_uniformity(frozen[data.rows]),
            "shipped": spread_uniformity(plain[chosen.weights][data.rows]),
            "ranking": spread_uniformity(chosen.ranking.apply(plain[chosen.weights][data.rows])),
        },
        "alignment": {
            "base": _alignment(frozen, data.past),
            "shipped": _alignment(plain[chosen.weights], data.past),
        },
        "settings": {**recipe.describe(), "seed": seed},
        "records": records,
    }
    for name in sorted(strange):
        progress.say(
            f"the weights of {name} were not considered: general texts lie too differently from before "
            f"(correlation {structure[name]:.2f}, least {recipe.structure:.2f})"
        )
    progress.say(verdict.reason)
    progress.say(f"training took {time.process_time() - started:.0f} CPU seconds")
    return FineTuned(
        model,
        states[chosen.weights] if chosen.weights else None,
        chosen.ranking,
        verdict,
        facts,
        arms,
        states,
        plain,
    )


def base_facts(model: Model) -> dict[str, Any]:
    """Return what the model card says of the base."""
    return {
        "name": model.name,
        "architecture": model.architecture,
        "dim": model.dim,
        "pooling": model.pooling,
        "weights_sha256": model.weights_sha256,
    }


def _alignment(vectors: NDArray[np.float32], past: History) -> float:
    """Mean squared distance of texts that a user acted on one after the other (a fixed spread of pairs)."""
    import torch

    from uicgpu.finetune.objective import alignment

    pairs = np.flatnonzero(np.diff(past.users) == 0)
    pairs = pairs[np.linspace(0, pairs.size - 1, min(5000, pairs.size)).astype(np.int64)] if pairs.size else pairs
    left, right = (torch.from_numpy(vectors[past.texts[pairs + shift]]) for shift in (0, 1))
    return alignment(left, right)


def _identity(data: Data, model: Model, recipe: Recipe, seed: int) -> str:
    described = [ALGORITHM, data.sha256, model.identity, recipe.describe(), seed]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
