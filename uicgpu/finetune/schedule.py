"""How long, how fast and on how much a training runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from uicgpu.errors import SettingsError


@dataclass(frozen=True)
class Schedule:
    """Settings of one training; the defaults are the measured recipe for a whole encoder.

    Attributes
    ----------
    steps
        Optimiser steps.
    block
        Texts per step.
    pairs
        Pairs scored per step.
    learning_rate
        Peak of the learning rate.
    weight_decay
        AdamW's, on every tensor.
    clip
        Largest norm of the gradient; None does not clip.
    warm_up
        Share of the steps over which the rate rises; it also falls linearly to 0 over all steps.
    temperature, popularity
        Of :func:`uicgpu.finetune.objective.user_block_loss`; with pairs and histories, ``popularity`` is the
        correction of :func:`uicgpu.finetune.objective.pair_loss`.
    evaluate_every
        Steps between two looks at later behaviour.
    patience
        Looks without a gain before training stops.
    checkpoint_every
        Steps between two checkpoints.
    """

    steps: int = 100
    block: int = 256
    pairs: int = 2048
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    clip: float | None = 1.0
    warm_up: float = 0.1
    temperature: float = 0.1
    popularity: float = 0.5
    evaluate_every: int = 20
    patience: int = 3
    checkpoint_every: int = 20

    def __post_init__(self) -> None:
        counts = (self.steps, self.block, self.pairs, self.evaluate_every, self.patience, self.checkpoint_every)
        if min(counts) < 1 or self.block < 2 or not 0 < self.learning_rate < 1 or not 0 < self.temperature <= 10:
            raise SettingsError(
                f"impossible training settings: {dataclasses.asdict(self)}",
                fix="steps, pairs, patience and intervals are 1 or more, block 2 or more, the learning rate below 1",
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: linear warm-up times linear decay.

        >>> schedule = Schedule(steps=10, warm_up=0.2, learning_rate=0.1)
        >>> [round(schedule.rate(step), 3) for step in (0, 1, 9)]
        [0.05, 0.09, 0.01]
        """
        warm = max(1, round(self.warm_up * self.steps))
        return self.learning_rate * min(1.0, (step + 1) / warm) * (1 - step / self.steps)
