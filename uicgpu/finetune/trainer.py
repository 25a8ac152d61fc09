"""The loop: blocks, AdamW, later behaviour as the judge, checkpoints that a killed run goes on from.

Randomness is drawn by the number of the step, and a checkpoint holds weights, moments and the record; so a run that was
killed and resumed gives the bytes of one that was not. Checkpoints are safetensors and JSON, nothing that runs code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uicgpu.errors import UicError
from uicgpu.finetune.checkpoint import Checkpoint
from uicgpu.finetune.later import LaterBehaviour
from uicgpu.finetune.network import LossOf
from uicgpu.finetune.schedule import Schedule

BETAS: Final = (0.9, 0.999)
EPSILON: Final = 1e-8
MASKED: Final = "masked"
"""Name of the masked-language-model training, whose rate is not an option."""


class Trainee(Protocol):
    """What can be trained: an encoder, or a head over fixed vectors."""

    def parameters(self) -> dict[str, Tensor]:
        """Return the tensors that train, by name."""
        ...

    def step(self, rows: NDArray[np.int64], loss_of: LossOf) -> float:
        """Put the gradient of the loss into the parameters; return the loss."""
        ...

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return unit vectors of the texts, without gradient."""
        ...


class Batch(Protocol):
    """What one step sees."""

    def gradient(self, trainee: Any, schedule: Schedule) -> float:
        """Put the gradient of the batch's loss into the trainee's parameters; return the loss."""
        ...


class Sampler(Protocol):
    """Draws batches; the batch of a step depends on the step's number and the seed alone."""

    def draw(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        ...


@dataclass
class Record:
    """What happened in a training.

    Attributes
    ----------
    step
        Steps done.
    losses
        Loss of each step.
    validation
        (steps done, NDCG@10 of later behaviour) of each look.
    best_step
        Steps after which the kept weights were taken.
    stopped
        Why it ended: ``steps`` or ``early``.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    stopped: str = ""


class Training:
    """One training of one trainee.

    Parameters
    ----------
    trainee
        What trains.
    sampler
        What each step sees, and its loss.
    judge
        Later behaviour, for early stopping; None trains to the last step.
    schedule
        How long and how fast.
    name
        For messages.
    checkpoint
        Where checkpoints go; None keeps none.
    say
        Told one line per look.
    """

    def __init__(
        self,
        trainee: Trainee,
        sampler: Sampler,
        judge: LaterBehaviour | None,
        schedule: Schedule,
        name: str,
        checkpoint: Checkpoint | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.trainee = trainee
        self.sampler = sampler
        self.schedule = schedule
        self.record = Record()
        self._judge = judge
        self._name = name
        self._checkpoint = checkpoint
        self._say = say or (lambda _: None)
        self._parameters = trainee.parameters()
        self._first = {key: torch.zeros_like(value) for key, value in self._parameters.items()}
        self._second = {key: torch.zeros_like(value) for key, value in self._parameters.items()}
        self._best: dict[str, Tensor] = {}

    def run(self, advance: Callable[[int], None] | None = None) -> Record:
        """Train to the end or to the early stop; the trainee is left with the best weights.

        Raises
        ------
        UicError
            When the loss or the gradient is not finite; the last checkpoint stays.
        OutOfResourcesError
            When the disk is full; the last checkpoint stays.
        """
        self._resume()
        if advance is not None and self.record.step:
            advance(self.record.step)
        if not self.record.validation:
            self._look()
        while self.record.step < self.schedule.steps and not self.record.stopped:
            self._step()
            done = self.record.step
            if done % self.schedule.evaluate_every == 0 or done == self.schedule.steps:
                self._look()
            if done % self.schedule.checkpoint_every == 0:
                self._save()
            if advance is not None:
                advance(1)
        if not self.record.stopped:
            self.record.stopped = "steps"
            self._save()
        if self._best:
            self._put(self._best)
        return self.record

    def _step(self) -> None:
        loss = self.sampler.draw(self.record.step).gradient(self.trainee, self.schedule)
        norm = math.sqrt(
            sum(float(p.grad.double().pow(2).sum()) for p in self._parameters.values() if p.grad is not None)
        )
        if not math.isfinite(loss) or not math.isfinite(norm):
            kept = self.record.step - self.record.step % self.schedule.checkpoint_every
            raise UicError(
                f"the loss is {loss} and the gradient's length {norm} at step {self.record.step + 1}: training stopped",
                where=f"training of {self._name}; the checkpoint of step {kept} is kept"
                if self._checkpoint is not None and kept
                else f"training of {self._name}",
                fix="leave --masked-steps out"
                if self._name == MASKED
                else f"try a smaller --learning-rate than {self.schedule.learning_rate}",
            )
        scale = min(1.0, self.schedule.clip / (norm + 1e-6)) if self.schedule.clip is not None else 1.0
        self._adamw(self.schedule.rate(self.record.step), scale)
        self.record.step += 1
        self.record.losses.append(round(loss, 6))

    @torch.no_grad()
    def _adamw(self, rate: float, scale: float) -> None:
        """One step of AdamW (Loshchilov and Hutter 2019), written out so that its whole state is two tensors."""
        count = self.record.step + 1
        for key, value in self._parameters.items():
            if value.grad is None:
                continue
            gradient = value.grad * scale
            first, second = self._first[key], self._second[key]
            first.lerp_(gradient, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            value.mul_(1 - rate * self.schedule.weight_decay)
            scaled = second.div(1 - BETAS[1] ** count).sqrt_().add_(EPSILON)
            value.addcdiv_(first, scaled, value=-rate / (1 - BETAS[0] ** count))
            value.grad = None

    def _look(self) -> None:
        if self._judge is None or not len(self._judge):
            return
        done = self.record.step
        seen = self._judge.ndcg(self.trainee.vectors(self._judge.texts))
        best = max((value for _, value in self.record.validation), default=-1.0)
        self.record.validation.append((done, round(seen, 6)))
        if round(seen, 6) > best:
            self.record.best_step = done
            self._best = {key: value.detach().clone() for key, value in self._parameters.items()}
        elif done - self.record.best_step >= self.schedule.patience * self.schedule.evaluate_every:
            self.record.stopped = "early"
        if done:
            recent = self.record.losses[-self.schedule.evaluate_every :]
            self._say(
                f"{self._name}: step {done} of {self.schedule.steps}, loss {sum(recent) / len(recent):.3f}, "
                f"later behaviour NDCG@10 {seen:.4f} (best after step {self.record.best_step})"
            )

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        groups = {"weights": self._parameters, "first": self._first, "second": self._second, "best": self._best}
        self._checkpoint.write(groups, dataclasses.asdict(self.record))

    def _resume(self) -> None:
        found = self._checkpoint.read(list(self._parameters)) if self._checkpoint is not None else None
        if found is None:
            return
        groups, record = found
        self._put(groups["weights"])
        device = next(iter(self._parameters.values())).device
        self._first, self._second, self._best = (
            {key: value.to(device) for key, value in groups[name].items()} for name in ("first", "second", "best")
        )
        record["validation"] = [(int(step), float(value)) for step, value in record["validation"]]
        self.record = Record(**record)
        self._say(f"{self._name}: going on after step {self.record.step}")

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for key, value in self._parameters.items():
            value.copy_(weights[key])
