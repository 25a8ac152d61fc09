"""From lists to the flat figures of ``metrics.json``: means with intervals, paired differences, the ablation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.evaluation import beyond_accuracy
from uicgpu.evaluation.ablation import RANDOM, REAL
from uicgpu.evaluation.debiased import debiased
from uicgpu.evaluation.lists import BLEND, FEW_EVENTS, RECOMMENDER, Lists
from uicgpu.evaluation.ranking import METRICS, Truth, hits_of, ndcg, ranking_metrics
from uicgpu.evaluation.significance import Interval, bootstrap, holm, smallest_detectable_difference
from uicgpu.recommend.arms import METHODS
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.settings import Settings

HEADLINE: Final = "ndcg@10"
SHOWN: Final = (*METHODS, BLEND, RECOMMENDER)
"""What stands in the tables, in this order."""
Values = Mapping[str, Mapping[str, NDArray[np.float64]]]
Metrics = dict[str, float | int | str | None]


def user_values(lists: Lists, truth: Truth) -> tuple[dict[str, dict[str, NDArray[np.float64]]], Metrics]:
    """Metrics per user of every method, and the spread over seeds.

    Lists named ``method/0``, ``method/1`` … are seeds of one method: its values are the mean over them per user.
    """
    values = {name: ranking_metrics(hits_of(found, truth), truth.sizes) for name, found in lists.items()}
    spread: Metrics = {}
    for name in (RECOMMENDER, *METHODS):
        seeds = [values.pop(key) for key in [key for key in values if key.startswith(f"{name}/")]]
        if name != RECOMMENDER and seeds:
            seeds.insert(0, values[name])
        if len(seeds) > 1:
            means = [float(seed[HEADLINE].mean()) for seed in seeds if seed[HEADLINE].size]
            spread[f"seeds.{name}.count"] = len(seeds)
            spread[f"seeds.{name}.{HEADLINE}.sd"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
            values[name] = {metric: np.mean([seed[metric] for seed in seeds], axis=0) for metric in METRICS}
    return values, spread


def ranking_figures(values: Values, settings: Settings) -> Metrics:
    """``ranking.<method>.<metric>`` with ``.low`` and ``.high``; ``None`` for a method that could not run."""
    shown = {f"ranking.{name}.{metric}": values[name][metric] for name in SHOWN if name in values for metric in METRICS}
    intervals = bootstrap(shown, settings.bootstrap, settings.seed)
    metrics: Metrics = {}
    for name in SHOWN:
        for metric in METRICS:
            key = f"ranking.{name}.{metric}"
            metrics |= told(key, intervals.get(key))
    return metrics


def difference_figures(values: Values, best_arm: str | None, settings: Settings) -> Metrics:
    """Recommender and blend against every arm, and every arm against popularity, on the same resampled users."""
    arms = [name for name in METHODS if name in values]
    pairs = {f"{ours}-{name}": (ours, name) for ours in (RECOMMENDER, BLEND) for name in arms}
    pairs[f"{RECOMMENDER}-{BLEND}"] = (RECOMMENDER, BLEND)
    pairs |= {f"{name}-popularity": (name, "popularity") for name in arms if name != "popularity"}
    if best_arm in arms:
        pairs |= {f"{ours}-best_single": (ours, str(best_arm)) for ours in (RECOMMENDER, BLEND)}
    shown = {
        f"difference.{pair}.{metric}": values[first][metric] - values[second][metric]
        for pair, (first, second) in pairs.items()
        for metric in (HEADLINE, "recall@20")
    }
    intervals = bootstrap(shown, settings.bootstrap, settings.seed)
    corrected = holm({key: interval.p for key, interval in intervals.items() if "best_single" not in key})
    metrics: Metrics = {}
    for key, interval in intervals.items():
        metrics |= told(key, interval)
        if key in corrected:
            metrics[f"{key}.p_holm"] = number(corrected[key])
    if best_arm in arms:
        base = float(values[str(best_arm)][HEADLINE].mean()) if values[str(best_arm)][HEADLINE].size else 0.0
        gain = intervals[f"difference.{RECOMMENDER}-best_single.{HEADLINE}"].mean
        metrics["evaluation.gain_over_best_single_percent"] = number(100 * gain / base) if base else None
        metrics["evaluation.smallest_detectable_difference"] = smallest_detectable_difference(
            shown[f"difference.{RECOMMENDER}-best_single.{HEADLINE}"]
        )
    return metrics


def ablation_figures(values: Values, clusters: int, settings: Settings) -> Metrics:
    """Real clusters, random groups and none: as one more arm of the blend, and as features of the ranker."""
    metrics: Metrics = {"ablation.clusters": clusters or None}
    for prefix, base, kind in (("", BLEND, "ablation"), ("ranker/", RECOMMENDER, "ablation_ranker")):
        intervals: dict[str, Interval] = {}
        ran = f"{prefix}{REAL}" in values
        if ran:
            none, real = values[base][HEADLINE], values[f"{prefix}{REAL}"][HEADLINE]
            # Differences first, then the mean: groupings without a weight give exactly 0.
            random = np.mean([values[f"{prefix}{name}"][HEADLINE] - none for name in RANDOM], axis=0)
            differences = {"real-none": real - none, "random-none": random, "real-random": real - none - random}
            intervals = bootstrap(differences, settings.bootstrap, settings.seed)
        if ran or kind == "ablation":
            for pair in ("real-none", "random-none", "real-random"):
                metrics |= told(f"{kind}.{pair}.{HEADLINE}", intervals.get(pair))
    return metrics


def list_figures(lists: Lists, truth: Truth, part: TrainingPart, settings: Settings) -> Metrics:
    """What lists are like apart from being right, and how they fare once popular test items are thinned out."""
    metrics: Metrics = {}
    for name in (RECOMMENDER, BLEND, "popularity"):
        ten = lists[name][:, :10]
        metrics |= {
            f"beyond.{name}.coverage@10": beyond_accuracy.coverage(ten, part.known),
            f"beyond.{name}.novelty@10": beyond_accuracy.novelty(ten, part.item_counts),
            f"beyond.{name}.diversity@10": beyond_accuracy.diversity(ten, part.catalogue.item_vectors)[0],
            f"beyond.{name}.gini@10": beyond_accuracy.gini(ten, part.known),
        }
        if part.catalogue.categories:
            metrics[f"beyond.{name}.calibration@10"] = beyond_accuracy.calibration(
                ten, part.interactions, truth.users, part.catalogue.categories
            )[0]
    shown = [name for name in SHOWN if name in lists]
    for name, found in debiased({name: lists[name] for name in shown}, truth, settings.seed).items():
        metrics |= {f"debiased.{name}.{metric}": value for metric, value in found.items()}
    return metrics


def item_figures(lists: Lists, truth: Truth, part: TrainingPart, settings: Settings) -> Metrics:
    """Rare items (1 to 3 events) ranked among themselves, items without events ranked by text, and all others.

    The others, warm items, are the rest of the truth in the lists over the full catalogue.
    """
    metrics: Metrics = {}
    for prefix, allowed in (
        ("warm", part.item_counts > FEW_EVENTS),
        ("rare", part.known & (part.item_counts <= FEW_EVENTS)),
        ("new", ~part.known & part.has_text),
    ):
        kept = truth.only(allowed)
        metrics[f"{prefix}_items.users"] = len(kept)
        metrics[f"{prefix}_items.test_pairs"] = int(kept.items.size)
        rows = np.flatnonzero(np.isin(truth.users, kept.users))
        shown = {}
        for key, found in lists.items():
            name = key.removeprefix(f"{prefix}/")
            among = key in SHOWN if prefix == "warm" else name != key
            if among and len(kept):
                shown[f"{prefix}_items.{name}.{HEADLINE}"] = ndcg(hits_of(found[rows], kept)[:, :10], kept.sizes, 10)
        pair = [shown.get(f"{prefix}_items.{name}.{HEADLINE}") for name in ("ease_text", "ease")]
        if pair[0] is not None and pair[1] is not None:
            shown[f"{prefix}_items.ease_text-ease.{HEADLINE}"] = pair[0] - pair[1]
        for key, interval in bootstrap(shown, settings.bootstrap, settings.seed, "bootstrap/items").items():
            metrics |= told(key, interval)
    return metrics


def told(key: str, interval: Interval | None) -> Metrics:
    """A figure and both ends of its interval."""
    if interval is None:
        return {key: None, f"{key}.low": None, f"{key}.high": None}
    return {key: number(interval.mean), f"{key}.low": number(interval.low), f"{key}.high": number(interval.high)}


def number(value: float) -> float | None:
    """``None`` for what is not a number."""
    return value if np.isfinite(value) else None
