"""The recommender's figures as the tables of the documentation; a test compares the two.

    python -m uicgpu.bench.recommend_table NAME=FIGURES.json …

FIGURES.json is what ``uicgpu evaluate RUN --out FIGURES.json`` writes. The figures that are quoted go to
``bench/results/recommender.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from uicgpu.runs.folder import write_json

RESULTS: Final = Path(__file__).resolve().parent / "results"
METRIC: Final = "ndcg@10"
DIFFERENCES: Final = ("recommender-best_single", "recommender-blend", "blend-best_single", "recommender-popularity")
PLAIN: Final = (
    "evaluation.split",
    "evaluation.users",
    "evaluation.ranker",
    "evaluation.best_single_arm",
    "evaluation.gain_over_best_single_percent",
    "evaluation.smallest_detectable_difference",
    "rare_items.users",
    "seeds.recommender.ndcg@10.sd",
    "data.events",
    "data.users",
    "data.items",
    "data.sha256",
)


def figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what the documentation quotes out of one evaluation."""
    names = [name for name in metrics if name.startswith("ranking.") and name.endswith(f".{METRIC}")]
    ranking = {name.split(".")[1]: _triple(metrics, name) for name in names if metrics[name] is not None}
    rare = {name: _triple(metrics, f"rare_items.{name}.{METRIC}") for name in ("ease", "ease_text", "ease_text-ease")}
    return {
        "ranking": ranking,
        "difference": {name: _triple(metrics, f"difference.{name}.{METRIC}") for name in DIFFERENCES},
        "ablation": {
            name: _triple(metrics, f"ablation.{name}.{METRIC}") for name in ("real-none", "random-none", "real-random")
        },
        "rare": rare,
        **{name: metrics.get(name) for name in PLAIN},
    }


def gain_table(result: Mapping[str, Any]) -> str:
    """The recommender against the best single arm that validation chose."""
    lines = [
        "| data set | split | users | best single arm | its NDCG@10 | recommender | difference | gain |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in result.items():
        arm = found["evaluation.best_single_arm"]
        lines.append(
            f"| {name} | {found['evaluation.split']} | {found['evaluation.users']:,} | {arm} | "
            f"{found['ranking'][arm][0]:.4f} | {found['ranking']['recommender'][0]:.4f} | "
            f"{_interval(found['difference']['recommender-best_single'])} | "
            f"{found['evaluation.gain_over_best_single_percent']:+.1f} % |"
        )
    return "\n".join(lines)


def stage_table(result: Mapping[str, Any]) -> str:
    """What the blend and the ranker add, and the spread over seeds."""
    lines = [
        "| data set | blend − best single arm | recommender − blend | sd over seeds | smallest detectable |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in result.items():
        spread = found["seeds.recommender.ndcg@10.sd"]
        lines.append(
            f"| {name} | {_interval(found['difference']['blend-best_single'])} | "
            f"{_interval(found['difference']['recommender-blend'])} | {_number(spread)} | "
            f"{found['evaluation.smallest_detectable_difference']:.4f} |"
        )
    return "\n".join(lines)


def rare_table(result: Mapping[str, Any]) -> str:
    """EASE with and without texts on items with one to three events, ranked among themselves."""
    lines = ["| data set | users | EASE | EASE with texts | difference |", "| --- | --- | --- | --- | --- |"]
    for name, found in result.items():
        rare = found["rare"]
        lines.append(
            f"| {name} | {found['rare_items.users']:,} | {_mean(rare['ease'])} | {_mean(rare['ease_text'])} | "
            f"{_interval(rare['ease_text-ease'])} |"
        )
    return "\n".join(lines)


def speed_table(metrics: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Processor time beside other programs, one thread."""
    lines = ["| work | program | processor time | x uicgpu |", "| --- | --- | --- | --- |"]
    works = (
        (f"metrics of {metrics['users']:,} users", metrics["processor_time_1_thread"]),
        (f"EASE, {models['users']:,} users × {models['items']:,} items, fit and top 20", models["ease"]),
        ("item-item, the same", models["item_item"]),
        (f"top 20 of {models['top_n']['items']:,} items, {models['top_n']['users']:,} users", models["top_n"]),
    )
    for work, programs in works:
        for program, seconds in programs.items():
            if isinstance(seconds, Mapping):
                ratio = seconds["times_reference"]
                lines.append(f"| {work} | {program} | {1000 * seconds['median_seconds']:.0f} ms | {ratio:.2f} |")
    return "\n".join(lines)


def _triple(metrics: Mapping[str, Any], name: str) -> list[float] | None:
    values = [metrics.get(f"{name}{end}") for end in ("", ".low", ".high")]
    return [round(float(value), 5) for value in values if value is not None] if None not in values else None


def _mean(triple: list[float] | None) -> str:
    return _number(triple[0] if triple else None)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _interval(triple: list[float] | None) -> str:
    if triple is None:
        return "–"
    value, low, high = (f"{number:+.4f}" for number in triple)
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Collect the files named on the command line."""
    named = [argument.partition("=") for argument in sys.argv[1:]]
    if not named or not all(path for _, _, path in named):
        sys.exit("usage: python -m uicgpu.bench.recommend_table NAME=FIGURES.json …")
    found = {name: figures(json.loads(Path(path).read_text(encoding="utf-8"))) for name, _, path in named}
    write_json(RESULTS / "recommender.json", found)


if __name__ == "__main__":
    main()
