"""The evaluation: split, tune on validation, fit again on train and validation, score the test part once.

No number here is computed from a sample of items: every item with an event is a candidate for every user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.evaluation import beyond_accuracy
from uicgpu.evaluation.ablation import RANDOM, REAL, cluster_arms, group_users, learn_variants
from uicgpu.evaluation.ranking import LONGEST_LIST, METRICS, Truth, held_out, hits_of, ranking_metrics
from uicgpu.evaluation.significance import Interval, bootstrap, holm
from uicgpu.evaluation.tuning import Tuned, collect_candidates, learn_short_history, tune
from uicgpu.events.interactions import EventTable
from uicgpu.events.split import Split, split_events, warm_users
from uicgpu.randomness import generator
from uicgpu.recommend.arms import DEFAULT_SETTINGS, GRIDS, METHODS, Arm, arms_in_blend, arms_shown, fit_arm, usable
from uicgpu.recommend.blend import DEFAULT_WEIGHTS, learn_weights
from uicgpu.recommend.cold import DEFAULT_PULL, ladder_weights, short_history_weights
from uicgpu.recommend.inputs import Catalogue, TrainingPart, UserBlock
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.rows import best_items, exclude
from uicgpu.settings import Settings

BLEND: Final = "blend"
HEADLINE: Final = "ndcg@10"
TUNING_USERS: Final = 1000
"""At most so many validation users: arms and weights are chosen on a seeded sample of them."""
EVALUATION_STEPS: Final = sum(len(grid) for grid in GRIDS.values()) + 5
"""Units that ``advance`` counts."""
_SPLITS_PER_USER: Final = frozenset({"user-time", "leave-one-out"})

Lists = dict[str, NDArray[np.int32]]


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes
    ----------
    metrics
        Flat names to numbers, ``None`` where a number does not exist: ``ranking.<method>.<metric>`` with ``.low`` and
        ``.high``, ``difference.<a>-<b>.ndcg@10``, ``ablation.…``, ``beyond.…``, ``cold.…``, ``evaluation.…``.
    learned
        JSON-able, what :class:`uicgpu.recommend.Recommender` takes: ``split``, ``arms`` (settings), ``weights``,
        ``short_history``, ``best_arm``, ``validation``, ``tried``, ``notes``.
    """

    metrics: dict[str, float | int | str | None] = field(default_factory=dict)
    learned: dict[str, Any] = field(default_factory=dict)


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
        Called with the number of finished steps; :data:`EVALUATION_STEPS` in all.
    clusters
        Number of clusters of the ablation; default: what the settings say (``auto`` chooses anew on the train part).
    """
    step = _Steps(advance)
    split = split_events(events, settings.split, settings.seed)
    notes = list(split.notes)
    if split.kind == "none":
        step.finish()
        return Evaluation({}, _learned(split.kind, Tuned(), notes))
    tuned, variants, clusters = _learn(split, catalogue, settings, backend, clusters, notes, step)
    learned = _learned(split.kind, tuned, notes)
    metrics = _test(split, catalogue, settings, backend, learned, variants, clusters, step)
    step.finish()
    return Evaluation(metrics, learned)


def _learn(
    split: Split,
    catalogue: Catalogue,
    settings: Settings,
    backend: Backend,
    clusters: int | None,
    notes: list[str],
    step: _Steps,
) -> tuple[Tuned, dict[str, dict[str, float]], int]:
    """Choose arm settings and weights on validation; also the weights of the ablation's variants."""
    part = TrainingPart(split.train, catalogue, backend, half_life=settings.half_life)
    truth = _with_history(held_out(split.validation, part.interactions, keep_seen=settings.allow_repeat), part)
    truth = _sample(truth, TUNING_USERS, settings.seed, "validation")
    names = tuple(name for name in arms_shown(split.kind) if usable(name, part))
    missing = [name for name in arms_shown(split.kind) if name not in names]
    if missing:
        notes.append(f"left out for want of texts or times: {', '.join(missing)}")
    if not len(truth):
        notes.append("no validation user has a history and a new item: default settings and weights were used")
        return Tuned(), {}, 0
    if len(truth) < 50:
        notes.append(f"only {len(truth)} validation users: settings and weights are little more than guesses")
    tuned = tune(
        names,
        part,
        truth,
        per_user=split.kind in _SPLITS_PER_USER,
        allow_repeat=settings.allow_repeat,
        seed=settings.seed,
        advance=step,
    )
    notes.extend(tuned.edges)
    blended = {name: tuned.arms[name] for name in arms_in_blend(split.kind) if name in tuned.arms}
    groups = group_users(part, settings, clusters)
    found = int(groups[REAL].max(initial=-1)) + 1
    controls = cluster_arms(part, groups) if found > 1 else {}
    step(1)
    recommender = Recommender(backend=backend, allow_repeat=settings.allow_repeat).use(
        part, {**blended, **controls}, {}
    )
    candidates = collect_candidates(recommender, tuple(blended), truth)
    tuned.weights = learn_weights(candidates, tuple(blended))
    popular = "recent_popularity" if "recent_popularity" in blended else "popularity"
    tuned.short_history = learn_short_history(recommender, truth, tuned.weights, popular, settings.seed)
    variants = learn_variants(candidates, tuple(blended), tuple(controls))
    if not controls:
        notes.append("no ablation: the users form a single cluster or have no interest vectors")
    elif not any(weights.get(name) for name, weights in variants.items()):
        notes.append("ablation: validation gave no weight to popularity within clusters, nor within random groups")
    step(1)
    return tuned, variants, found


