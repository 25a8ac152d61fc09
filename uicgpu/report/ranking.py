"""Recommendations: how each method ranked what people chose next, and what a few users would see."""

from __future__ import annotations

from typing import Any, Final

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.examples import example_section
from uicgpu.report.scores import BASELINE, Estimate

MOST_COLUMNS: Final = 4
APART: Final = {
    "cold_users": ("cold.fallback.users", "cold.fallback"),
    "warm_items": ("warm_items.users", "warm_items.recommender"),
    "rare_items": ("rare_items.users", "rare_items.recommender"),
    "new_items": ("new_items.users", "new_items.text"),
}
"""Kind of users or items -> number of users, and the figure that is told of it."""
ABLATION_PAIRS: Final = (("real", "none"), ("real", "random"))


def verdict(run: RunArtefacts, words: Words) -> str:
    """One sentence on the method that recommends; "better" is said only when the paired interval excludes 0."""
    serving, metric = run.scores.serving, run.scores.metric
    if serving is None or metric is None:
        return words("verdict.none")
    name, label = words.named("method", serving), words.named("metric", metric)
    if serving == BASELINE:
        return words("verdict.baseline", metric=label)
    difference = run.scores.difference(serving, BASELINE, metric)
    if difference is None or not difference.bounded:
        return words("verdict.unpaired", method=name, metric=label)
    key = {1: "verdict.better", 0: "verdict.open", -1: "verdict.worse"}[difference.sign]
    return words(
        key,
        method=name,
        metric=label,
        difference=numbers.signed(difference.value),
        low=numbers.signed(difference.low),
        high=numbers.signed(difference.high),
    )


def ranking_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    """Method table with intervals, paired differences, and examples."""
    scores, metric = run.scores, run.scores.metric
    section: dict[str, Any] = {
        "verdict": verdict(run, words),
        "examples": example_section(run, words),
        "single_users": bool(run.setting("raw_ids")),
        "rows": [],
        "metric": words.named("metric", metric) if metric else None,
        "users": numbers.count(scores.plain.get("evaluation.users")),
        "split": words.named("split", scores.texts.get("evaluation.split", "none")),
        "evaluated": bool(scores.ranking),
        "others": [],
        "sentences": evaluation_sentences(run, words),
    }
    if metric is None:
        return section
    others = _other_metrics(run, metric)
    section["others"] = [words.named("metric", name) for name in others]
    ordered = sorted(
        (name for name in scores.ranking if metric in scores.ranking[name]),
        key=lambda name: (-scores.ranking[name][metric].value, name),
    )
    highest = max(_top(scores.ranking[name][metric]) for name in ordered)
    differences = {name: scores.difference(name, BASELINE, metric) for name in ordered}
    bounds = [
        bound
        for entry in differences.values()
        if entry
        for bound in (entry.value, entry.low, entry.high)
        if bound is not None
    ]
    low, high = min([0.0, *bounds]), max([0.0, *bounds])
    for name in ordered:
        estimate, difference = scores.ranking[name][metric], differences[name]
        section["rows"].append(
            {
                "name": words.named("method", name),
                "about": words(f"about.{name}") if f"about.{name}" in words else None,
                "best": name == scores.best,
                "baseline": name == BASELINE,
                "value": numbers.figure(estimate.value),
                "range": _range(estimate, 0.0, highest),
                "interval": _interval(estimate, words, signed=False),
                "difference": numbers.signed(difference.value) if difference else None,
                "difference_range": _range(difference, low, high) if difference else None,
                "difference_interval": _interval(difference, words, signed=True) if difference else None,
                "sign": difference.sign if difference else 0,
                "zero": numbers.within(0.0, low, high),
                "others": [
                    numbers.figure(scores.ranking[name][other].value if other in scores.ranking[name] else None)
                    for other in others
                ],
            }
        )
    return section


def evaluation_sentences(run: RunArtefacts, words: Words) -> list[str]:
    """The recommender against the best single method, what these users can show, and users and items apart."""
    scores = run.scores
    metric = scores.metric
    if metric is None:
        return []
    label, sentences = words.named("metric", metric), []
    single = scores.difference("recommender", "best_single", metric)
    if single and single.bounded:
        key = {1: "ranking.single.better", 0: "ranking.single.open", -1: "ranking.single.worse"}[single.sign]
        arm = words.named("method", scores.texts.get("evaluation.best_single_arm", ""))
        interval = _interval(single, words, signed=True)
        told = words(key, arm=arm, metric=label, difference=numbers.signed(single.value), interval=interval)
        sentences.append(told)
    detectable = scores.plain.get("evaluation.smallest_detectable_difference")
    if detectable is not None:
        sentences.append(words("ranking.detectable", metric=label, difference=numbers.figure(detectable)))
    for kind, (counted, name) in APART.items():
        estimate, users = scores.estimate(f"{name}.{metric}"), scores.plain.get(counted)
        if estimate and users:
            value, interval = numbers.figure(estimate.value), _interval(estimate, words, signed=False)
            told = words(f"ranking.{kind}", users=numbers.count(users), metric=label, value=value, interval=interval)
            sentences.append(told)
    return sentences


def ablation_sentences(run: RunArtefacts, words: Words) -> list[str]:
    """Do the clusters help? Real clusters against none and against random groups of the same sizes."""
    sentences = []
    for first, second in ABLATION_PAIRS:
        metrics = run.scores.ablation.get((first, second), {})
        metric = run.scores.metric if run.scores.metric in metrics else next(iter(sorted(metrics)), None)
        if metric is None:
            continue
        estimate = metrics[metric]
        if estimate.value == estimate.low == estimate.high == 0:
            return [words("ablation.unused")]
        sign = {1: "helps", 0: "open", -1: "hurts"}[estimate.sign] if estimate.bounded else "open"
        sentences.append(
            words(
                f"ablation.{first}_{second}.{sign}",
                metric=words.named("metric", metric),
                difference=numbers.signed(estimate.value),
                interval=_interval(estimate, words, signed=True),
            )
        )
    return sentences


def _interval(estimate: Estimate, words: Words, *, signed: bool) -> str:
    if estimate.low is None or estimate.high is None:
        return words("interval.missing")
    write = numbers.signed if signed else numbers.figure
    return words("interval.range", low=write(estimate.low), high=write(estimate.high))


def _top(estimate: Estimate) -> float:
    return estimate.value if estimate.high is None else max(estimate.value, estimate.high)


def _range(estimate: Estimate, low: float, high: float) -> dict[str, float]:
    """Positions in percent of a bar's start, end and middle between ``low`` and ``high``."""
    start = estimate.value if estimate.low is None else estimate.low
    end = estimate.value if estimate.high is None else estimate.high
    return {
        "start": numbers.within(start, low, high),
        "width": round(numbers.within(end, low, high) - numbers.within(start, low, high), 2),
        "middle": numbers.within(estimate.value, low, high),
    }


def _other_metrics(run: RunArtefacts, metric: str) -> list[str]:
    methods = [values for values in run.scores.ranking.values() if metric in values]
    names = {
        name
        for values in methods
        for name in values
        if name != metric and 2 * sum(name in other for other in methods) >= len(methods)
    }
    cut = metric.partition("@")[2]
    preferred = [f"{kind}@{cut}" for kind in ("recall", "precision", "coverage", "mrr", "hit_rate", "map")]
    return [name for name in preferred if name in names][:MOST_COLUMNS]
