"""Which form of the recommender serves: judged by validation users who had no part in what is judged.

A weight that was learned on a user flatters the blend for that user, and a tree even more so. So the validation users
are cut into folds, and what a fold sees was learned on the others: the choice of the best arm, the blend's weights, and
the ranker. From the simplest form on (one arm, the blend, ranker and blend together, the ranker alone) a richer one is
taken only where its mean gain exceeds the standard error of that gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.randomness import generator
from uicgpu.recommend.blend import Candidates, best_single, candidate_ndcg, learn_weights
from uicgpu.recommend.ranker import Labelled, Mode, mix, train

FEWEST_USERS: Final = 50
"""Validation users with a positive candidate, below which nothing is trained and nothing can be judged."""
FOLDS: Final = 3


@dataclass(frozen=True)
class Base:
    """One arm or the blend, whichever serves better.

    Attributes
    ----------
    weights
        Learned on all validation users: of the blend, or 1 for the arm.
    scores
        float64 [users, width]: the same form with what was learned without the user's fold.
    values
        NDCG@10 of each user per form (``arm``, ``blend``), judged like ``scores``; empty where nothing was judged.
    """

    weights: dict[str, float]
    scores: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]

    @property
    def single(self) -> bool:
        """Whether one arm serves alone."""
        return len(self.weights) == 1


@dataclass(frozen=True)
class Choice:
    """Whether the ranker is wanted, and in which form.

    Attributes
    ----------
    scores
        Mean NDCG@10 per form (``arm``, ``blend``, ``mix``, ``alone``) of users who had no part in it.
    reason
        One sentence.
    """

    mode: Mode
    scores: dict[str, float]
    reason: str


def fold_of(users: int, seed: int) -> NDArray[np.int64]:
    """Fold of each validation user, int64 [users]."""
    return generator(seed, "ranker/folds").permutation(users) % FOLDS


def choose_base(candidates: Candidates, arms: Sequence[str], fold: NDArray[np.int64]) -> Base:
    """Learn the blend, and keep it where it beats the best single arm for users it was not learned on.

    With fewer users than can judge, the blend stays: it leans less on the luck of one arm.

    Parameters
    ----------
    fold
        int64 [users], see :func:`fold_of`.
    """
    learned = learn_weights(candidates, arms)
    if len(candidates.items) < FEWEST_USERS:
        return Base(learned, candidates.add_up(learned), {})
    scores = {form: np.zeros(candidates.items.shape, np.float64) for form in ("arm", "blend")}
    for part in range(FOLDS):
        others, own = candidates.take(np.flatnonzero(fold != part)), np.flatnonzero(fold == part)
        held_back = candidates.take(own)
        scores["arm"][own] = held_back.add_up({best_single(others, arms): 1.0})
        scores["blend"][own] = held_back.add_up(learn_weights(others, arms))
    values = {form: _ndcg(candidates, total) for form, total in scores.items()}
    if _gains(values["blend"], values["arm"]):
        return Base(learned, scores["blend"], values)
    return Base({best_single(candidates, arms): 1.0}, scores["arm"], values)


def choose_ranker(labelled: Labelled, base: Base, fold: NDArray[np.int64], seed: int, backend: Backend) -> Choice:
    """Train a ranker on all folds but one, and judge it on the one left out.

    Parameters
    ----------
    base
        The arm or blend that the ranker must improve on.
    fold
        int64 [users], as for ``base``.
    """
    candidates = labelled.candidates
    told = {form: round(float(value.mean()), 6) for form, value in base.values.items()}
    number = int(candidates.hits.any(axis=1).sum())
    if number < FEWEST_USERS:
        return Choice("off", told, f"no ranker: {number} validation users chose a candidate, {FEWEST_USERS} are needed")
    models = backend.map(lambda part: train(labelled, seed, fold != part), range(FOLDS))
    inside, rows = candidates.items >= 0, labelled.rows
    scores = np.zeros(candidates.items.shape, np.float64)
    predicted = np.empty(rows.size, np.float64)
    for part, model in enumerate(models):
        own = fold[rows] == part
        predicted[own] = model.predict(labelled.table[own])
    scores[inside] = predicted
    before = _ndcg(candidates, base.scores)
    mixed, alone = _ndcg(candidates, mix(scores, base.scores, inside)), _ndcg(candidates, scores)
    told |= {"mix": round(float(mixed.mean()), 6), "alone": round(float(alone.mean()), 6)}
    if not _gains(mixed, before):
        return Choice("off", told, "no ranker: it did not help validation users whom it was not trained on")
    if _gains(alone, mixed):
        return Choice("alone", told, "the ranker alone served held-back validation users best")
    together = "single arm" if base.single else "blend"
    return Choice("mix", told, f"ranker and {together} together served held-back validation users best")


def _ndcg(candidates: Candidates, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = candidate_ndcg(scores, candidates.items, candidates.hits, candidates.chosen)
    return values


def _gains(better: NDArray[np.float64], simpler: NDArray[np.float64]) -> bool:
    gain = better - simpler
    return bool(gain.mean() > gain.std() / np.sqrt(max(gain.size, 1)))