def _test(
    split: Split,
    catalogue: Catalogue,
    settings: Settings,
    backend: Backend,
    learned: dict[str, Any],
    variants: Mapping[str, Mapping[str, float]],
    clusters: int,
    step: _Steps,
) -> dict[str, float | int | str | None]:
    """Fit on train and validation with everything frozen, and score the test users once."""
    part = TrainingPart(split.past, catalogue, backend, half_life=settings.half_life)
    arms: dict[str, Arm] = {}
    for name in METHODS:
        if name in arms_shown(split.kind) and usable(name, part):
            per_user = split.kind in _SPLITS_PER_USER
            chosen = learned["arms"][name]
            arms[name] = fit_arm(name, chosen, part, per_user=per_user, fitted=arms, seed=settings.seed)
    recommender = Recommender(backend=backend, allow_repeat=settings.allow_repeat).use(
        part, arms, learned["weights"], learned["short_history"]
    )
    learned["notes"].extend(recommender.notes)
    controls = cluster_arms(part, group_users(part, settings, clusters)) if variants else {}
    step(1)
    truth = held_out(split.test, part.interactions, keep_seen=settings.allow_repeat)
    warm = _sample(_with_history(truth, part), settings.evaluate_users, settings.seed, "test")
    cold = _sample(_with_history(truth, part, without=True), settings.evaluate_users, settings.seed, "cold")
    lists = _rank_all(recommender, warm, controls, variants)
    step(1)
    values = {name: ranking_metrics(hits_of(found, warm), warm.sizes) for name, found in lists.items()}
    metrics = _ranking(values, arms, settings)
    metrics |= _differences(values, arms, learned["best_arm"], settings)
    metrics |= _ablation(values, bool(variants), clusters, settings)
    metrics |= _beyond(lists, part)
    metrics |= _cold(recommender, cold, settings)
    tested = np.unique(split.test.users).size
    metrics |= {
        "evaluation.split": split.kind,
        "evaluation.users": len(warm),
        "evaluation.warm_users": int(warm_users(split).size),
        "evaluation.cold_users": int(tested - warm_users(split).size),
        "evaluation.test_pairs": int(warm.items.size),
        "evaluation.unreachable_share": warm.unreachable_share(part.known),
        "evaluation.seen_test_items_removed": truth.seen_removed,
        "evaluation.best_single_arm": learned["best_arm"],
    }
    if not len(warm):
        learned["notes"].append("no test user has a history and a new item: nothing could be evaluated")
    return metrics


def _rank_all(
    recommender: Recommender,
    truth: Truth,
    controls: Mapping[str, Arm],
    variants: Mapping[str, Mapping[str, float]],
) -> Lists:
    """The 20 best items per method, blend and ablation variant: int32 [users, <= 20], -1 for no item."""
    part, arms = recommender.part, recommender.arms
    depth = min(LONGEST_LIST, part.events.n_items)
    short = recommender.short_history
    ladders = {name: ladder_weights(weights, short, (*arms, name)) for name, weights in variants.items()}

    def work(block: UserBlock) -> Lists:
        found: Lists = {}
        z = {name: recommender.z_scores(arm, block) for name, arm in arms.items()}
        found[BLEND] = best_items(recommender.add_up(block, z), depth)
        for name, ladder in ladders.items():
            if not ladder[name].any():  # the grouping got no weight: the same blend as without it
                found[name] = found[BLEND]
                continue
            grouped = {**z, name: recommender.z_scores(controls[name], block)}
            found[name] = best_items(recommender.add_up(block, grouped, ladder), depth)
        for name, scores in z.items():
            exclude(scores, block.offsets, block.items, part.known[None], recommender.allow_repeat)
            found[name] = best_items(scores, depth)
        return found

    blocks = part.backend.map(work, recommender.blocks(truth.users))
    names = (*arms, BLEND, *ladders)
    empty = np.empty((0, depth), np.int32)
    return {name: np.concatenate([empty, *(block[name] for block in blocks)]) for name in names}


Values = Mapping[str, Mapping[str, NDArray[np.float64]]]
Metrics = dict[str, float | int | str | None]


def _ranking(values: Values, arms: Mapping[str, Arm], settings: Settings) -> Metrics:
    shown = {f"ranking.{name}.{metric}": values[name][metric] for name in (*arms, BLEND) for metric in METRICS}
    intervals = bootstrap(shown, settings.bootstrap, settings.seed)
    metrics: Metrics = {}
    for name in (*METHODS, BLEND):
        for metric in METRICS:
            key = f"ranking.{name}.{metric}"
            metrics |= _told(key, intervals.get(key))
    return metrics


