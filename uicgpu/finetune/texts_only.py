"""Adapt an encoder to a catalogue's words where there is no behaviour: masked language modelling, and a guard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from uicgpu.encode.encoder import Encoder
from uicgpu.errors import InputError
from uicgpu.finetune.behaviour import LEAST_TEXTS, distinct
from uicgpu.finetune.folder import base_licence
from uicgpu.finetune.gate import Verdict
from uicgpu.finetune.objective import spread_uniformity
from uicgpu.finetune.ranking_map import whitened
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.similarity import LARGEST_LOSS, meaning_of
from uicgpu.finetune.train import ALGORITHM, REFERENCE, Arm, FineTuned, base_facts
from uicgpu.randomness import generator
from uicgpu.runs.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from uicgpu.finetune.processes import Processes

MASKED_ARM: Final = "masked + whitening"


def adapt_to_texts(
    item_texts: Sequence[object],
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
    """Train on the texts alone; ships unless general meaning is harmed, for there is no behaviour to judge by.

    A tenth of the texts does not train; the loss of its hidden tokens before and after is in the record.

    Raises
    ------
    InputError
        Too few texts, or an encoder whose tokeniser has no mask token.
    UicError
        A loss that is not finite.
    """
    from uicgpu.finetune.arms import train_masked, trainable_encoder, weights_of
    from uicgpu.finetune.processes import ALONE

    progress = progress or SilentProgress()
    texts = distinct(item_texts).texts
    if len(texts) < LEAST_TEXTS:
        raise InputError(
            f"too few texts to learn words from: {len(texts)} distinct ones, needed are {LEAST_TEXTS}",
            where="--items",
            fix="bring more items, or keep the encoder as it is",
        )
    model, english = encoder.model, encoder.model.english_only
    frozen = encoder.encode(texts)
    rows = np.arange(len(texts))
    judged = np.sort(generator(seed, "finetune/held-out").permutation(rows)[: round(recipe.held_out * rows.size)])
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    described = [ALGORITHM, digest, model.identity, recipe.describe(), seed]
    identity = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    trainable = trainable_encoder(model, texts, recipe, device, threads, memory, seed, processes or ALONE)
    readable = np.setdiff1d(rows, judged)
    record = train_masked(trainable, readable, recipe.masked_steps, seed, checkpoints, identity, progress, judged)
    vectors = trainable.vectors(rows)
    before = meaning_of(encoder.encode, english_only=english)
    after = meaning_of(trainable.encode, english_only=english)
    meaning = {"base": before.similarity, "masked": after.similarity}
    structure = {"base": 1.0, "masked": after.structure_of(before)}
    arms = {
        REFERENCE: Arm(None, whitened(frozen, rows)),
        MASKED_ARM: Arm("masked", whitened(vectors, rows)),
    }
    dull, strange = meaning["masked"] < meaning["base"] - LARGEST_LOSS, structure["masked"] < recipe.structure
    harmed = dull or strange
    chosen = REFERENCE if harmed else MASKED_ARM
    first, last = record["held_out_loss"]
    seen = f"the loss of hidden tokens on held-out texts went from {first:.2f} to {last:.2f}"
    verdict = Verdict(
        chosen,
        f"the adapted weights lose general meaning, so {chosen} ships; {seen}"
        if harmed
        else f"{chosen} ships: without behaviour nothing can be judged but general meaning, which is kept; {seen}",
        [],
    )
    plain = {None: frozen, "masked": vectors}
    states = {"masked": weights_of(trainable)}
    shipped = plain[arms[chosen].weights]
    facts: dict[str, Any] = {
        "base": base_facts(model),
        "base_licence": base_licence(model),
        "data": {"sha256": digest, "pairs": 0, "users": 0, "texts": len(texts), "held_out_texts": int(judged.size)},
        "gate": {
            "chosen": chosen,
            "reason": verdict.reason,
            "table": [],
            "users": 0,
            "refused_for_meaning": ["masked"] if dull else [],
            "refused_for_structure": ["masked"] if strange else [],
        },
        "similarity": {**meaning, "shipped": meaning[arms[chosen].weights or "base"]},
        "structure": {**structure, "shipped": structure[arms[chosen].weights or "base"]},
        "uniformity": {
            "base": spread_uniformity(frozen),
            "shipped": spread_uniformity(shipped),
            "ranking": spread_uniformity(arms[chosen].ranking.apply(shipped)),
        },
        "settings": {**recipe.describe(), "seed": seed},
        "records": {"masked": record},
    }
    progress.say(verdict.reason)
    weights = states["masked"] if arms[chosen].weights else None
    return FineTuned(model, weights, arms[chosen].ranking, verdict, facts, arms, states, plain)
