"""The loop: blocks, AdamW, later behaviour as the judge, checkpoints that a killed run goes on from.

Randomness is drawn by the number of the step, and a checkpoint holds weights, moments and the record; so a run that was
killed and resumed gives the bytes of one that was not. Checkpoints are safetensors and JSON, nothing that runs code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uicgpu.errors import UicError
from uicgpu.finetune.behaviour import History
from uicgpu.finetune.blocks import Block, BlockSampler
from uicgpu.finetune.network import LossOf
from uicgpu.finetune.objective import user_block_loss
from uicgpu.finetune.schedule import Schedule
from uicgpu.randomness import generator
from uicgpu.runs.folder import sha256_file, write_json, write_tensors

VALIDATION_TEXTS: Final = 512
BETAS: Final = (0.9, 0.999)
EPSILON: Final = 1e-8
STATE: Final = "checkpoint.json"


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


class LaterBehaviour:
    """A fixed block of texts and what users did with them later: cheap enough to be asked often.

    Each user is the sum of the past texts in the block; the later ones are to be found among the texts of the block
    that are not past.
    """

    def __init__(self, past: History, later: History, seed: int, texts: int = VALIDATION_TEXTS) -> None:
        used = np.flatnonzero((later.popularity > 0) & (past.popularity > 0))
        random = generator(seed, "finetune/later")
        self.texts = np.sort(random.choice(used, min(texts, used.size), replace=False)) if used.size else used
        before = past.matrix()[:, self.texts].tocsr()
        after = later.matrix()[:, self.texts].tocsr()
        users = np.flatnonzero((np.diff(before.indptr) > 0) & (np.diff(after.indptr) > 0))[:2000]
        self._before = before[users].toarray() > 0
        self._after = (after[users].toarray() > 0) & ~self._before

    def __len__(self) -> int:
        return int(self._before.shape[0])

    def ndcg(self, vectors: NDArray[np.float32]) -> float:
        """Return mean NDCG@10 over the users."""
        centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
        centred /= np.maximum(np.sqrt((centred**2).sum(axis=1)), 1e-12)[:, None]
        scores = np.where(self._before, -np.inf, (self._before.astype(np.float64) @ centred) @ centred.T)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        discounts = 1 / np.log2(np.arange(2, 2 + best.shape[1]))
        hits = np.take_along_axis(self._after, best, axis=1)
        ideal = np.concatenate([[1.0], np.cumsum(discounts)])
        true = np.minimum(self._after.sum(axis=1), best.shape[1])
        return float(((hits * discounts).sum(axis=1) / ideal[true]).mean())


class Training:
    """One training of one trainee.

    Parameters
    ----------
    trainee
        What trains.
    past, later
        Training behaviour, and the later part of the same users that early stopping looks at.
    schedule
        How long and how fast.
    seed
        Seed of the run.
    name
        Stream of random numbers, and name of the checkpoint.
    folder
        Where checkpoints go; None keeps none.
    identity
        Hash of everything the result depends on: a checkpoint of anything else is not used.
    say
        Told one line per look.
    """

    def __init__(
        self,
        trainee: Trainee,
        past: History,
        later: History,
        schedule: Schedule,
        seed: int,
        name: str,
        folder: Path | None = None,
        identity: str = "",
        say: Callable[[str], None] | None = None,
        loss_of: Callable[[Block], LossOf] | None = None,
    ) -> None:
        self.trainee = trainee
        self.schedule = schedule
        self.record = Record()
        self._name = name
        self._folder = folder
        self._identity = identity
        self._say = say or (lambda _: None)
        self._loss_of = loss_of or self._block_loss
        self.sampler = BlockSampler(past, schedule.block, schedule.pairs, seed, name)
        self._judge = LaterBehaviour(past, later, seed)
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
        block = self.sampler.draw(self.record.step)
        loss = self.trainee.step(block.texts, self._loss_of(block))
        norm = math.sqrt(
            sum(float(p.grad.double().pow(2).sum()) for p in self._parameters.values() if p.grad is not None)
        )
        if not math.isfinite(loss) or not math.isfinite(norm):
            kept = self.record.step - self.record.step % self.schedule.checkpoint_every
            raise UicError(
                f"the loss is {loss} and the gradient's length {norm} at step {self.record.step + 1}: training stopped",
                where=f"training of {self._name}; the checkpoint of step {kept} is kept"
                if self._folder is not None and kept
                else f"training of {self._name}",
                fix=f"try a smaller --learning-rate than {self.schedule.learning_rate}",
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

    def _block_loss(self, block: Block) -> LossOf:
        device = next(iter(self._parameters.values())).device
        members = torch.from_numpy(block.members).to(device)
        users, targets = (torch.from_numpy(part).to(device) for part in (block.pair_users, block.targets))
        log_draw = torch.from_numpy(block.log_draw).to(device)
        schedule = self.schedule

        def loss(vectors: Tensor) -> Tensor:
            return user_block_loss(
                vectors, members, users, targets, log_draw, schedule.temperature, schedule.popularity
            )

        return loss

    def _look(self) -> None:
        if not len(self._judge):
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
        if self._folder is None:
            return
        groups: dict[str, dict[str, Tensor]] = {
            "weights": self._parameters,
            "first": self._first,
            "second": self._second,
            "best": self._best,
        }
        tensors = {
            f"{group}/{key}": value.detach().cpu().numpy()
            for group, held in groups.items()
            for key, value in held.items()
        }
        # Two files in turn: the JSON, written last, names the complete one.
        name = f"{self._name}-{self.record.step}.safetensors"
        old = self._state()
        write_tensors(self._folder / name, tensors)
        state: dict[str, Any] = {
            "tensors": name,
            "sha256": sha256_file(self._folder / name),
            "identity": self._identity,
            "step": self.record.step,
            "losses": self.record.losses,
            "validation": self.record.validation,
            "best_step": self.record.best_step,
            "stopped": self.record.stopped,
        }
        write_json(self._folder / f"{self._name}-{STATE}", state)
        if old and old["tensors"] != name:
            (self._folder / str(old["tensors"])).unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        assert self._folder is not None
        try:
            state: dict[str, Any] = json.loads((self._folder / f"{self._name}-{STATE}").read_text(encoding="utf-8"))
            return state if Path(state["tensors"]).name == state["tensors"] else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _resume(self) -> None:
        if self._folder is None:
            return
        state = self._state()
        file = self._folder / str(state.get("tensors", ""))
        if state.get("identity") != self._identity or not file.is_file() or sha256_file(file) != state["sha256"]:
            return
        from safetensors.torch import load_file

        tensors = load_file(file)
        pick = {
            group: {
                key.removeprefix(f"{group}/"): value for key, value in tensors.items() if key.startswith(f"{group}/")
            }
            for group in ("weights", "first", "second", "best")
        }
        if set(pick["weights"]) != set(self._parameters):
            return
        self._put(pick["weights"])
        device = next(iter(self._parameters.values())).device
        self._first = {key: value.to(device) for key, value in pick["first"].items()}
        self._second = {key: value.to(device) for key, value in pick["second"].items()}
        self._best = {key: value.to(device) for key, value in pick["best"].items()}
        self.record = Record(
            int(state["step"]),
            list(state["losses"]),
            [(int(step), float(value)) for step, value in state["validation"]],
            int(state["best_step"]),
            str(state["stopped"]),
        )
        self._say(f"{self._name}: going on after step {self.record.step}")

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for key, value in self._parameters.items():
            value.copy_(weights[key])
