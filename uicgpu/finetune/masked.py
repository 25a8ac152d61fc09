"""Masked-language-model adaptation: learn a catalogue's words where there is no behaviour, or before it is used.

The prediction layer is new and tied to the word embeddings (Devlin et al. 2019): transform, GELU, norm, then the
embedding table as decoder. It is thrown away afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uicgpu.errors import InputError
from uicgpu.finetune.network import LossOf, TrainableEncoder
from uicgpu.finetune.schedule import Schedule
from uicgpu.randomness import generator, seed_of

MASKED_SHARE: Final = 0.15
REPLACED: Final = (0.8, 0.1)
"""Of the chosen tokens: share that becomes the mask token, share that becomes a random token; the rest stays."""
TEXTS_PER_STEP: Final = 128
RATE: Final = 1e-4
JUDGED_TEXTS: Final = 1024


def masked_schedule(steps: int) -> Schedule:
    """Return the schedule of the adaptation: 128 texts per step, a third of the usual rate."""
    return Schedule(steps=steps, block=TEXTS_PER_STEP, learning_rate=RATE)


@dataclass(frozen=True)
class MaskedTexts:
    """Texts with some tokens hidden: texts int64 [n], longest first; ids, places, truth as :func:`mask_tokens` says."""

    texts: NDArray[np.int64]
    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    truth: NDArray[np.int64]

    def gradient(self, trainee: Any, schedule: Schedule) -> float:
        """Put the gradient of the cross-entropy of the hidden tokens into the trainee; return the loss."""
        return float(trainee.masked_step(self))


class MaskedReader:
    """An encoder and a prediction layer that train together to fill in hidden tokens.

    Parameters
    ----------
    encoder
        Its trainable weights move.
    seed
        Draws the prediction layer, the texts and the masks.

    Raises
    ------
    InputError
        When the tokeniser has no mask token (decoder models).
    """

    def __init__(self, encoder: TrainableEncoder, seed: int) -> None:
        mask_id = encoder.mask_token()
        if mask_id is None:
            raise InputError(
                f"the tokeniser of {encoder.model.name} has no mask token",
                where=str(encoder.model.folder),
                fix="leave --masked-steps and --objective masked out for this model",
            )
        self._encoder = encoder
        self._seed = seed
        self._mask_id = mask_id
        self._table: Any = encoder.network.get_input_embeddings()  # type: ignore[operator]
        words, width = self._table.weight.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "finetune/masked"))
            self._transform = torch.nn.Linear(encoder.model.dim, width).to(encoder.device)
        self._norm = torch.nn.LayerNorm(width).to(encoder.device)
        self._bias = torch.zeros(words, device=encoder.device, requires_grad=True)

    def parameters(self) -> dict[str, Tensor]:
        """Return the tensors that train, by name: the encoder's, and those of the prediction layer."""
        layer = {"transform": self._transform, "norm": self._norm}
        new = {f"prediction.{name}.{key}": v for name, module in layer.items() for key, v in module.named_parameters()}
        return {**self._encoder.parameters(), **new, "prediction.bias": self._bias}

    def step(self, rows: NDArray[np.int64], loss_of: LossOf) -> float:
        """Not how this trains: see :meth:`masked_step`."""
        raise NotImplementedError

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the encoder's unit vectors of the texts."""
        return self._encoder.vectors(rows)

    def masked_step(self, masked: MaskedTexts) -> float:
        """Put the gradient into the parameters; return the loss."""
        for value in self.parameters().values():
            value.grad = None
        if not masked.places.size:
            return 0.0
        with torch.enable_grad():
            loss = self._loss(masked)
            loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def loss(self, rows: NDArray[np.int64]) -> float:
        """Return the loss on texts that may not have been trained on (1,024 of them, fixed masks), without gradient."""
        few = rows[np.linspace(0, rows.size - 1, min(JUDGED_TEXTS, rows.size)).astype(np.int64)]
        losses, counts = [], []
        with torch.no_grad():
            for start in range(0, few.size, TEXTS_PER_STEP):
                masked = self._hide(few[start : start + TEXTS_PER_STEP], f"judge/{start}")
                if masked.places.size:
                    losses.append(float(self._loss(masked)))
                    counts.append(masked.places.size)
        return float(np.average(losses, weights=counts)) if counts else 0.0

    def sampler(self, rows: NDArray[np.int64]) -> MaskedSampler:
        """Return what draws 128 of the texts ``rows``, and their masks, by the number of the step."""
        return MaskedSampler(self, rows)

    def hide(self, rows: NDArray[np.int64], step: int) -> MaskedTexts:
        """Draw texts and masks of a step."""
        random = generator(self._seed, f"finetune/masked/{step}")
        return self._hide(random.choice(rows, min(TEXTS_PER_STEP, rows.size), replace=False), f"{step}/tokens")

    def _hide(self, rows: NDArray[np.int64], name: str) -> MaskedTexts:
        chosen = rows[np.argsort(-self._encoder.lengths(rows), kind="stable")]
        random = generator(self._seed, f"finetune/masked/{name}")
        words = int(self._table.weight.shape[0])
        ids, places, truth = mask_tokens(self._encoder.token_ids(chosen), self._mask_id, words, random)
        return MaskedTexts(chosen, ids, places, truth)

    def _loss(self, masked: MaskedTexts) -> Tensor:
        device = self._encoder.device
        hidden = self._encoder.hidden(masked.texts, masked.ids)[torch.from_numpy(masked.places).to(device)]
        guess = self._norm(functional.gelu(self._transform(hidden.float()))) @ self._table.weight.T + self._bias
        return functional.cross_entropy(guess.float(), torch.from_numpy(masked.truth).to(device))


@dataclass(frozen=True)
class MaskedSampler:
    """Draws hidden texts for a reader."""

    reader: MaskedReader
    rows: NDArray[np.int64]

    def draw(self, step: int) -> MaskedTexts:
        """Return the batch of a step."""
        return self.reader.hide(self.rows, step)


def mask_tokens(
    texts: list[NDArray[np.int32]], mask_id: int, vocabulary: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Choose 15 % of the tokens; 80 % of them become the mask, 10 % a random token, 10 % stay.

    The first and last token of a text (special ones) are never chosen.

    Returns
    -------
    ids, places, truth
        int64: all tokens end to end after masking; positions of the chosen ones; what stood there.
    """
    ids = np.concatenate(texts).astype(np.int64)
    ends = np.cumsum([text.size for text in texts])
    inner = np.ones(ids.size, np.bool_)
    inner[ends - 1] = False
    inner[np.concatenate([[0], ends[:-1]])] = False
    places = np.flatnonzero(inner & (random.random(ids.size) < MASKED_SHARE))
    truth = ids[places].copy()
    lot = random.random(places.size)
    strange = (lot >= REPLACED[0]) & (lot < sum(REPLACED))
    ids[places[lot < REPLACED[0]]] = mask_id
    ids[places[strange]] = random.integers(0, vocabulary, int(strange.sum()))
    return ids, places, truth
