"""The default pipeline on real data sets: what the blend gains over each method, and how stable the clusters are.

    python -m uicgpu.bench.quality [FOLDER]

FOLDER (default ``$UICGPU_TEST_DATA``) holds the data sets; those that are missing are left out and named. The figures
go to ``bench/results/quality.json``, from which the documentation quotes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from uicgpu.pipeline.execute import run
from uicgpu.runs.artefacts import Run
from uicgpu.runs.folder import write_json
from uicgpu.version import __version__
from uicgpu.vocabulary import StageName

RESULTS: Final = Path(__file__).resolve().parent / "results" / "quality.json"
DATA_SETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "MovieLens latest-small": {
        "events": ("movielens-latest-small/ratings.csv",),
        "items": ("movielens-latest-small/movies.csv",),
    },
    "Online Retail II 2009-2010": {
        "events": ("online-retail-II-2009-2010/online_retail_II_2009_2010.parquet",),
        "item_pattern": "^[0-9]{5}",
    },
    "anime, Chinese titles": {
        "events": ("anime-zh/history.csv.gz",),
        "items": ("anime-zh/items_zh.csv",),
        "text_columns": ("zh",),
        "category_column": "genre_zh",
    },
    "Amazon 2023, 23 groups": {
        "events": ("amazon2023-30x23",),
        "user_column": ("user_id", "category"),
        "label_column": "category",
        "k": 23,
    },
}
"""Settings per data set; everything that is not named is the default."""
METRIC: Final = "ndcg@10"


def bench_quality(folder: Path) -> dict[str, Any]:
    """Run the pipeline on every data set under ``folder`` and return the figures."""
    sets: dict[str, Any] = {}
    missing = []
    for name, given in DATA_SETS.items():
        files = {role: [str(folder / part) for part in given[role]] for role in ("events", "items") if role in given}
        if not all(Path(path).exists() for paths in files.values() for path in paths):
            missing.append(name)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            sets[name] = figures(run({**given, **files, "out": str(Path(scratch) / "run")}))
    return {"uicgpu": __version__, "metric": METRIC, "sets": sets, "missing": missing}


def figures(finished: Run) -> dict[str, Any]:
    """What the documentation quotes of one run."""
    metrics = finished.metrics
    clean = finished.facts(StageName.CLEAN)
    return {
        "users": clean["users"],
        "items": finished.items.height,
        "events": clean["events_kept"],
        "split": metrics.get("evaluation.split"),
        "evaluated users": metrics.get("evaluation.users"),
        "encoder": finished.facts(StageName.ENCODE)["model"],
        "ranking": _triples(metrics, "ranking."),
        "difference": _triples(metrics, "difference.blend-"),
        "ablation": _triples(metrics, "ablation."),
        "clusters": {
            name: metrics.get(f"cluster.{name}")
            for name in ("count", "silhouette", "stability.mean", "stability.low", "stability.high", "nmi", "ari")
        },
        "seconds": {
            name: entry["seconds"] for name, entry in finished.manifest["stages"].items() if entry["seconds"] >= 0.1
        },
        "versions": finished.manifest["versions"],
    }


def _triples(metrics: Mapping[str, Any], prefix: str) -> dict[str, list[float]]:
    """Value, low and high of every name ``<prefix><what>.ndcg@10``."""
    found = {}
    for name, value in sorted(metrics.items()):
        if name.startswith(prefix) and name.endswith(f".{METRIC}") and value is not None:
            what = name.removeprefix(prefix).removesuffix(f".{METRIC}")
            found[what] = [round(float(metrics[f"{name}{end}"]), 5) for end in ("", ".low", ".high")]
    return found


def markdown_table(result: Mapping[str, Any], headings: tuple[str, ...]) -> str:
    """The documentation's table: popularity, EASE, the blend, its gain over popularity, and the recommender.

    Parameters
    ----------
    result
        What :func:`bench_quality` returned.
    headings
        Titles of the six columns.
    """
    lines = ["| " + " | ".join(headings) + " |", "| --- |" + " --- |" * (len(headings) - 1)]
    for name, found in result["sets"].items():
        ranking = found["ranking"]
        cells = [name, *(f"{ranking[method][0]:.4f}" for method in ("popularity", "ease")), _interval(ranking["blend"])]
        cells += [_interval(found["difference"]["popularity"], sign=True), _interval(ranking["recommender"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(triple: list[float], *, sign: bool = False) -> str:
    form = "{:+.4f}" if sign else "{:.4f}"
    value, low, high = (form.format(number) for number in triple)
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Run and write the result file."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("UICGPU_TEST_DATA", "")
    if not folder:
        sys.exit("name the folder with the data sets, or set UICGPU_TEST_DATA")
    write_json(RESULTS, bench_quality(Path(folder)))
    print(RESULTS)


if __name__ == "__main__":
    main()
