"""At a glance: how much, how many, what recommends, and one honest sentence."""

from __future__ import annotations

from typing import Any

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts, base_name
from uicgpu.report.catalogue import Words
from uicgpu.report.ranking import verdict
from uicgpu.vocabulary import NOISE, Column, StageName


def glance_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    """Figures and sentences for the head of the page."""
    users = run.users.height
    events = int(run.users[Column.EVENTS].cast(int).sum()) if users else 0
    kept = run.facts(StageName.CLEAN).get("events_kept")
    clusters = sum(profile["cluster"] != NOISE for profile in run.published)
    serving = run.scores.serving
    metric = run.scores.metric
    estimate = run.scores.ranking[serving][metric] if serving and metric else None
    tiles = [
        {"label": words("glance.users"), "value": numbers.count(users)},
        {
            "label": words("glance.items"),
            "value": numbers.count(run.items.height if run.items is not None else None),
        },
        {"label": words("glance.events"), "value": numbers.count(kept if kept is not None else events)},
        {"label": words("glance.clusters"), "value": numbers.count(clusters)},
    ]
    return {
        "tiles": tiles,
        "best": None
        if estimate is None or serving is None or metric is None
        else {
            "name": words.named("method", serving),
            "figures": words(
                "glance.best",
                metric=words.named("metric", metric),
                value=numbers.figure(estimate.value),
                interval=interval_text(estimate.low, estimate.high, words),
            ),
        },
        "verdict": verdict(run, words),
        "clusters_sentence": clusters_sentence(run, clusters, words),
        "sources": words.listed(sorted({base_name(str(entry.get("path", ""))) for entry in _inputs(run)} - {""})),
    }


def interval_text(low: float | None, high: float | None, words: Words, *, signed: bool = False) -> str:
    """``0.109 to 0.128``, or a word that says that no interval is known."""
    if low is None or high is None:
        return words("interval.missing")
    write = numbers.signed if signed else numbers.figure
    return words("interval.range", low=write(low), high=write(high))


def clusters_sentence(run: RunArtefacts, clusters: int, words: Words) -> str:
    """How the users divide: largest cluster, smallest, how firm."""
    if clusters <= 1:
        return words("glance.one_cluster")
    told = [entry for entry in run.published if entry["cluster"] != NOISE and entry["share"] is not None]
    if not told:
        return words("glance.all_small", minimum=run.setting("k_anonymity"))
    return words(
        "glance.clusters_sentence",
        clusters=numbers.count(clusters),
        name=told[0]["name"],
        share=numbers.percent(told[0]["share"]),
        smallest=numbers.percent(told[-1]["share"]),
    )


def _inputs(run: RunArtefacts) -> list[dict[str, Any]]:
    return run.manifest.get("inputs") or []
