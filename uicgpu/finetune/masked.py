"""Masked-language-model adaptation: learn a catalogue's words where there is no behaviour, or before it is used.

The prediction layer is new and tied to the word embeddings (Devlin et al. 2019): transform, GELU, norm, then the
embedding table as decoder. It is thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from uicgpu.errors import InputError, UicError
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.randomness import generator, seed_of

MASKED_SHARE: Final = 0.15
REPLACED: Final = (0.8, 0.1)
"""Of the chosen tokens: share that becomes the mask token, share that becomes a random token; the rest stays."""
TEXTS_PER_STEP: Final = 128
RATE: Final = 1e-4


def adapt_to_texts(
    trainable: TrainableEncoder,
    rows: NDArray[np.int64],
    steps: int,
    seed: int,
    advance: Callable[[int], None] | None = None,
) -> list[float]:
    """Train the network to fill in masked tokens of the texts; returns the loss of each step.

    Parameters
    ----------
    trainable
        The encoder; its trainable weights move.
    rows
        int64, texts to learn from.
    steps
        Steps of 128 texts.
    seed
        Draws texts and masks.

    Raises
    ------
    InputError
        When the tokeniser has no mask token (decoder models).
    UicError
        When the loss is not finite.
    """
    mask_id = trainable.mask_token()
    if mask_id is None:
        raise InputError(
            f"the tokeniser of {trainable.model.name} has no mask token",
            where=str(trainable.model.folder),
            fix="leave --masked-steps out for this model",
        )
    table: Any = trainable.network.get_input_embeddings()  # type: ignore[operator]
    width = table.weight.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "finetune/masked"))
        transform = torch.nn.Linear(trainable.model.dim, width)
    norm = torch.nn.LayerNorm(width)
    bias = torch.zeros(table.weight.shape[0], requires_grad=True)
    new = [*transform.to(trainable.device).parameters(), *norm.to(trainable.device).parameters(), bias]
    weights = list(trainable.parameters().values())
    optimiser = torch.optim.AdamW([*weights, *new], lr=RATE, weight_decay=0.01)
    losses = []
    for step in range(steps):
        random = generator(seed, f"finetune/masked/{step}")
        chosen = random.choice(rows, min(TEXTS_PER_STEP, rows.size), replace=False)
        chosen = chosen[np.argsort(-trainable.lengths(chosen), kind="stable")]
        ids, places, truth = mask_tokens(trainable.token_ids(chosen), mask_id, table.weight.shape[0], random)
        if not places.size:
            continue
        with torch.enable_grad():
            hidden = trainable.hidden(chosen, ids)[torch.from_numpy(places).to(trainable.device)]
            guess = norm(functional.gelu(transform(hidden))) @ table.weight.T + bias.to(trainable.device)
            loss = functional.cross_entropy(guess.float(), torch.from_numpy(truth).to(trainable.device))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        if not torch.isfinite(loss):
            raise UicError(
                f"the masked-language loss is {float(loss)} at step {step + 1}", fix="leave --masked-steps out"
            )
        torch.nn.utils.clip_grad_norm_([*weights, *new], 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if advance is not None:
            advance(1)
    for value in weights:
        value.grad = None
    return losses


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
