"""What a training would be, said before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from uicgpu.encode.encoder import Encoder
from uicgpu.encode.language import load_tokenizer
from uicgpu.events.interactions import EventTable
from uicgpu.finetune.behaviour import build_history, check_enough, distinct
from uicgpu.finetune.masked import masked_schedule
from uicgpu.finetune.recipe import Recipe


def plan_training(events: EventTable | None, texts: list[str], recipe: Recipe, encoder: Encoder) -> dict[str, Any]:
    """Return what a training would be: sizes, and an order of magnitude of time from the floating-point operations.

    Parameters
    ----------
    events
        What may be learned from; None where only texts train.
    texts
        One per item.

    Raises
    ------
    InputError
        When there is too little behaviour.
    """
    found = distinct(texts)
    history = None if events is None else build_history(events, found)
    if history is not None:
        check_enough(history)
    sample = found.texts[:: max(1, len(found) // 1000)]
    tokens = float(np.minimum(load_tokenizer(encoder.model).tokenise(sample).lengths, 64).mean())
    weights = encoder.model.folder.glob("*.safetensors")
    parameters = sum(file.stat().st_size for file in weights) / 4
    schedule = masked_schedule(recipe.masked_steps) if recipe.objective == "masked" else recipe.schedule
    steps = schedule.steps if recipe.trains_encoder else 0
    block = min(schedule.block, len(found))
    # six operations per weight and token; embedding tables are in the file but cost nothing, so this is an upper bound
    work = 6 * parameters * tokens * block * steps
    return {
        "recipe": recipe.name,
        "objective": recipe.objective,
        "model": encoder.model.name,
        "users": 0 if history is None else int((history.lengths > 0).sum()),
        "texts": len(found),
        "pairs": 0 if history is None else len(history),
        "steps": steps,
        "tokens per step": round(tokens * block),
        "rough minutes at 40 GFLOP/s": round(work / 40e9 / 60, 1),
        "rough GiB": round((16 * parameters if recipe.trains_encoder else 4 * parameters) / 2**30 + 0.5, 1),
    }
