"""Pairs and sequences: what a user acted on within a window of an item, or after a history of them.

``pairs``: the query is one text, the answer another text of the same user within a window of places and, where wanted,
of days. ``history``: the query is the unit sum of the latest texts before the answer, the way a user is pooled for
ranking. Both are multiple negatives: a batch's other texts are wrong answers, except those of the same user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.events.interactions import NO_TIME
from uicgpu.finetune.behaviour import LONGEST_COUNTED_HISTORY, History, draw_probability
from uicgpu.finetune.schedule import Schedule
from uicgpu.randomness import generator

PairKind = Literal["pairs", "history"]
WINDOW: Final = 10
"""Places before and after a text, in the user's order, from which its partner comes."""
HISTORY: Final = 8
"""Texts before the answer that make the query."""
MICROSECONDS_PER_DAY: Final = 86_400_000_000


@dataclass(frozen=True)
class Pairs:
    """Texts that are encoded once, and the questions asked of them.

    Attributes
    ----------
    texts
        int64 [B], text codes, ascending.
    queries
        float32 [M, B]: 1 where the text is part of the query.
    columns
        int64 [C], positions in ``texts`` of the answers: column ``i < M`` is right for row ``i``, the rest are extra
        negatives.
    same_user
        bool [M, C]: the column's text is one of the row's user; no negative for it.
    log_draw
        float32 [C], log of the probability with which the column's text is drawn.
    """

    texts: NDArray[np.int64]
    queries: NDArray[np.float32]
    columns: NDArray[np.int64]
    same_user: NDArray[np.bool_]
    log_draw: NDArray[np.float32]

    def gradient(self, trainee: Any, schedule: Schedule) -> float:
        """Put the gradient of :func:`uicgpu.finetune.objective.pair_loss` into the trainee; return the loss."""
        import torch
        from torch.nn import functional

        from uicgpu.finetune.objective import pair_loss

        def loss(vectors: torch.Tensor) -> torch.Tensor:
            arrays = (self.queries, self.columns, self.same_user, self.log_draw)
            queries, columns, same_user, log_draw = (torch.from_numpy(array).to(vectors.device) for array in arrays)
            asked = functional.normalize(queries.to(vectors.dtype) @ vectors, dim=1, eps=1e-6)
            return pair_loss(asked, vectors[columns], same_user, log_draw, schedule.temperature, schedule.popularity)

        return float(trainee.step(self.texts, loss))


