"""Do the names of clusters say what the users share? ``python -m uicgpu.bench.names FOLDER --out FILE``.

On a set with known user groups, a name is right when it has a word of the group that most users of the cluster belong
to. Only pure clusters count (``PURE`` of the users from one group): the others have no right name. A second arm takes
the categories away, so that titles alone make the names; groups of 30 users share few words, so a third one also lets
words of five users count. On a Chinese set all names are listed for reading.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from uicgpu.bench.measure import write_result
from uicgpu.bench.quality import DATA_SETS
from uicgpu.events.interactions import aggregate
from uicgpu.pipeline.execute import run
from uicgpu.pipeline.finished import settings_of
from uicgpu.pipeline.stages_tables import event_table
from uicgpu.profiles import build_profiles
from uicgpu.profiles.words import is_chinese, phrases
from uicgpu.runs.artefacts import Run
from uicgpu.runs.folder import RunFolder
from uicgpu.version import __version__
from uicgpu.vocabulary import Artefact, Column

PURE: Final = 0.8
SHOWN: Final = 4
"""Misses that the table quotes."""
GROUPED: Final = "Amazon 2023, 23 groups"
CHINESE: Final = "anime, Chinese titles"


def bench_names(folder: Path) -> dict[str, Any]:
    """Cluster both sets under ``folder`` with default settings, without an evaluation, and judge the names."""
    with tempfile.TemporaryDirectory(prefix="uicgpu-bench-") as temporary:
        grouped = _cluster(GROUPED, folder, Path(temporary) / "grouped")
        arms = {
            "titles and categories": grouped.profiles,
            "titles alone": _without_categories(grouped),
            "titles alone, k-anonymity 5": _without_categories(grouped, k_anonymity=5),
        }
        told = {arm: judge_names(profiles, _groups(grouped, profiles)) for arm, profiles in arms.items()}
        chinese = _cluster(CHINESE, folder, Path(temporary) / "chinese", language="zh")
        names = [profile["name"] for profile in chinese.profiles if profile["merged_into"] is None]
    return {
        "uicgpu": __version__,
        "pure": PURE,
        GROUPED: told,
        CHINESE: {"names": names, "chinese": sum(map(is_chinese, names))},
    }


def judge_names(profiles: Sequence[Mapping[str, Any]], groups: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """Count pure clusters and those of them whose name has a word of their group.

    Parameters
    ----------
    profiles
        Published profiles.
    groups
        Published cluster → known group of each of its users.

    Examples
    --------
    >>> told = judge_names([{"cluster": 0, "name": "Dog & Cat"}], {0: ["Pet_Supplies", "Pet_Supplies"]})
    >>> told["pure"], told["right"], told["wrong"]
    (1, 0, [['Pet_Supplies', 'Dog & Cat']])
    """
    pure = 0
    right: list[list[str]] = []
    wrong: list[list[str]] = []
    for profile in profiles:
        members = groups.get(profile["cluster"], ())
        if not members:
            continue
        group = max(sorted(set(members)), key=members.count)
        if members.count(group) < PURE * len(members):
            continue
        pure += 1
        hit = _words(profile["name"]) & _words(group.replace("_", " "))
        (right if hit else wrong).append([group, profile["name"]])
    return {
        "pure": pure,
        "right": len(right),
        "share": round(len(right) / max(pure, 1), 3),
        "names": right,
        "wrong": wrong,
    }


def names_table(result: Mapping[str, Any]) -> str:
    """Return one row per arm: pure clusters, those named right, and the names that missed."""
    lines = ["| words from | pure clusters | named right | missed |", "| --- | --- | --- | --- |"]
    for arm, told in result[GROUPED].items():
        wrong = [f"{name} ({group.replace('_', ' ')})" for group, name in told["wrong"]]
        missed = ", ".join(wrong[:SHOWN]) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
        lines.append(f"| {arm} | {told['pure']} | {told['right']} ({told['share']:.0%}) | {missed} |")
    return "\n".join(lines)


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for run in phrases(text) for word in run}


def _cluster(name: str, folder: Path, out: Path, **more: Any) -> Run:
    given = DATA_SETS[name]
    files = {role: [str(folder / part) for part in given[role]] for role in ("events", "items") if role in given}
    return run({**given, **files, **more, "out": str(out), "split": "none", "stability_runs": 0})


def _without_categories(finished: Run, **settings: Any) -> list[dict[str, Any]]:
    """Profiles of the same clusters from the titles alone."""
    folder = RunFolder(finished.path)
    folder.load()
    title, nothing = pl.col(Column.TITLE).alias(Column.TEXT), pl.lit(None, pl.String).alias(Column.CATEGORY)
    return build_profiles(
        labels=finished.users.sort(Column.ROW)[Column.CLUSTER].to_numpy(),
        interactions=aggregate(event_table(folder)),
        items=finished.items.with_columns(title, nothing),
        centroids=np.asarray(finished.centroids),
        item_vectors=np.asarray(finished.item_vectors),
        settings=settings_of(finished, settings),
    ).profiles


def _groups(finished: Run, profiles: Sequence[Mapping[str, Any]]) -> dict[int, list[str]]:
    """Known groups of the users of each published cluster, merged ones with their host."""
    hosts = {
        entry["cluster"]: entry["cluster"] if entry["merged_into"] is None else entry["merged_into"]
        for entry in profiles
    }
    users = finished.users.join(finished.table(Artefact.LABELS), on=Column.USER)
    groups: dict[int, list[str]] = {}
    for cluster, label in users.select(Column.CLUSTER, "label").iter_rows():
        groups.setdefault(hosts[cluster], []).append(label)
    suppressed = {entry["cluster"] for entry in profiles if entry["suppressed"]}
    return {cluster: labels for cluster, labels in groups.items() if cluster not in suppressed}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the data sets")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    write_result(given.out, bench_names(given.folder))


if __name__ == "__main__":
    main()
