"""Choosing on validation: each arm's settings from its grid, and the blend's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.evaluation.ranking import Truth, hits_of, ndcg
from uicgpu.events.interactions import EventTable
from uicgpu.randomness import generator
from uicgpu.recommend.arms import Arm, fit_arm
from uicgpu.recommend.blend import DEPTH, Candidates, gather_candidates, join_candidates
from uicgpu.recommend.cold import PULLS, short_history_weights
from uicgpu.recommend.grids import ArmSettings, Grid, grid
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.ranker import Labelled
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.rows import best_items, exclude

MOST_TUNING_ITEMS: Final = 6000
"""EASE's penalty is chosen on a head of so many items: the work grows with their cube, the choice hardly changes."""

SHORT_HISTORY: Final = 2
"""Items that are left of a history to learn what serves short ones."""


@dataclass
class Tuned:
    """Outcome of tuning.

    Attributes
    ----------
    arms
        The arms fitted with their chosen settings.
    settings
        Chosen settings per arm.
    scores
        Validation NDCG@10 per arm.
    tried
        Settings tried per arm, with their NDCG@10.
    weights, short_history
        Weights of the blend, and for users with a short history.
    edges
        Arms whose choice lies at the edge of a numeric grid: a wider grid might do better.
    """

    arms: dict[str, Arm] = field(default_factory=dict)
    settings: dict[str, ArmSettings] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    tried: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    short_history: dict[str, float] = field(default_factory=dict)
    edges: list[str] = field(default_factory=list)


def tune(
    names: Sequence[str],
    part: TrainingPart,
    truth: Truth,
    *,
    per_user: bool,
    allow_repeat: bool,
    seed: int,
    advance: Callable[[int], None],
    level: str = "quick",
) -> Tuned:
    """Fit every arm with every setting of its grid on ``part`` and keep the one with the best NDCG@10 on ``truth``.

    ``level`` says which grids: ``quick``, ``full``, or ``off`` for the default settings alone.

    Equal scores keep the setting that comes first in the grid.
    """
    tuned = Tuned()
    for name in names:
        best, tried, limited = -1.0, list[dict[str, Any]](), False
        entries = grid(name, level, tuned.settings)
        for settings in entries:
            trial = _limited(name, settings, part)
            arm = fit_arm(name, trial, part, per_user=per_user, fitted=tuned.arms, seed=seed)
            score = _score_alone(arm, part, truth, allow_repeat)
            tried.append({**settings, "ndcg@10": round(score, 6)})
            if score > best:
                best, tuned.arms[name], tuned.settings[name], limited = score, arm, settings, trial != settings
            advance(1)
        if limited:
            tuned.arms[name] = fit_arm(name, tuned.settings[name], part, per_user=per_user, seed=seed)
            best = _score_alone(tuned.arms[name], part, truth, allow_repeat)
        tuned.scores[name] = best
        tuned.tried[name] = tried
        tuned.edges += _edges(name, tuned.settings[name], entries)
    return tuned


def collect_candidates(
    recommender: Recommender, proposing: Sequence[str], truth: Truth, histories: TrainingPart | None = None
) -> Candidates:
    """Unite the 100 best items of each validation user, with the z-scores of all the recommender's arms.

    Parameters
    ----------
    proposing
        The arms whose best items are united; the others (controls of an ablation) are only asked for z-scores.
    histories
        Where the users' histories are; default: what the arms were fitted on.
    """
    return _collect(recommender, proposing, truth, histories)[0]


def collect_labelled(recommender: Recommender, truth: Truth) -> Labelled:
    """The same for the recommender's second stage: candidates of its arms, with features."""
    second = recommender.second
    if second is None:
        raise ValueError("the recommender has no second stage")
    candidates, table = _collect(recommender, second.arms, truth, None)
    return Labelled(candidates, table, second.features.names)


