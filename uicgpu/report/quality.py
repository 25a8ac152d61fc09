"""Are the clusters real? Quality figures explained in words, stability, agreement with labels, and the ablation."""

from __future__ import annotations

from typing import Any, Final

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.ranking import ablation_sentences
from uicgpu.report.scores import Estimate
from uicgpu.vocabulary import NOISE, Column, StageName

STABLE: Final = ((0.8, "high"), (0.6, "good"), (0.4, "partial"), (float("-inf"), "low"))
"""Bounds of the words for stability (mean adjusted Rand index between refits on resampled users)."""
SEPARATED: Final = ((0.5, "high"), (0.25, "good"), (0.05, "partial"), (float("-inf"), "low"))
"""Bounds of the words for the silhouette. Interest vectors of real people overlap; below 0.1 is common."""
FIGURES: Final = ("silhouette", "davies_bouldin", "calinski_harabasz", "intra_distance", "inter_distance")
ALIASES: Final = {
    "silhouette": ("silhouette", "silhouette_simplified"),
    "intra_distance": ("intra_distance", "intra"),
    "inter_distance": ("inter_distance", "inter"),
}


def quality_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    """Cards of figures with a sentence each, agreement with given labels, and the ablation."""
    clusters = run.clusters.filter(run.clusters[Column.CLUSTER] != NOISE).height
    stability = run.scores.estimate("cluster.stability")
    consensus = run.facts(StageName.CLUSTER).get("consensus")
    silhouette = _figure(run, "silhouette")
    return {
        "single": clusters <= 1,
        "stability": {
            "value": numbers.figure(stability.value if stability else None),
            "interval": _interval(stability, words),
            "range": _bar(stability),
            "sentence": words(f"stability.{grade(stability.value, STABLE)}")
            if stability
            else words("stability.missing"),
            "made": words("stability.consensus", runs=numbers.count(consensus)) if consensus else None,
        },
        "silhouette": {
            "value": numbers.figure(silhouette),
            "range": _bar(Estimate(silhouette)) if silhouette is not None else None,
            "sentence": words(f"silhouette.{grade(silhouette, SEPARATED)}")
            if silhouette is not None
            else words("silhouette.missing"),
        },
        "figures": [
            {
                "name": words(f"figure.{name}"),
                "value": numbers.figure(_figure(run, name)),
                "about": words(f"figure.{name}.about"),
            }
            for name in FIGURES
            if name != "silhouette"
        ],
        "agreement": _agreement(run, words),
        "ablation": ablation_sentences(run, words) or [words("ablation.missing")],
    }


def grade(value: float, bounds: tuple[tuple[float, str], ...]) -> str:
    """Word for a value: the first bound that it reaches.

    >>> grade(0.7, STABLE)
    'good'
    """
    return next(word for bound, word in bounds if value >= bound)


def _figure(run: RunArtefacts, name: str) -> float | None:
    for alias in ALIASES.get(name, (name,)):
        if f"cluster.{alias}" in run.scores.plain:
            return run.scores.plain[f"cluster.{alias}"]
    return None


def _agreement(run: RunArtefacts, words: Words) -> dict[str, Any] | None:
    plain = run.scores.plain
    nmi, ari = (plain.get(f"cluster.{name}", plain.get(f"agreement.{name}")) for name in ("nmi", "ari"))
    if nmi is None and ari is None:
        return None
    label = run.setting("label_column")
    return {
        "nmi": numbers.figure(nmi),
        "ari": numbers.figure(ari),
        "sentence": words("agreement.sentence", label=label or words("agreement.label")),
    }


def _interval(estimate: Estimate | None, words: Words) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return words("interval.missing")
    return words("interval.range", low=numbers.figure(estimate.low), high=numbers.figure(estimate.high))


def _bar(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    start, end = numbers.within(low, 0.0, 1.0), numbers.within(high, 0.0, 1.0)
    return {"start": start, "width": round(end - start, 2), "middle": numbers.within(estimate.value, 0.0, 1.0)}