class PairSampler:
    """Draws pairs, or histories with what came next; step ``s`` of seed ``r`` is always the same batch.

    Parameters
    ----------
    kind
        ``pairs`` or ``history``.
    history
        Training behaviour only.
    size
        Most texts per batch.
    seed
        Seed of the run.
    name
        Stream of random numbers.
    window, window_days
        Places, and days, within which two texts of a user belong together; None sets no limit in days.
    latest
        Texts before the answer that make a query of ``history``.

    Raises
    ------
    InputError
        No pair lies within the window, or ``history`` is asked of behaviour without times.

    Notes
    -----
    Users are drawn with weight ``min(texts, 50)``, so one giant user does not decide, then an answer evenly: by
    popularity, in other words. That is why :func:`uicgpu.finetune.objective.pair_loss` can take log Q off.
    """

    def __init__(
        self,
        kind: PairKind,
        history: History,
        size: int,
        seed: int,
        name: str,
        *,
        window: int = WINDOW,
        window_days: float | None = None,
        latest: int = HISTORY,
    ) -> None:
        self._kind = kind
        self._history = history
        self._matrix = history.matrix()
        self._size = size
        self._seed = seed
        self._name = name
        self._window = window if kind == "pairs" else latest
        self._span = None if window_days is None else int(window_days * MICROSECONDS_PER_DAY)
        self._users = history.users
        self._log_draw = np.log(draw_probability(history)).astype(np.float32)
        timed = bool((history.times != NO_TIME).any())
        if not timed and (kind == "history" or window_days is not None):
            raise InputError(
                "the events have no times: nothing comes next",
                where="objective history" if kind == "history" else "--window-days",
                fix="name the time column with --time-column, or use --objective block",
            )
        lengths = history.lengths
        weights = np.minimum(lengths, LONGEST_COUNTED_HISTORY) / np.maximum(lengths, 1)
        self._chances = np.cumsum(np.where(self._has_partner(), weights[self._users], 0.0))
        if not self._chances.size or self._chances[-1] <= 0:
            raise InputError(
                f"no two texts of a user lie within the window of objective {kind}",
                where="training behaviour",
                fix="widen --window-days, or use --objective block",
            )
        self.eligible = np.flatnonzero(history.popularity > 0)
        self._near: NDArray[np.int64] | None = None
        self._near_share = 0.0

    def add_near(self, near: NDArray[np.int64], share: float) -> None:
        """Add texts near the answers as extra negatives.

        Parameters
        ----------
        near
            int64 [eligible texts, k], positions in ``eligible`` (-1: none).
        share
            Part of the batch, 0 to .5.
        """
        self._near, self._near_share = near, share

    def draw(self, step: int) -> Pairs:
        """Return the batch of a step."""
        random = generator(self._seed, f"finetune/{self._name}/{self._kind}/{step}")
        room = self._size - int(self._near_share * self._size)
        drawn = np.searchsorted(self._chances, random.random(room) * self._chances[-1], side="right")
        answers: list[int] = []
        asked: list[NDArray[np.int64]] = []
        inside: set[int] = set()
        for pair in np.minimum(drawn, self._chances.size - 1).tolist():
            query = self._query(pair, random)
            wanted = inside | set(self._history.texts[[pair, *query]].tolist())
            if len(wanted) > room and answers:
                break
            inside = wanted
            answers.append(pair)
            asked.append(query)
        return self._batch(np.array(answers), asked, random)

    def _batch(self, answers: NDArray[np.int64], asked: list[NDArray[np.int64]], random: np.random.Generator) -> Pairs:
        texts_of = self._history.texts.astype(np.int64)
        right = texts_of[answers]
        rows = np.repeat(np.arange(answers.size), [query.size for query in asked])
        query_texts = texts_of[np.concatenate(asked)]
        extra = np.zeros(0, np.int64)
        if self._kind == "history":  # every text of the batch is an answer that somebody could have given
            extra = np.setdiff1d(query_texts, right)
        if self._near is not None and self._near_share:
            place = np.searchsorted(self.eligible, random.choice(right, int(self._near_share * self._size)))
            near = self._near[place, random.integers(0, self._near.shape[1], place.size)]
            extra = np.union1d(extra, np.setdiff1d(self.eligible[near[near >= 0]], right))
        columns = np.concatenate([right, extra])
        texts = np.unique(np.concatenate([query_texts, columns]))
        queries = np.zeros((answers.size, texts.size), np.float32)
        queries[rows, np.searchsorted(texts, query_texts)] = 1
        same_user = self._matrix[self._users[answers]][:, columns].toarray() > 0
        return Pairs(texts, queries, np.searchsorted(texts, columns), same_user, self._log_draw[columns])

    def _query(self, pair: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Pairs of the history whose texts ask for the text of ``pair``."""
        user, time = self._users[pair], self._history.times[pair]
        first = max(int(self._history.offsets[user]), pair - self._window)
        last = pair if self._kind == "history" else min(int(self._history.offsets[user + 1]) - 1, pair + self._window)
        times = self._history.times[first : last + 1]
        fit = np.ones(times.size, np.bool_) if self._span is None else np.abs(times - time) <= self._span
        fit &= times < time if self._kind == "history" else np.arange(first, last + 1) != pair
        places = first + np.flatnonzero(fit)
        return places if self._kind == "history" else random.choice(places, 1)

    def _has_partner(self) -> NDArray[np.bool_]:
        """Bool [pairs]: whether the pair's text can be an answer."""
        users, times = self._users, self._history.times
        found = np.zeros(users.size, np.bool_)
        if users.size < 2:
            return found
        if self._kind == "history":  # texts of one moment have no order, and the window counts places
            for back in range(1, self._window + 1):
                gap = times[back:] - times[:-back]
                found[back:] |= (users[back:] == users[:-back]) & (gap > 0) & (self._span is None or gap <= self._span)
            return found
        near = users[1:] == users[:-1]
        if self._span is not None:
            near &= np.diff(times) <= self._span
        found[1:] |= near
        found[:-1] |= near
        return found