def _collect(
    recommender: Recommender, proposing: Sequence[str], truth: Truth, histories: TrainingPart | None
) -> tuple[Candidates, NDArray[np.float32]]:
    part, second = recommender.part, recommender.second

    def work(place: tuple[int, UserBlock]) -> tuple[Candidates, NDArray[np.float32]]:
        start, block = place
        z = {name: recommender.z_scores(arm, block) for name, arm in recommender.arms.items()}
        own = truth.take(np.arange(start, start + len(block)))
        if second:
            items, table = second.propose(block, z, recommender.allow_repeat)
            return gather_candidates([items], z, own.offsets, own.items), table
        best = []
        for name in proposing:
            masked = z[name].copy()
            exclude(masked, block.offsets, block.items, part.known[None], recommender.allow_repeat)
            best.append(best_items(masked, min(DEPTH, masked.shape[1])))
        return gather_candidates(best, z, own.offsets, own.items), np.empty((0, 0), np.float32)

    found = part.backend.map(work, _numbered(recommender, truth.users, histories))
    width = len(second.features.names) if second else 0
    tables = [np.empty((0, width), np.float32), *(table for _, table in found)] if second else []
    return join_candidates([candidates for candidates, _ in found]), (
        np.concatenate(tables) if tables else np.empty((0, 0), np.float32)
    )


def learn_short_history(
    recommender: Recommender, truth: Truth, weights: Mapping[str, float], popular: str, seed: int
) -> dict[str, float]:
    """Choose how far the blend is pulled towards popularity where histories are short.

    The validation users are scored once more with histories cut to their last two items (two random ones where nothing
    has a time), by the arms as they were fitted; the pull with the best NDCG@10 wins, equal ones: the smallest.
    """
    part = recommender.part
    short = part.histories(_last_items(part, truth.users, SHORT_HISTORY, seed))
    names = tuple(dict.fromkeys((*weights, popular)))
    fitted = Recommender(backend=part.backend, allow_repeat=recommender.allow_repeat)
    fitted.use(part, {name: recommender.arms[name] for name in names}, weights)
    candidates = collect_candidates(fitted, names, truth, short)
    tries = [short_history_weights(weights, popular, pull) for pull in PULLS]
    return tries[int(np.argmax([candidates.ndcg(entry) for entry in tries]))]


def _last_items(part: TrainingPart, users: NDArray[np.int32], number: int, seed: int) -> EventTable:
    """The events of each user's last items; ties of time are broken at random."""
    pairs = part.interactions
    chosen = np.isin(pairs.users, users)
    order = np.lexsort((generator(seed, "evaluate/short").random(len(pairs)), part.steps_back[0], pairs.users))
    place = np.empty(len(pairs), np.int64)
    place[order] = np.arange(len(pairs)) - pairs.offsets[pairs.users[order]]
    chosen &= place < number
    width = np.int64(pairs.n_items)
    kept = (pairs.users.astype(np.int64) * width + pairs.items)[chosen]
    return part.events.take(np.isin(part.events.users.astype(np.int64) * width + part.events.items, kept))


def _numbered(
    recommender: Recommender, users: NDArray[np.int32], histories: TrainingPart | None
) -> list[tuple[int, UserBlock]]:
    numbered, start = [], 0
    for block in recommender.blocks(users, histories):
        numbered.append((start, block))
        start += len(block)
    return numbered


def _score_alone(arm: Arm, part: TrainingPart, truth: Truth, allow_repeat: bool) -> float:
    recommender = Recommender(backend=part.backend, allow_repeat=allow_repeat).use(part, {arm.name: arm}, {})

    def best(block: UserBlock) -> NDArray[np.int32]:
        scores = recommender.z_scores(arm, block)
        exclude(scores, block.offsets, block.items, part.known[None], allow_repeat)
        found: NDArray[np.int32] = best_items(scores, min(10, scores.shape[1]))
        return found

    lists = np.concatenate(part.backend.map(best, recommender.blocks(truth.users)))
    return float(ndcg(hits_of(lists, truth), truth.sizes, 10).mean())


def _limited(name: str, settings: ArmSettings, part: TrainingPart) -> ArmSettings:
    if name == "ease" and int(part.known.sum()) > MOST_TUNING_ITEMS:
        return {**settings, "most_items": MOST_TUNING_ITEMS}
    return settings


def _edges(name: str, chosen: ArmSettings, entries: Grid) -> list[str]:
    notes = []
    for key, value in chosen.items():
        if isinstance(value, str):
            continue
        words = {word: choice for word, choice in chosen.items() if isinstance(choice, str)}
        tried = sorted({entry[key] for entry in entries if key in entry and words.items() <= entry.items()})
        # With two values every choice is at an edge; and dropout cannot go below 0.
        if len(tried) > 2 and (value == tried[-1] or (value == tried[0] and value > 0)):
            notes.append(f"{name}: {key} {value:g} is at the edge of the values tried ({tried[0]:g} to {tried[-1]:g})")
    return notes
