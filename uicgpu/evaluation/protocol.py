"""The evaluation: split, tune on validation, fit again on train and validation, score the test part once.

No number here is computed from a sample of items: every item with an event is a candidate for every user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uicgpu.backends.interface import Backend
from uicgpu.evaluation.ablation import cluster_arms, group_users
from uicgpu.evaluation.figures import (
    HEADLINE,
    Metrics,
    ablation_figures,
    difference_figures,
    item_figures,
    list_figures,
    ranking_figures,
    told,
    user_values,
)
from uicgpu.evaluation.learning import SEEDS, SPLITS_PER_USER, WARNING, Learned, learn, sample, with_history
from uicgpu.evaluation.lists import BLEND, Extra, rank_all
from uicgpu.evaluation.ranking import Truth, held_out, hits_of, ranking_metrics
from uicgpu.evaluation.significance import Interval, bootstrap
from uicgpu.events.interactions import NO_TIME, EventTable
from uicgpu.events.split import Split, split_events, warm_users
from uicgpu.recommend.arms import FULL_ONLY, METHODS, SEEDED, Arm, arms_shown, fit_arm, usable
from uicgpu.recommend.grids import GRIDS
from uicgpu.recommend.inputs import Catalogue, TrainingPart
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.second_stage import SecondStage
from uicgpu.settings import Settings

MOSTLY = 0.5
"""From this share of unreachable test pairs on the figures say little of the methods."""


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes
    ----------
    metrics
        Flat names to numbers, ``None`` where a number does not exist: ``ranking.<method>.<metric>`` with ``.low`` and
        ``.high``, ``difference.<a>-<b>.ndcg@10``, ``ablation.…``, ``beyond.…``, ``debiased.…``, ``warm_items.…``,
        ``rare_items.…``, ``new_items.…``, ``tuning.<method>.tried``, ``seeds.…``, ``cold.…``, ``data.…``,
        ``evaluation.…``.
    learned
        JSON-able, what :class:`uicgpu.recommend.Recommender` takes: ``split``, ``arms`` (settings), ``weights``,
        ``short_history``, ``ranker`` (with the model's text), ``best_arm``, ``validation``, ``tried``, ``notes``.
    """

    metrics: dict[str, float | int | str | None] = field(default_factory=dict)
    learned: dict[str, Any] = field(default_factory=dict)


def evaluation_steps(level: str) -> int:
    """Units that ``advance`` counts at a level of tuning."""
    left_out = frozenset() if level == "full" else FULL_ONLY
    return sum(len(entries) for name, entries in GRIDS[level].items() if name not in left_out) + 5


def evaluate(
    events: EventTable,
    catalogue: Catalogue,
    settings: Settings,
    backend: Backend,
    advance: Callable[[int], None] | None = None,
    clusters: int | None = None,
) -> Evaluation:
    """Evaluate all methods on held-out events and learn the recommender's settings and weights.

    Everything that is learned while tuning (counts, idf, centre, interest vectors, clusters, settings, weights) comes
    from the train and validation parts; the test part is scored once, by arms fitted on train and validation with the
    settings and weights frozen.

    Parameters
    ----------
    advance
        Called with the number of finished steps; :func:`evaluation_steps` in all.
    clusters
        Number of clusters of the ablation; default: what the settings say (``auto`` chooses anew on the train part).
    """
    step = _Steps(advance, evaluation_steps(settings.tune))
    split = split_events(events, settings.split, settings.seed)
    notes = list(split.notes)
    if split.kind == "none":
        step.finish()
        return Evaluation({}, Learned().told(split.kind, notes))
    learned = learn(split, catalogue, settings, backend, clusters, notes, step)
    told_all = learned.told(split.kind, notes)
    metrics = _test(split, catalogue, settings, backend, learned, told_all, step)
    metrics |= fingerprint(events, catalogue)
    step.finish()
    return Evaluation(metrics, told_all)


def fingerprint(events: EventTable, catalogue: Catalogue) -> Metrics:
    """What data the figures are about: sizes, span, and a hash over events and item vectors."""
    digest = hashlib.sha256()
    for array in (events.users, events.items, events.times, events.weights, catalogue.item_vectors):
        digest.update(np.ascontiguousarray(array).tobytes())
    known = events.times[events.times != NO_TIME]
    return {
        "data.events": len(events),
        "data.users": int(np.unique(events.users).size),
        "data.items": int(np.unique(events.items).size),
        "data.first_time_us": int(known.min()) if known.size else None,
        "data.last_time_us": int(known.max()) if known.size else None,
        "data.sha256": digest.hexdigest(),
    }


