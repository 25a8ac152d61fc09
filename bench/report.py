"""How large is the report of a million users, and how long does it take to open? ``python -m uicgpu.bench.report``.

The run behind it is synthetic and skips the pipeline: users, items and events are drawn, profiles and the page are made
as always. Then headless Chromium opens the page several times, each time with an empty profile. Wall-clock times grow
with whatever else the machine does; the processor time of the page's main thread grows less, so both are told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.bench.chromium import open_page
from uicgpu.bench.measure import machine, write_result
from uicgpu.events.interactions import DAY_US, EventTable, aggregate
from uicgpu.profiles import build_profiles
from uicgpu.randomness import generator
from uicgpu.report import build_report
from uicgpu.runs.folder import write_array, write_json, write_parquet
from uicgpu.settings import Settings
from uicgpu.vocabulary import FORMAT_VERSION, Artefact, Column

SEED: Final = 7
ITEMS: Final = 5_000
EVENTS_PER_USER: Final = 5
DIMENSIONS: Final = 32
SHOWN: Final = 5
"""Recommendations per user: the page reads no more of them."""
METHODS: Final = ("recommender", "blend", "ease", "item_item", "popularity")
SYLLABLES: Final = "ba ce di fo gu ha ki lo mu ne pa ri so tu va we xi yo zu le ma".split()
DRAWN: Final = "document.documentElement.dataset.map === 'drawn'"
TIMES: Final = """(() => {
  const told = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return {paint: paint.startTime, load: told.loadEventEnd, map: performance.getEntriesByName("map drawn")[0].startTime};
})()"""


def write_run(folder: Path, users: int, clusters: int) -> Path:
    """Write a run folder of synthetic users and return it."""
    random = generator(SEED, "bench report")
    labels = np.minimum(random.geometric(2.0 / clusters, users) - 1, clusters - 1).astype(np.int32)
    items, theme = _items(random, clusters)
    events = _events(random, labels, theme)
    centres = random.normal(0, 1, (clusters, DIMENSIONS)) * np.linspace(1.6, 0.3, DIMENSIONS)
    vectors = (centres[labels] + random.normal(0, 0.55, (users, DIMENSIONS))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = pl.Series(Column.USER, np.char.add("u", np.char.zfill(np.arange(users).astype(str), 8)))
    settings = Settings(k=clusters)
    interactions = aggregate(events)
    share = random.random(users)
    behaviour = pl.DataFrame({Column.USER: ids, "kind_share.view": share, "kind_share.purchase": 1 - share})
    built = build_profiles(
        labels,
        interactions,
        items,
        behaviour,
        confidence=random.random(users).astype(np.float32),
        silhouettes=random.uniform(0, 0.3, clusters),
        centroids=centres.astype(np.float32),
        settings=settings,
        item_vectors=centres[theme].astype(np.float32),
        events=events,
        stabilities=random.uniform(0.4, 0.95, clusters),
    )
    rows = np.arange(users, dtype=np.int32)
    picked = random.integers(0, ITEMS, (users, SHOWN)) // clusters * clusters + labels[:, None]
    recommended = {
        Column.USER: ids.gather(np.repeat(rows, SHOWN)),
        Column.RANK: np.tile(np.arange(1, SHOWN + 1, dtype=np.int32), users),
        Column.ITEM: items[Column.ITEM].gather(picked.ravel() % ITEMS),
        Column.SCORE: np.ones(users * SHOWN, np.float32),
        Column.SOURCE: "ease",
        Column.REASON: "popular with users like this one",
    }
    tables = {
        Artefact.ITEMS: items,
        Artefact.CLUSTERS: built.clusters,
        Artefact.USERS: pl.DataFrame(
            {
                Column.USER: ids,
                Column.CLUSTER: labels,
                Column.CONFIDENCE: share.astype(np.float32),
                Column.SECOND_CLUSTER: labels,
                Column.EVENTS: np.bincount(events.users, minlength=users).astype(np.int32),
                Column.ROW: rows,
            }
        ),
        Artefact.INTERACTIONS: pl.DataFrame(
            {
                Column.USER: ids.gather(interactions.users),
                Column.ITEM: items[Column.ITEM].gather(interactions.items),
                Column.WEIGHT: interactions.weights,
            }
        ),
        Artefact.RECOMMENDATIONS: pl.DataFrame(recommended),
    }
    for name, table in tables.items():
        write_parquet(folder / name, table)
    write_array(folder / Artefact.INTEREST_VECTORS, vectors)
    write_json(folder / Artefact.PROFILES, built.profiles)
    write_json(folder / Artefact.METRICS, _metrics())
    stages = {"clean": {"status": "done", "seconds": 1.0, "facts": {"events_kept": len(events)}, "outputs": {}}}
    manifest = {
        "format_version": FORMAT_VERSION,
        "seed": SEED,
        "stages": stages,
        "settings": settings.model_dump(mode="json"),
    }
    write_json(folder / Artefact.MANIFEST, manifest)
    return folder


def _items(random: np.random.Generator, clusters: int) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Items with titles of made-up words, most of them of the words of one cluster; and the cluster of each."""
    words = np.array([f"{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES[:9]])
    own = random.permutation(words)[: 30 * clusters].reshape(clusters, 30)
    theme = np.arange(ITEMS) % clusters
    titles = [" ".join(random.choice(own[group], 4, replace=False)).capitalize() for group in theme]
    table = {
        Column.ITEM: [f"i{number:06d}" for number in range(ITEMS)],
        Column.TITLE: titles,
        Column.TEXT: titles,
        Column.CATEGORY: [f"{own[group][0]} & {own[group][1]}" for group in theme],
        Column.ROW: np.arange(ITEMS, dtype=np.int32),
    }
    return pl.DataFrame(table), theme


def _events(random: np.random.Generator, labels: NDArray[np.int32], theme: NDArray[np.int64]) -> EventTable:
    """Events of a year, three of four on items of the user's own cluster."""
    users, clusters = labels.size, int(theme.max()) + 1
    owners = np.repeat(np.arange(users, dtype=np.int32), EVENTS_PER_USER)
    items = random.integers(0, ITEMS, owners.size)
    own = random.random(owners.size) < 0.75
    items[own] = (items[own] // clusters * clusters + labels[owners[own]]) % ITEMS
    times = 1_735_689_600_000_000 + random.integers(0, 365 * DAY_US, owners.size)
    order = np.lexsort((items, times, owners))
    return EventTable(
        owners,
        items[order].astype(np.int32),
        times[order],
        np.zeros(owners.size, np.int32),
        np.full(owners.size, np.nan, np.float32),
        np.ones(owners.size, np.float32),
        users,
        ITEMS,
    )


def _metrics() -> dict[str, float]:
    metrics = {"cluster.silhouette": 0.1, "cluster.stability.mean": 0.6, "evaluation.users": 1000.0}
    for number, method in enumerate(METHODS):
        for name in ("ndcg@10", "recall@10", "precision@10"):
            value = 0.2 - 0.03 * number
            metrics |= {
                f"ranking.{method}.{name}{end}": value * by for end, by in (("", 1), (".low", 0.9), (".high", 1.1))
            }
    return metrics


async def open_once(page: Path) -> dict[str, float]:
    """Open a page and return seconds until it showed text, had loaded, and had drawn its map; and of processor time."""
    async with open_page(page.as_uri()) as tab:
        await tab.until(DRAWN)
        assert tab.errors == []
        times = {name: value / 1000 for name, value in (await tab.evaluate(TIMES)).items()}
        return {**times, "processor": await tab.processor_seconds()}


def bench_report(users: int, clusters: int, rounds: int) -> dict[str, Any]:
    """Make the report of a synthetic run and open it ``rounds`` times."""
    with tempfile.TemporaryDirectory(prefix="uicgpu-bench-") as temporary:
        folder = write_run(Path(temporary), users, clusters)
        start = time.process_time()
        page = build_report(folder)
        built = time.process_time() - start
        path = folder / Artefact.REPORT
        path.write_text(page, encoding="utf-8")
        opened = [asyncio.run(open_once(path)) for _ in range(rounds)]
        published = [entry for entry in json.loads((folder / Artefact.PROFILES).read_text()) if not entry["suppressed"]]
        return {
            "users": users,
            "clusters": len(published),
            "bytes": path.stat().st_size,
            "build_processor_seconds": round(built, 2),
            "opening": {
                name: {"median_seconds": round(median(values), 3), "most_seconds": round(max(values), 3)}
                for name in opened[0]
                for values in ([entry[name] for entry in opened],)
            },
            "rounds": rounds,
            "machine": machine(),
        }


def report_table(result: Mapping[str, Any]) -> str:
    """Return size and times of the page in a table of two columns."""
    opening, load = result["opening"], result["machine"]["load_average"][0]
    rows = [
        ("size", f"{result['bytes'] / 1e6:.1f} MB"),
        ("clusters shown", f"{result['clusters']}"),
        ("processor time to make it", f"{result['build_processor_seconds']:.1f} s"),
        ("first text on the screen", f"{opening['paint']['median_seconds']:.1f} s"),
        ("page loaded", f"{opening['load']['median_seconds']:.1f} s"),
        ("map drawn", f"{opening['map']['median_seconds']:.1f} s"),
        ("processor time of the page's main thread", f"{opening['processor']['median_seconds']:.1f} s"),
    ]
    machine_told = f"load {load:.0f} on {result['machine']['cores']} cores"
    head = f"| headless Chromium, median of {result['rounds']}, {machine_told} | |"
    return "\n".join([head, "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--clusters", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    result = bench_report(given.users, given.clusters, given.rounds)
    write_result(given.out, result)
    print(json.dumps({name: result[name] for name in ("bytes", "build_processor_seconds", "opening")}, indent=2))


if __name__ == "__main__":
    main()
