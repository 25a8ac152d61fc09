"""What does ``metrics.json`` say? Flat names read into methods, differences and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from uicgpu.report.numbers import is_number

BASELINE: Final = "popularity"
SERVES: Final = "recommender"
HEADLINE: Final = "ndcg@10"


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, as far as known."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether an interval is known."""
        return self.low is not None and self.high is not None

    @property
    def sign(self) -> int:
        """+1 or -1 when the interval excludes 0, else 0: nothing may be said."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Scores:
    """Figures of an evaluation.

    Attributes
    ----------
    ranking
        Method -> metric -> estimate; measures beyond accuracy (``beyond.…``) among them.
    differences, ablation
        (first, second) -> metric -> estimate of first minus second.
    plain
        Every flat number by name.
    texts
        Every flat text by name.
    """

    ranking: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    differences: dict[tuple[str, str], dict[str, Estimate]] = field(default_factory=dict)
    ablation: dict[tuple[str, str], dict[str, Estimate]] = field(default_factory=dict)
    plain: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def metric(self) -> str | None:
        """The metric that decides: nDCG@10, else nDCG at the shortest list that was scored."""
        metrics = {metric for values in self.ranking.values() for metric in values}
        if HEADLINE in metrics:
            return HEADLINE
        ndcg = sorted((metric for metric in metrics if metric.startswith("ndcg@")), key=lambda name: (len(name), name))
        return ndcg[0] if ndcg else (sorted(metrics)[0] if metrics else None)

    @property
    def best(self) -> str | None:
        """Method with the highest value of the deciding metric; ties by name."""
        metric = self.metric
        scored = [(-values[metric].value, name) for name, values in self.ranking.items() if metric and metric in values]
        return min(scored)[1] if scored else None

    @property
    def serving(self) -> str | None:
        """Method that makes the lists: the recommender; in figures without one the best method."""
        metric = self.metric
        return SERVES if metric and metric in self.ranking.get(SERVES, {}) else self.best

    def difference(self, first: str, second: str, metric: str | None) -> Estimate | None:
        """Paired difference first minus second, if it was computed."""
        return self.differences.get((first, second), {}).get(metric or "")

    def estimate(self, name: str) -> Estimate | None:
        """A flat number with ``name.low`` and ``name.high``; also ``name.mean``."""
        for key in (name, f"{name}.mean"):
            if key in self.plain:
                return Estimate(self.plain[key], self.plain.get(f"{name}.low"), self.plain.get(f"{name}.high"))
        return None


def read_scores(metrics: Mapping[str, Any]) -> Scores:
    """Read flat metrics such as ``ranking.blend.ndcg@10.low`` or ``difference.blend-popularity.ndcg@10``."""
    plain = {name: float(value) for name, value in sorted(metrics.items()) if is_number(value)}
    texts = {name: value for name, value in sorted(metrics.items()) if isinstance(value, str)}
    scores = Scores(plain=plain, texts=texts)
    for name, value in plain.items():
        group, _, rest = name.partition(".")
        subject, _, metric = rest.partition(".")
        if not metric or metric.endswith((".low", ".high")):
            continue
        estimate = Estimate(value, plain.get(f"{name}.low"), plain.get(f"{name}.high"))
        if group in ("ranking", "beyond"):
            scores.ranking.setdefault(subject, {})[metric] = estimate
    for name, value in plain.items():
        group, _, rest = name.partition(".")
        subject, _, metric = rest.partition(".")
        if group not in ("difference", "ablation") or not metric or metric.endswith((".low", ".high")):
            continue
        pair = _pair(subject, scores.ranking)
        if pair:
            table = scores.differences if group == "difference" else scores.ablation
            table.setdefault(pair, {})[metric] = Estimate(value, plain.get(f"{name}.low"), plain.get(f"{name}.high"))
    return scores


def _pair(subject: str, methods: Mapping[str, Any]) -> tuple[str, str] | None:
    """Split ``first-second``; a method's own name may hold a hyphen."""
    pieces = subject.split("-")
    splits = [("-".join(pieces[:cut]), "-".join(pieces[cut:])) for cut in range(1, len(pieces))]
    known = [pair for pair in splits if pair[0] in methods and pair[1] in methods]
    found = known or splits[-1:]
    return found[0] if found else None
