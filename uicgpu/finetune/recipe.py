"""Which arms a training tries, from the cheapest to the dearest, and with which settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from uicgpu.errors import SettingsError
from uicgpu.finetune.schedule import Schedule

RecipeName = Literal["whiten", "head", "full", "lora"]
RECIPES: Final[tuple[RecipeName, ...]] = ("whiten", "head", "full", "lora")
LORA_RATE: Final = 2e-3
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
        Texts per step that are drawn near the block's own texts instead of evenly, as a share of the block.
    """

    name: RecipeName = "full"
    schedule: Schedule = field(default_factory=Schedule)
    held_out: float = 0.1
    rank: int = 16
    masked_steps: int = 0
    hard_negatives: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise SettingsError(f"unknown recipe {self.name!r}", where="--recipe", fix=f"use {', '.join(RECIPES)}")
        if not 0 < self.held_out < 0.5 or self.rank < 1 or self.masked_steps < 0 or not 0 <= self.hard_negatives <= 0.5:
            raise SettingsError(
                f"impossible recipe: held_out {self.held_out}, rank {self.rank}, masked_steps {self.masked_steps}, "
                f"hard_negatives {self.hard_negatives}",
                fix="held_out is between 0 and .5, rank 1 or more, masked_steps 0 or more, hard_negatives 0 to .5",
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
    masked_steps: int = 0,
    hard_negatives: float = 0.0,
) -> Recipe:
    """Turn a name and what the user gave into a recipe; ``auto`` is ``full``, for decoder models ``lora``."""
    if name == "auto":
        name = "lora" if architecture in DECODERS else "full"
    given: dict[str, Any] = {
        key: value
        for key, value in {
            "steps": steps,
            "block": block,
            "learning_rate": learning_rate if learning_rate is not None or name != "lora" else LORA_RATE,
            "temperature": temperature,
        }.items()
        if value is not None
    }
    schedule = dataclasses.replace(Schedule(), **given)
    return Recipe(name, schedule, masked_steps=masked_steps, hard_negatives=hard_negatives)  # type: ignore[arg-type]