def _test(
    split: Split,
    catalogue: Catalogue,
    settings: Settings,
    backend: Backend,
    learned: Learned,
    told_all: dict[str, Any],
    step: _Steps,
) -> Metrics:
    """Fit on train and validation with everything frozen, and score the test users once."""
    part = TrainingPart(split.past, catalogue, backend, half_life=settings.half_life)
    arms: dict[str, Arm] = {}
    seeded: dict[str, Arm] = {}
    for name in METHODS:
        if name in arms_shown(split.kind, settings.tune) and usable(name, part, settings.allow_repeat):
            per_user = split.kind in SPLITS_PER_USER
            chosen = told_all["arms"][name]
            arms[name] = fit_arm(name, chosen, part, per_user=per_user, fitted=arms, seed=settings.seed)
            for extra in range(1, SEEDS) if name in SEEDED else ():
                seeded[f"{name}/{extra}"] = fit_arm(name, chosen, part, seed=settings.seed + extra)
    recommender = Recommender(backend=backend, allow_repeat=settings.allow_repeat)
    recommender.use(part, arms, told_all["weights"], told_all["short_history"], learned.second_stage())
    told_all["notes"].extend(recommender.notes)
    controls = cluster_arms(part, group_users(part, settings, learned.clusters)) if learned.variants else {}
    grouped = {
        name: SecondStage(learned.choice.mode, (*learned.arms, name), learned.groups, ranker).prepare(part)
        for name, ranker in learned.grouped_rankers.items()
    }
    step(1)
    truth = held_out(split.test, part.interactions, keep_seen=settings.allow_repeat)
    warm = sample(with_history(truth, part), settings.evaluate_users, settings.seed, "test")
    cold = sample(with_history(truth, part, without=True), settings.evaluate_users, settings.seed, "cold")
    lists = rank_all(recommender, warm, Extra(learned.rankers, seeded, controls, learned.variants, grouped))
    step(1)
    best_arm = told_all["best_arm"]
    values, metrics = user_values(lists, warm)
    metrics |= ranking_figures(values, settings)
    metrics |= difference_figures(values, best_arm, settings)
    metrics |= ablation_figures(values, learned.clusters if learned.variants else 0, settings)
    metrics |= list_figures(lists, warm, part, settings)
    metrics |= item_figures(lists, warm, part, settings)
    metrics |= _cold(recommender, cold, settings)
    tested = np.unique(split.test.users).size
    metrics |= {
        "evaluation.split": split.kind,
        "evaluation.tune": settings.tune,
        "evaluation.ranker": learned.choice.mode,
        "evaluation.users": len(warm),
        "evaluation.warm_users": int(warm_users(split).size),
        "evaluation.cold_users": int(tested - warm_users(split).size),
        "evaluation.test_pairs": int(warm.items.size),
        "evaluation.unreachable_share": warm.unreachable_share(part.known),
        "evaluation.seen_test_items_removed": truth.seen_removed,
        "evaluation.best_single_arm": best_arm,
    }
    metrics |= {f"tuning.{name}.tried": len(tried) for name, tried in learned.tuned.tried.items()}
    told_all["notes"].extend(_reach(len(warm), len(cold), tested, metrics["evaluation.unreachable_share"]))
    return metrics


def _reach(warm: int, cold: int, tested: int, unreachable: Any) -> list[str]:
    """What a reader must know of whom and what the figures cannot cover."""
    notes = []
    if not tested:
        notes.append(f"{WARNING}nothing was ranked: no user has two events of which the later could be held back")
    elif not warm:
        served = f"; {cold:,} have no history at all and were shown what is popular (cold.fallback)" if cold else ""
        notes.append(
            f"{WARNING}nothing was ranked: none of the {tested:,} test users has a history and an item that is new to "
            f"the user{served}; more events per user, or another --split, would help"
        )
    if unreachable:
        notes.append(
            f"{WARNING if unreachable >= MOSTLY else ''}{unreachable:.0%} of the test pairs are of items that no "
            "earlier event has: nothing but their text could find them, and they count as misses"
        )
    return notes


def _cold(recommender: Recommender, cold: Truth, settings: Settings) -> Metrics:
    """Users without history, served by the last rung of the ladder."""
    metrics: Metrics = {"cold.fallback.users": len(cold)}
    intervals: dict[str, Interval] = {}
    if len(cold):
        lists = rank_all(recommender, cold, Extra())[BLEND]
        values = ranking_metrics(hits_of(lists, cold), cold.sizes)
        shown = {metric: values[metric] for metric in (HEADLINE, "recall@10")}
        intervals = bootstrap(shown, settings.bootstrap, settings.seed, "bootstrap/cold")
    for metric in (HEADLINE, "recall@10"):
        metrics |= told(f"cold.fallback.{metric}", intervals.get(metric))
    return metrics


class _Steps:
    """Counts finished steps, so that the sum is the same whatever was skipped."""

    def __init__(self, advance: Callable[[int], None] | None, total: int) -> None:
        self.advance = advance
        self.left = total

    def __call__(self, steps: int) -> None:
        steps = min(steps, self.left)
        self.left -= steps
        if self.advance and steps:
            self.advance(steps)

    def finish(self) -> None:
        self(self.left)
