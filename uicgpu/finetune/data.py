"""What a training learns from, split so that nothing held out can be learned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uicgpu.events.interactions import EventTable
from uicgpu.finetune.behaviour import (
    History,
    Texts,
    build_history,
    check_enough,
    distinct,
    hold_out_texts,
    split_in_time,
)
from uicgpu.finetune.recipe import Recipe


@dataclass(frozen=True)
class Data:
    """Behaviour, split so that nothing held out can be learned from.

    Attributes
    ----------
    texts
        Distinct texts of the catalogue.
    history
        All training behaviour, held-out texts included.
    held
        bool [texts]: cold for training, judged by the gate.
    past, later
        Behaviour without held-out texts: the first four fifths of each user train, the rest stops the training.
    rows
        int64, texts with behaviour in ``past`` or ``later``: whitening and centring are fitted on these.
    """

    texts: Texts
    history: History
    held: NDArray[np.bool_]
    past: History
    later: History
    rows: NDArray[np.int64]

    @property
    def sha256(self) -> str:
        """Fingerprint of texts and behaviour, hexadecimal."""
        digest = hashlib.sha256("\n".join(self.texts.texts).encode())
        for part in (self.history.offsets, self.history.texts, self.history.times, self.held):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def prepare(events: EventTable, item_texts: Sequence[object], recipe: Recipe, seed: int) -> Data:
    """Turn training events and item texts into what a training needs.

    Raises
    ------
    InputError
        When there is too little behaviour.
    """
    texts = distinct(item_texts)
    history = build_history(events, texts)
    check_enough(history)
    held = hold_out_texts(history, recipe.held_out, seed, "held-out")
    seen = history.take(~held[history.texts])
    past, later = split_in_time(seen)
    return Data(texts, history, held, past, later, np.flatnonzero(seen.popularity > 0))
