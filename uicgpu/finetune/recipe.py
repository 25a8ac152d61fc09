"""Which arms a training tries, from the cheapest to the dearest, and with which settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from uicgpu.errors import SettingsError
from uicgpu.finetune.pairs import HISTORY, WINDOW
from uicgpu.finetune.schedule import Schedule
from uicgpu.finetune.similarity import LEAST_STRUCTURE

Objective = Literal["block", "pairs", "history", "masked"]
OBJECTIVES: Final[tuple[Objective, ...]] = ("block", "pairs", "history", "masked")
TEMPERATURES: Final = {"history": 0.05}
LOG_Q: Final = {"block": 0.5}
"""Share of log Q. A block is drawn evenly and adds it; pairs are drawn by popularity and would subtract it, which
teaches the vectors popularity: 0 for them, 1 is the classical correction."""
MASKED_STEPS: Final = 200
"""Steps of the objective ``masked`` where none are given."""
RecipeName = Literal["whiten", "head", "full", "lora"]
RECIPES: Final[tuple[RecipeName, ...]] = ("whiten", "head", "full", "lora")
LORA_RATE: Final = 2e-3
RANK: Final = 16
DECODERS: Final = frozenset({"qwen3", "gemma3_text"})
"""Architectures too large to train whole on what most people have: LoRA is their default."""


@dataclass(frozen=True)
class Recipe:
    """What to train.

    Attributes
    ----------
    name
        ``whiten``: the half-whitening map only. ``head``: and a linear head. ``full``: and the whole encoder. ``lora``:
        and low-rank adapters of it.
    schedule
        Of the encoder.
    held_out
        Share of the texts that the gate judges on.
    rank
        Rank of the LoRA adapters.
    masked_steps
        Steps of masked-language-model adaptation on the catalogue's texts before anything else; 0 leaves it out.
    hard_negatives
        Texts per step that are drawn near the step's own texts (FAISS) instead of evenly, as a share of the block.
    objective
        Loss of the encoder. ``block``: leave one out over a user's texts in a block. ``pairs``: another text of the
        user within a window. ``history``: what came after the latest texts. ``masked``: hidden tokens of the texts
        alone, no behaviour. Heads always train on blocks.
    window, window_days
        Of ``pairs`` (places before and after, days) and ``history`` (days); None sets no limit in days.
    latest
        Texts that make the query of ``history``.
    structure
        Least correlation of general sentences' cosines with the base's; trained weights below it do not ship.
    """

    name: RecipeName = "full"
    schedule: Schedule = field(default_factory=Schedule)
    held_out: float = 0.1
    rank: int = RANK
    masked_steps: int = 0
    hard_negatives: float = 0.0
    objective: Objective = "block"
    window: int = WINDOW
    window_days: float | None = None
    latest: int = HISTORY
    structure: float = LEAST_STRUCTURE

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise SettingsError(f"unknown recipe {self.name!r}", where="--recipe", fix=f"use {', '.join(RECIPES)}")
        if not 0 < self.held_out < 0.5 or self.rank < 1 or self.masked_steps < 0 or not 0 <= self.hard_negatives <= 0.5:
            raise SettingsError(
                f"impossible recipe: held_out {self.held_out}, rank {self.rank}, masked_steps {self.masked_steps}, "
                f"hard_negatives {self.hard_negatives}",
                fix="held_out is between 0 and .5, rank 1 or more, masked_steps 0 or more, hard_negatives 0 to .5",
            )
        if self.objective not in OBJECTIVES:
            raise SettingsError(
                f"unknown objective {self.objective!r}", where="--objective", fix=f"use {', '.join(OBJECTIVES)}"
            )
        if self.window < 1 or self.latest < 1 or (self.window_days is not None and self.window_days <= 0):
            raise SettingsError(
                f"impossible window: {self.window} places, {self.window_days} days, {self.latest} latest texts",
                fix="use 1 or more places and texts, and more than 0 days",
            )
        if self.objective != "block" and not self.trains_encoder:
            raise SettingsError(
                f"recipe {self.name} does not train the encoder, so objective {self.objective} has nothing to train",
                where="--objective",
                fix="use --recipe full or --recipe lora",
            )

    @property
    def trains_encoder(self) -> bool:
        """Whether weights of the encoder move."""
        return self.name in ("full", "lora")

    def describe(self) -> dict[str, object]:
        """Return every setting, flat, by name."""
        flat = dataclasses.asdict(self)
        return {"recipe": flat.pop("name"), **flat.pop("schedule"), **flat}


def recipe_of(
    name: str,
    architecture: str,
    *,
    steps: int | None = None,
    block: int | None = None,
    learning_rate: float | None = None,
    temperature: float | None = None,
    log_q: float | None = None,
    objective: str = "block",
    masked_steps: int | None = None,
    hard_negatives: float = 0.0,
    window: int | None = None,
    window_days: float | None = None,
    latest: int | None = None,
    rank: int | None = None,
    structure: float = LEAST_STRUCTURE,
) -> Recipe:
    """Turn names and what the user gave into a recipe; recipe ``auto`` is ``full``, for decoder models ``lora``."""
    if name == "auto":
        name = "lora" if architecture in DECODERS else "full"
    given: dict[str, Any] = {
        "steps": steps,
        "block": block,
        "learning_rate": learning_rate if learning_rate is not None or name != "lora" else LORA_RATE,
        "temperature": temperature if temperature is not None else TEMPERATURES.get(objective),
        "popularity": log_q if log_q is not None else LOG_Q.get(objective, 0.0),
    }
    schedule = dataclasses.replace(Schedule(), **{key: value for key, value in given.items() if value is not None})
    if masked_steps is None:
        masked_steps = MASKED_STEPS if objective == "masked" else 0
    return Recipe(
        name,  # type: ignore[arg-type]
        schedule,
        rank=RANK if rank is None else rank,
        masked_steps=masked_steps,
        hard_negatives=hard_negatives,
        objective=objective,  # type: ignore[arg-type]
        window=WINDOW if window is None else window,
        window_days=window_days,
        latest=HISTORY if latest is None else latest,
        structure=structure,
    )