def _differences(values: Values, arms: Mapping[str, Arm], best_arm: str | None, settings: Settings) -> Metrics:
    """The blend against every arm, and every arm against popularity, on the same resampled users."""
    pairs = {f"{BLEND}-{name}": (BLEND, name) for name in arms}
    pairs |= {f"{name}-popularity": (name, "popularity") for name in arms if name != "popularity"}
    if best_arm in arms:
        pairs[f"{BLEND}-best_single"] = (BLEND, str(best_arm))
    shown = {
        f"difference.{pair}.{metric}": values[first][metric] - values[second][metric]
        for pair, (first, second) in pairs.items()
        for metric in (HEADLINE, "recall@20")
    }
    intervals = bootstrap(shown, settings.bootstrap, settings.seed)
    corrected = holm({key: interval.p for key, interval in intervals.items() if "best_single" not in key})
    metrics: Metrics = {}
    for key, interval in intervals.items():
        metrics |= _told(key, interval)
        if key in corrected:
            metrics[f"{key}.p_holm"] = _number(corrected[key])
    return metrics


def _ablation(values: Values, ran: bool, clusters: int, settings: Settings) -> Metrics:
    pairs = ("real-none", "random-none", "real-random")
    metrics: Metrics = {"ablation.clusters": clusters if ran else None}
    intervals: dict[str, Interval] = {}
    if ran:
        none, real = values[BLEND][HEADLINE], values[REAL][HEADLINE]
        # Differences first, then the mean: groupings without a weight give exactly 0.
        random = np.mean([values[name][HEADLINE] - none for name in RANDOM], axis=0)
        differences = dict(zip(pairs, (real - none, random, real - none - random), strict=True))
        intervals = bootstrap(differences, settings.bootstrap, settings.seed)
    for pair in pairs:
        metrics |= _told(f"ablation.{pair}.{HEADLINE}", intervals.get(pair))
    return metrics


def _beyond(lists: Lists, part: TrainingPart) -> Metrics:
    metrics: Metrics = {}
    for name in (BLEND, "popularity"):
        ten = lists[name][:, :10]
        metrics |= {
            f"beyond.{name}.coverage@10": beyond_accuracy.coverage(ten, part.known),
            f"beyond.{name}.novelty@10": beyond_accuracy.novelty(ten, part.item_counts),
            f"beyond.{name}.diversity@10": beyond_accuracy.diversity(ten, part.catalogue.item_vectors)[0],
            f"beyond.{name}.gini@10": beyond_accuracy.gini(ten, part.known),
        }
    return metrics


def _cold(recommender: Recommender, cold: Truth, settings: Settings) -> Metrics:
    """Users without history, served by the last rung of the ladder."""
    metrics: Metrics = {"cold.fallback.users": len(cold)}
    intervals: dict[str, Interval] = {}
    if len(cold):
        lists = _rank_all(recommender, cold, {}, {})[BLEND]
        values = ranking_metrics(hits_of(lists, cold), cold.sizes)
        shown = {metric: values[metric] for metric in (HEADLINE, "recall@10")}
        intervals = bootstrap(shown, settings.bootstrap, settings.seed, "bootstrap/cold")
    for metric in (HEADLINE, "recall@10"):
        metrics |= _told(f"cold.fallback.{metric}", intervals.get(metric))
    return metrics


def _told(key: str, interval: Interval | None) -> Metrics:
    if interval is None:
        return {key: None, f"{key}.low": None, f"{key}.high": None}
    return {key: _number(interval.mean), f"{key}.low": _number(interval.low), f"{key}.high": _number(interval.high)}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _learned(kind: str, tuned: Tuned, notes: list[str]) -> dict[str, Any]:
    weights = dict(tuned.weights or DEFAULT_WEIGHTS)
    best_arm = max(tuned.scores, key=lambda name: tuned.scores[name]) if tuned.scores else None
    return {
        "split": kind,
        "arms": {name: dict(tuned.settings.get(name, DEFAULT_SETTINGS[name])) for name in METHODS},
        "weights": weights,
        "short_history": tuned.short_history or short_history_weights(weights, "popularity", DEFAULT_PULL),
        "best_arm": best_arm,
        "validation": {name: round(score, 6) for name, score in tuned.scores.items()},
        "tried": tuned.tried,
        "notes": notes,
    }


def _with_history(truth: Truth, part: TrainingPart, *, without: bool = False) -> Truth:
    warm = part.interactions.user_counts[truth.users] > 0
    return truth.take(np.flatnonzero(warm != without))


def _sample(truth: Truth, most: int, seed: int, stream: str) -> Truth:
    if len(truth) <= most:
        return truth
    chosen = generator(seed, f"evaluate/{stream}").choice(len(truth), most, replace=False)
    return truth.take(np.sort(chosen))


class _Steps:
    """Counts finished steps, so that the sum is the same whatever was skipped."""

    def __init__(self, advance: Callable[[int], None] | None) -> None:
        self.advance = advance
        self.left = EVALUATION_STEPS

    def __call__(self, steps: int) -> None:
        steps = min(steps, self.left)
        self.left -= steps
        if self.advance and steps:
            self.advance(steps)

    def finish(self) -> None:
        self(self.left)
