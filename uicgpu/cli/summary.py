"""The few lines that a newcomer wants to see after a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uicgpu.runs.artefacts import Run
from uicgpu.vocabulary import StageName


def summarise(run: Run) -> dict[str, Any]:
    """Return users, items, events, clusters, how well it recommends, and the report's path."""
    clean = run.facts(StageName.CLEAN)
    return {
        "users": clean["users"],
        "items": run.items.height,
        "events": clean["events_kept"],
        "clusters": _clusters(run),
        "recommender": ranking_line(run.metrics),
        "report": str(run.report.resolve()),
    }


def summarise_cost(run: Run) -> dict[str, Any]:
    """Return seconds, bytes, tokens and cache hits of a run, and the seconds of its stages, slowest first."""
    stages = run.manifest["stages"]
    seconds = {name: entry["seconds"] for name, entry in stages.items() if "seconds" in entry}
    encode = stages.get(StageName.ENCODE) or {}
    return {
        "seconds": round(sum(seconds.values()), 1),
        "seconds by stage": dict(sorted(seconds.items(), key=lambda entry: (-entry[1], entry[0]))),
        "peak bytes": max((entry.get("peak_bytes") or 0 for entry in stages.values()), default=0),
        "bytes written": sum(
            output["bytes"] for entry in stages.values() for output in (entry.get("outputs") or {}).values()
        ),
        "tokens": (encode.get("facts") or {}).get("tokens"),
        "cache hits": encode.get("cache_hits"),
    }


def _clusters(run: Run) -> str:
    facts = run.facts(StageName.CLUSTER)
    stability = run.metrics.get("cluster.stability.mean")
    told = f"{facts['clusters']} ({facts['algorithm']}"
    if facts.get("metric"):
        told += f" by {facts['metric']}"
    if facts.get("reduction"):
        told += " after UMAP"
    if facts.get("consensus"):
        told += f", consensus of {facts['consensus']}"
    if isinstance(stability, float):
        told += f", stability {stability:.2f}"
    carried = facts.get("previous")
    if carried:
        from uicgpu.pipeline.previous import lineage_sentence

        told += f"; {lineage_sentence(carried)}"
    return f"{told})"


def ranking_line(metrics: Mapping[str, Any]) -> str:
    """NDCG@10 of what recommends, with its 95 % interval, beside the best single method and popularity.

    The best single method is the one that validation users chose: the best of a test would be picked by its luck.
    """
    low, high = (metrics.get(f"ranking.recommender.ndcg@10.{end}") for end in ("low", "high"))
    value = metrics.get("ranking.recommender.ndcg@10")
    if value is None:
        return "not evaluated"
    told = f"NDCG@10 {value:.4f}"
    if low is not None and high is not None:
        told += f" [{low:.4f}, {high:.4f}]"
    for label, method in (("best single method", metrics.get("evaluation.best_single_arm")), ("", "popularity")):
        other = metrics.get(f"ranking.{method}.ndcg@10")
        if other is not None:
            told += f", {label} {method} {other:.4f}" if label else f", {method} {other:.4f}"
    return told


def survey_warnings(figures: Mapping[str, Any]) -> list[str]:
    """What was left out of a survey, one sentence each."""
    unknown, unreadable = figures.get("survey.unknown_users"), figures.get("survey.unreadable_scores")
    return [
        *([f"survey: {unknown:,} users are not in this run; their answers do not count"] if unknown else []),
        *([f"survey: {unreadable:,} scores are not numbers; they do not count"] if unreadable else []),
    ]


def survey_lines(figures: Mapping[str, Any]) -> dict[str, str]:
    """Per question the mean and what separates groups; a difference is told as one only if its interval excludes 0."""
    lines = {}
    for name, number in figures.items():
        question = name.removeprefix("survey.").removesuffix(".n")
        if not name.endswith(".n") or ".cluster." in question or ".group." in question:
            continue
        key = f"survey.{question}"
        told = "too few answers to be shown"
        if number is not None:
            low, high = figures[f"{key}.mean.low"], figures[f"{key}.mean.high"]
            told = f"mean {figures[f'{key}.mean']:.2f} [{low:.2f}, {high:.2f}], n {number:,}"
        lines[f"survey {question}"] = "; ".join([told, *_group_differences(figures, key)])
    return lines


def group_line(balance: Mapping[str, Any]) -> str:
    """Users per group of an experiment, and how evenly the clusters are spread over the groups."""
    sizes = ", ".join(f"{name} {number:,} users" for name, number in balance["users"].items())
    gap = "largest gap in a cluster's share"
    return f"{sizes}; {gap} {100 * balance[gap]:.1f} %"


def _group_differences(figures: Mapping[str, Any], key: str) -> list[str]:
    told = []
    for name, detectable in figures.items():
        pair = name.removeprefix(f"{key}.").removesuffix(".detectable")
        if not (name.startswith(f"{key}.") and name.endswith(".detectable")) or pair.startswith("cluster."):
            continue
        value, low, high = (figures[f"{key}.{pair}{end}"] for end in ("", ".low", ".high"))
        said = f"{pair} {value:+.2f} [{low:+.2f}, {high:+.2f}]"
        if low <= 0 <= high:
            said += f": cannot be told apart, from {detectable:.2f} on it could"
        told.append(said)
    return told
