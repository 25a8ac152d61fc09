"""Trains one arm: a head over fixed vectors, or the weights of an encoder by the objective of the recipe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uicgpu.encode.folders import Model
from uicgpu.finetune import head as head_room
from uicgpu.finetune.behaviour import History
from uicgpu.finetune.blocks import BlockSampler
from uicgpu.finetune.checkpoint import Checkpoint
from uicgpu.finetune.later import LaterBehaviour
from uicgpu.finetune.masked import MaskedReader, masked_schedule
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.pairs import PairSampler
from uicgpu.finetune.processes import ALONE, Processes
from uicgpu.finetune.ranking_map import RankingMap
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.trainer import MASKED, Training
from uicgpu.runs.progress import Progress


def train_head(
    inputs: NDArray[np.float32],
    past: History,
    later: History,
    before: RankingMap,
    seed: int,
    label: str,
    progress: Progress,
) -> tuple[RankingMap, dict[str, Any]]:
    """Train a linear head over ``inputs`` [texts, dim]; returns ``before`` and the head as one map, and the record."""
    schedule = head_room.HEAD_SCHEDULE
    head = head_room.LinearHead(inputs)
    sampler = BlockSampler(past, schedule.block, schedule.pairs, seed, label.replace(" + ", "-"))
    training = Training(head, sampler, LaterBehaviour(past, later, seed), schedule, label)
    with progress.task(label, total=schedule.steps, unit="steps") as advance:
        record = training.run(advance)
    return before.then(head.affine()), _summary(dataclasses.asdict(record))


def train_encoder_weights(
    trainable: TrainableEncoder,
    past: History,
    later: History,
    readable: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    checkpoints: Path | None,
    identity: str,
    progress: Progress,
) -> dict[str, Any]:
    """Train the encoder in place; returns the record.

    Parameters
    ----------
    past, later
        Behaviour that trains, and that stops the training.
    readable
        int64, texts that masked-language modelling may read: all that are not held out.
    checkpoints, identity
        Where checkpoints go, and the hash of what they depend on.
    """
    records: dict[str, Any] = {}
    if recipe.masked_steps:
        records[MASKED] = train_masked(trainable, readable, recipe.masked_steps, seed, checkpoints, identity, progress)
    if recipe.objective == "masked":
        return records
    sampler = objective_sampler(past, recipe, seed)
    if recipe.hard_negatives:
        from uicgpu.finetune.negatives import near_texts

        sampler.add_near(near_texts(trainable.vectors(sampler.eligible)), recipe.hard_negatives)
    progress.say(estimate(trainable, sampler.draw(0).texts, recipe.schedule.steps)["words"])
    checkpoint = _checkpoint(checkpoints, recipe.name, identity, trainable)
    judge = LaterBehaviour(past, later, seed)
    training = Training(trainable, sampler, judge, recipe.schedule, recipe.name, checkpoint, progress.say)
    with progress.task(recipe.name, total=recipe.schedule.steps, unit="steps") as advance:
        record = training.run(advance)
    return {**records, recipe.name: _summary(dataclasses.asdict(record))}


def train_masked(
    trainable: TrainableEncoder,
    readable: NDArray[np.int64],
    steps: int,
    seed: int,
    checkpoints: Path | None,
    identity: str,
    progress: Progress,
    judged: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Train the encoder to fill in hidden tokens of ``readable``; returns the record.

    With ``judged``, texts that do not train, the record also has their loss before and after.
    """
    reader = MaskedReader(trainable, seed)
    progress.say(estimate(trainable, reader.hide(readable, 0).texts, steps)["words"])
    before = None if judged is None else reader.loss(judged)
    checkpoint = _checkpoint(checkpoints, MASKED, identity, trainable)
    training = Training(
        reader, reader.sampler(readable), None, masked_schedule(steps), MASKED, checkpoint, progress.say
    )
    with progress.task("masked language model", total=steps, unit="steps") as advance:
        record = _summary(dataclasses.asdict(training.run(advance)))
    return record if judged is None else {**record, "held_out_loss": [before, reader.loss(judged)]}


def objective_sampler(past: History, recipe: Recipe, seed: int) -> BlockSampler | PairSampler:
    """Return what draws the steps of the recipe's objective.

    Raises
    ------
    InputError
        When the behaviour has no pair that fits the objective.
    """
    schedule = recipe.schedule
    if recipe.objective in ("pairs", "history"):
        return PairSampler(
            recipe.objective,
            past,
            schedule.block,
            seed,
            recipe.name,
            window=recipe.window,
            window_days=recipe.window_days,
            latest=recipe.latest,
        )
    return BlockSampler(past, schedule.block, schedule.pairs, seed, recipe.name)


def estimate(trainable: TrainableEncoder, rows: NDArray[np.int64], steps: int) -> dict[str, Any]:
    """Time a step on a few texts; return what the training will take: seconds, bytes, and one line of words."""
    probe = rows[: max(8, rows.size // 8)]
    taken = []
    for _ in range(2):  # the first step also warms up
        started = time.perf_counter()
        trainable.step(probe, lambda vectors: vectors.square().sum())
        taken.append(time.perf_counter() - started)
    per_token = min(taken) / max(trainable.tokens(probe), 1)
    seconds = per_token * trainable.tokens(rows) * steps
    parameters = sum(value.numel() for value in trainable.parameters().values())
    network = sum(value.numel() for value in trainable.network.parameters())
    activations = min(trainable.activation_bytes(rows), trainable.memory)
    needed = 4 * (network + 4 * parameters) + activations
    return {
        "seconds": seconds,
        "bytes": needed,
        "words": (
            f"training {parameters:,} of {network:,} weights, {steps} steps of {rows.size} texts "
            f"({trainable.tokens(rows):,} tokens): about {seconds / 60:.0f} min and {needed / 2**30:.1f} GiB"
        ),
    }


def trainable_encoder(
    model: Model,
    texts: list[str],
    recipe: Recipe,
    device: str,
    threads: int,
    memory: int,
    seed: int,
    processes: Processes = ALONE,
) -> TrainableEncoder:
    """Return the base with what trains: all weights, or adapters."""
    adapt: Callable[[Any], Any] | None = None
    if recipe.name == "lora":
        from uicgpu.finetune.lora import low_rank

        adapt = low_rank(recipe.rank, seed)
    return TrainableEncoder(model, texts, device, threads, memory // 2, adapt, processes)


def weights_of(trainable: TrainableEncoder) -> dict[str, NDArray[Any]]:
    """Weights of the plain network by name, adapters folded in."""
    from uicgpu.finetune.lora import folded_state

    return {name: value.detach().cpu().numpy().copy() for name, value in folded_state(trainable.network).items()}


def load_weights(trainable: TrainableEncoder, state: dict[str, NDArray[Any]]) -> None:
    """Put weights of the plain network in place; adapters are gone afterwards."""
    from uicgpu.finetune.lora import without_adapters

    trainable.network = without_adapters(trainable.network)
    trainable.network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)


def _checkpoint(folder: Path | None, name: str, identity: str, trainable: TrainableEncoder) -> Checkpoint | None:
    return None if folder is None else Checkpoint(folder, name, identity, writes=trainable.processes.main)


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """Keep the record short: every tenth loss."""
    return {**record, "losses": record["losses"][::10], "validation": [list(pair) for pair in record["validation"]]}
