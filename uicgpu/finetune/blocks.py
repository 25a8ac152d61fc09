"""What one training step sees: a block of texts, and which users acted on which of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.finetune.behaviour import History, draw_probability
from uicgpu.finetune.schedule import Schedule
from uicgpu.randomness import generator

LARGEST_PART_OF_BLOCK: Final = 0.5
"""A user with more than this part of a block is left out of it: all that user's texts are masked, so hardly a negative
would be left, and one giant user would fill the block with pairs that teach nothing."""


@dataclass(frozen=True)
class Block:
    """Texts that are encoded once, with the pairs that are scored on them.

    Attributes
    ----------
    texts
        int64 [B], text codes, ascending.
    members
        bool [users of the block, B]: the user acted on the text. All of it is masked, whatever the pair.
    pair_users
        int64 [M], row of ``members``.
    targets
        int64 [M], position in ``texts``: the text that is to be predicted from the user's other texts.
    log_draw
        float32 [B], log of the text's draw probability.
    """

    texts: NDArray[np.int64]
    members: NDArray[np.bool_]
    pair_users: NDArray[np.int64]
    targets: NDArray[np.int64]
    log_draw: NDArray[np.float32]

    def gradient(self, trainee: Any, schedule: Schedule) -> float:
        """Put the gradient of :func:`uicgpu.finetune.objective.user_block_loss` into the trainee; return the loss."""
        import torch

        from uicgpu.finetune.objective import user_block_loss

        def loss(vectors: torch.Tensor) -> torch.Tensor:
            arrays = (self.members, self.pair_users, self.targets, self.log_draw)
            members, users, targets, log_draw = (torch.from_numpy(array).to(vectors.device) for array in arrays)
            return user_block_loss(
                vectors, members, users, targets, log_draw, schedule.temperature, schedule.popularity
            )

        return float(trainee.step(self.texts, loss))


class BlockSampler:
    """Draws blocks from training behaviour; step ``s`` of seed ``r`` is always the same block.

    Parameters
    ----------
    history
        Training behaviour only.
    size
        Texts per block; all texts when there are fewer.
    pairs
        Pairs per block.
    seed
        Seed of the run.
    name
        Stream of random numbers.

    Notes
    -----
    Texts with at least two users are drawn evenly, so rare texts learn as often as popular ones. Pairs of users with
    ``n`` texts in the block are drawn with weight ``1 / sqrt(n)`` without replacement (with, where there are fewer).
    """

    def __init__(self, history: History, size: int, pairs: int, seed: int, name: str) -> None:
        self.eligible = np.flatnonzero(history.popularity >= 2)
        self._columns = history.matrix().tocsc()
        self._log_draw = np.log(draw_probability(history)).astype(np.float32)
        self._size = min(size, self.eligible.size)
        self._pairs = pairs
        self._seed = seed
        self._name = name
        self._near: NDArray[np.int64] | None = None
        self._near_share = 0.0
        if self._size < 2:
            raise InputError(
                f"{self.eligible.size} texts have two users or more; a block needs at least 2",
                where="training behaviour",
                fix="bring more events",
            )

    def add_near(self, near: NDArray[np.int64], share: float) -> None:
        """Fill a share of each block with texts near its other texts.

        Parameters
        ----------
        near
            int64 [eligible texts, k], positions in ``eligible`` (-1: none), from
            :func:`uicgpu.finetune.negatives.near_texts`.
        share
            Part of the block, 0 to .5. Texts of one user stay masked, so a near text that the user likes is no
            negative.
        """
        self._near, self._near_share = near, share

    def _draw_texts(self, random: np.random.Generator) -> NDArray[np.int64]:
        places = random.choice(self.eligible.size, self._size, replace=False)
        if self._near is None:
            return np.sort(self.eligible[places])
        own = places[: self._size - int(self._near_share * self._size)]
        near = self._near[random.choice(own, self._size), random.integers(0, self._near.shape[1], self._size)]
        # own texts, then near ones, then the evenly drawn rest, until the block is full of distinct texts
        wanted = np.concatenate([own, near[near >= 0], places[own.size :]])
        _, first = np.unique(wanted, return_index=True)
        return np.sort(self.eligible[wanted[np.sort(first)][: self._size]])

    def draw(self, step: int) -> Block:
        """Return the block of a step; redraws where no user has two texts inside."""
        for attempt in range(100):
            block = self._try(step, attempt)
            if block is not None:
                return block
        raise InputError(
            f"no user has two texts in a block of {self._size}",
            where="training behaviour",
            fix="raise --block, or bring more events",
        )

    def _try(self, step: int, attempt: int) -> Block | None:
        random = generator(self._seed, f"finetune/{self._name}/{step}/{attempt}")
        texts = self._draw_texts(random)
        inside = self._columns[:, texts].tocsr()
        inside.sort_indices()
        counts = np.diff(inside.indptr)
        kept = np.flatnonzero((counts >= 2) & (counts <= max(2, int(LARGEST_PART_OF_BLOCK * self._size))))
        inside = inside[kept]
        counts = counts[kept]
        total = int(counts.sum())
        if total == 0:
            return None
        rows = np.repeat(np.arange(kept.size), counts)
        weights = 1 / np.sqrt(counts[rows].astype(np.float64))
        if total > self._pairs:
            # Exponential keys: the smallest are a weighted draw without replacement (Efraimidis and Spirakis 2006).
            keys = random.exponential(size=total) / weights
            drawn = np.sort(np.argpartition(keys, self._pairs)[: self._pairs])
        else:
            drawn = np.sort(random.choice(total, total, replace=True, p=weights / weights.sum()))
        users, pair_users = np.unique(rows[drawn], return_inverse=True)
        return Block(
            texts,
            inside[users].toarray() > 0,
            pair_users.astype(np.int64),
            inside.indices[drawn].astype(np.int64),
            self._log_draw[texts],
        )
