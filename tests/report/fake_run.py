"""A run folder that looks like a real one, made without running anything but the profiles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from uicgpu.events.interactions import DAY_US, EventTable, aggregate
from uicgpu.profiles import build_profiles
from uicgpu.randomness import generator
from uicgpu.settings import Settings
from uicgpu.vocabulary import FORMAT_VERSION, Artefact, Column

THEMES = (
    ("Garden", "seed watering trowel greenhouse tomato compost hedge lawn", "organic raised compact sturdy"),
    ("Kitchen", "skillet whisk casserole knife espresso teapot baking mortar", "enamel steel stoneware nonstick"),
    ("Science fiction", "starship android colony nebula wormhole cyborg orbit robot", "distant silent last quantum"),
    ("Running", "marathon shoe pace trail hydration sprint interval sock", "light cushioned breathable reflective"),
    ("Watercolour", "brush pigment sketchbook palette easel gouache wash paper", "artist travel student cold-pressed"),
    ("Board games", "dice meeple strategy puzzle tile expansion deck quest", "cooperative family classic deluxe"),
    ("Cycling", "derailleur saddle helmet pannier gravel pedal chain tyre", "carbon touring tubeless aero"),
    ("Baby", "stroller pacifier blanket crib rattle bib onesie swaddle", "soft washable organic first"),
    ("Jazz", "saxophone quartet trumpet vinyl improvisation swing ballad session", "live remastered blue midnight"),
    ("Mountaineering", "rope harness carabiner summit glacier crampon tent ridge", "alpine dry ultralight winter"),
)
CHINESE_THEMES = (
    ("科幻", "星际 机器人 飞船 宇宙 未来 银河", "遥远的 最后的 神秘的"),
    ("爱情", "校园 恋人 告白 婚礼 初恋 信件", "夏天的 温柔的 青春的"),
    ("推理", "侦探 密室 案件 凶手 线索 名侦探", "消失的 雨夜的 黑色的"),
    ("美食", "料理 厨房 点心 火锅 面包 食谱", "简单的 家常的 深夜的"),
)
MOST_RECOMMENDED = 3000
"""Users with recommendations: more would only cost time."""
METHODS = {
    "blend": (0.1184, 0.2046),
    "ease": (0.1129, 0.1961),
    "item_item": (0.1065, 0.1874),
    "neighbours": (0.1012, 0.1790),
    "cluster_popularity": (0.0801, 0.1402),
    "recent_popularity": (0.0712, 0.1255),
    "popularity": (0.0694, 0.1213),
    "text": (0.0312, 0.0608),
}


def write_fake_run(
    folder: Path,
    *,
    users: int = 1500,
    clusters: int = 8,
    language: str = "en",
    categories: bool = True,
    timed: bool = True,
    evaluated: bool = True,
    attributes: bool = True,
    raw_ids: bool = False,
    payloads: Sequence[str] = (),
    activity: float = 2.6,
    seed: int = 7,
) -> Path:
    """Write a complete run folder and return it.

    ``activity`` is the mean log number of events per user. ``payloads`` take the place of item texts, ids, categories,
    user ids, attribute values and reasons.
    """
    random = generator(seed, "fake run")
    folder.mkdir(parents=True, exist_ok=True)
    themes = CHINESE_THEMES if language == "zh" else THEMES
    items, theme_of = _items(random, themes, max(clusters, 1), categories, payloads)
    n_items = items.height
    labels = np.sort(random.zipf(1.6, users) % clusters).astype(np.int32)
    labels = np.argsort(np.argsort(-np.bincount(labels, minlength=clusters), kind="stable"))[labels].astype(np.int32)
    labels = random.permutation(labels)
    counts = np.maximum(1, random.lognormal(activity, 0.8, users).astype(int)).clip(1, n_items // 2)
    owners = np.repeat(np.arange(users, dtype=np.int32), counts)
    popularity = 1.0 / np.arange(1, n_items + 1) ** 0.7
    own = random.random(owners.size) < 0.7
    chosen = random.choice(n_items, owners.size, p=popularity / popularity.sum()).astype(np.int32)
    by_theme = {cluster: np.flatnonzero(theme_of == cluster) for cluster in range(clusters)}
    for cluster, members in by_theme.items():
        mask = own & (labels[owners] == cluster)
        if members.size:
            weight = popularity[members] / popularity[members].sum()
            chosen[mask] = random.choice(members, int(mask.sum()), p=weight)
    start = 1_735_689_600_000_000
    no_time = np.iinfo(np.int64).min
    times = start + (random.random(owners.size) * 300 * DAY_US).astype(np.int64)
    events = EventTable(
        owners,
        chosen,
        times if timed else np.full(owners.size, no_time),
        np.zeros(owners.size, np.int32),
        np.full(owners.size, np.nan, np.float32),
        np.ones(owners.size, np.float32),
        users,
        n_items,
    )
    interactions = aggregate(events)
    user_ids = [f"u{number:06d}" for number in range(users)]
    if payloads:
        user_ids = sorted(f"{payload}{number}" for number, payload in zip(range(users), _cycle(payloads), strict=False))

    vectors = _vectors(random, labels, clusters)
    centroids = np.stack(
        [vectors[labels == c].mean(axis=0) if (labels == c).any() else vectors[0] for c in range(clusters)]
    ).astype(np.float32)
    item_vectors = (np.eye(32)[theme_of % 32] + random.normal(0, 0.3, (n_items, 32))).astype(np.float32)
    behaviour = _behaviour(random, user_ids, labels, timed)
    attribute_table = _attributes(random, user_ids, labels, payloads) if attributes else None
    settings = Settings(language="zh" if language == "zh" else "en", raw_ids=raw_ids, k=clusters)
    built = build_profiles(
        labels,
        interactions,
        items,
        behaviour,
        attribute_table,
        random.random(users).astype(np.float32),
        random.uniform(-0.05, 0.3, clusters),
        centroids,
        settings,
        item_vectors,
        events,
        random.uniform(0.4, 0.95, clusters).tolist(),
    )
    events_of = np.bincount(owners, minlength=users).astype(np.int32)
    confidence = random.beta(5, 2, users).astype(np.float32)
    tables = {
        Artefact.ITEMS: items,
        Artefact.CLUSTERS: built.clusters,
        Artefact.USERS: pl.DataFrame(
            {
                Column.USER: user_ids,
                Column.CLUSTER: labels,
                Column.CONFIDENCE: confidence,
                Column.SECOND_CLUSTER: ((labels + 1) % clusters).astype(np.int32),
                Column.EVENTS: events_of,
                Column.ROW: np.arange(users, dtype=np.int32),
            }
        ),
        Artefact.INTERACTIONS: pl.DataFrame(
            {
                Column.USER: np.array(user_ids, dtype=object)[interactions.users].tolist(),
                Column.ITEM: items[Column.ITEM].to_numpy()[interactions.items].tolist(),
                Column.WEIGHT: interactions.weights,
                Column.EVENTS: interactions.events,
                Column.LAST_TIME: pl.Series(interactions.last_times if timed else [None] * len(interactions)).cast(
                    pl.Datetime("us")
                ),
            }
        ),
        Artefact.REJECTED: _rejected(payloads),
        Artefact.RECOMMENDATIONS: _recommendations(user_ids, items, theme_of, labels, interactions, payloads),
    }
    (folder / "stages").mkdir(exist_ok=True)
    order = np.lexsort((events.items, events.times, events.users))
    tables |= {
        Artefact.BEHAVIOUR: behaviour,
        Artefact.EVENTS: pl.DataFrame(
            {
                Column.USER_CODE: events.users[order],
                Column.ITEM_CODE: events.items[order],
                Column.TIME: events.times[order] if timed else pl.Series([None] * len(order), dtype=pl.Int64),
                Column.KIND: events.kinds,
                Column.VALUE: pl.Series([None] * len(order), dtype=pl.Float32),
                Column.WEIGHT: events.weights,
            }
        ),
    }
    for name, table in tables.items():
        table.write_parquet(folder / name)
    np.save(folder / Artefact.INTEREST_VECTORS, vectors, allow_pickle=False)
    np.save(folder / Artefact.ITEM_VECTORS, item_vectors, allow_pickle=False)
    np.save(folder / Artefact.CENTROIDS, centroids, allow_pickle=False)
    _write_json(folder / Artefact.PROFILES, built.profiles)
    _write_json(folder / Artefact.METRICS, _metrics(evaluated, clusters, attributes))
    _write_json(folder / Artefact.MANIFEST, _manifest(folder, tables, settings, int(events_of.sum())))
    return folder


def _cycle(values: Sequence[str]) -> Any:
    while True:
        yield from values


def _items(
    random: np.random.Generator,
    themes: Sequence[tuple[str, str, str]],
    clusters: int,
    categories: bool,
    payloads: Sequence[str],
) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
    texts, category, theme_of = [], [], []
    n = max(240, 12 * clusters)
    for number in range(n):
        theme = number % clusters
        name, nouns, adjectives = themes[theme % len(themes)]
        noun_list, adjective_list = nouns.split(), adjectives.split()
        noun, second = random.choice(noun_list, 2, replace=False)
        adjective = str(random.choice(adjective_list))
        chinese = themes is CHINESE_THEMES
        texts.append(
            f"{adjective}{noun}{second}。{name}"
            if chinese
            else f"{adjective.capitalize()} {noun} {second} {1990 + number % 35}"
        )
        other = themes[int(random.integers(len(themes)))][0]
        category.append(name if number % 3 else "|".join(sorted({name, other})))
        theme_of.append(theme)
    ids = [f"i{number:05d}" for number in range(n)]
    if payloads:
        for number, payload in zip(range(n), _cycle(payloads), strict=False):
            texts[number] = f"{payload} {texts[number]}"
            category[number] = payload.replace("|", "/")
            ids[number] = f"{payload}{number:05d}"
    order = np.argsort(np.array(ids, dtype=object), kind="stable")
    ids, texts = [ids[n] for n in order], [texts[n] for n in order]
    category = [category[n] for n in order]
    texts[-1] = ""
    return (
        pl.DataFrame(
            {
                Column.ITEM: ids,
                Column.TEXT: texts,
                Column.CATEGORY: category if categories else [None] * len(ids),
                Column.ROW: np.arange(len(ids), dtype=np.int32),
            },
            schema_overrides={Column.CATEGORY: pl.String},
        ),
        np.array(theme_of)[order],
    )


def _vectors(random: np.random.Generator, labels: np.ndarray[Any, Any], clusters: int) -> np.ndarray[Any, Any]:
    centres = random.normal(0, 1, (clusters, 32)) * np.linspace(1.6, 0.3, 32)
    spread = random.normal(0, 0.55, (labels.size, 32)) * np.linspace(1.3, 0.5, 32)
    vectors = centres[labels] + spread
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _behaviour(
    random: np.random.Generator, user_ids: Sequence[str], labels: np.ndarray[Any, Any], timed: bool
) -> pl.DataFrame:
    n = len(user_ids)
    buys = (0.2 + 0.05 * (labels % 5) + random.uniform(0, 0.2, n)).clip(0, 1)
    columns: dict[str, Any] = {
        Column.USER: list(user_ids),
        "log_events": random.random(n),
        "value_mean": random.normal(20 + labels % 7, 3, n),
        "kind_share.view": 1 - buys,
        "kind_share.purchase": buys,
    }
    if timed:
        parts = random.dirichlet([2, 3, 4, 1], n)
        columns |= {
            f"day_share.{name}": parts[:, number]
            for number, name in enumerate(("morning", "afternoon", "evening", "night"))
        }
    return pl.DataFrame(columns)


def _attributes(
    random: np.random.Generator, user_ids: Sequence[str], labels: np.ndarray[Any, Any], payloads: Sequence[str]
) -> pl.DataFrame:
    n = len(user_ids)
    countries = np.array(list(payloads[:40]) or ["Germany", "France", "Japan", "Brazil"], dtype=object)
    drawn = np.where(random.random(n) < 0.5, labels % len(countries), random.integers(len(countries), size=n))
    return pl.DataFrame(
        {
            Column.USER: list(user_ids),
            "country": [str(countries[code]) for code in drawn],
            "age": (25 + 3 * (labels % 9) + random.integers(0, 20, n)).astype(np.int64),
        }
    )


def _rejected(payloads: Sequence[str]) -> pl.DataFrame:
    reasons = [("events.csv", "no user id", 812), ("events.csv", "exact duplicate", 640), ("items.csv", "no text", 17)]
    if payloads:
        reasons += [(payload, payload, 1) for payload in payloads]
    rows = [(source, row, reason, f"sample {row}") for source, reason, count in reasons for row in range(count)]
    return pl.DataFrame(
        rows,
        schema={Column.SOURCE: pl.String, Column.ROW: pl.Int64, Column.REASON: pl.String, Column.SAMPLE: pl.String},
        orient="row",
    )


def _recommendations(
    user_ids: Sequence[str],
    items: pl.DataFrame,
    theme_of: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    interactions: Any,
    payloads: Sequence[str],
) -> pl.DataFrame:
    ids, texts = items[Column.ITEM].to_list(), items[Column.TEXT].to_list()
    rows = []
    for user, user_id in enumerate(user_ids[:MOST_RECOMMENDED]):
        history = set(interactions.history(user).tolist())
        found = [item for item in np.flatnonzero(theme_of == labels[user]).tolist() if item not in history][:10]
        because = texts[min(history)] if history else ""
        for rank, item in enumerate(found, start=1):
            source = ("item_item", "neighbours", "ease")[rank % 3]
            reason = payloads[rank % len(payloads)] if payloads else f'because of "{because}"'
            rows.append((user_id, rank, ids[item], 1.0 / rank, source, reason))
    return pl.DataFrame(
        rows,
        schema={
            Column.USER: pl.String,
            Column.RANK: pl.Int32,
            Column.ITEM: pl.String,
            Column.SCORE: pl.Float32,
            Column.SOURCE: pl.String,
            Column.REASON: pl.String,
        },
        orient="row",
    )


def _metrics(evaluated: bool, clusters: int, labelled: bool) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "cluster.silhouette": 0.118 if clusters > 1 else None,
        "cluster.davies_bouldin": 2.41 if clusters > 1 else None,
        "cluster.calinski_harabasz": 88.3 if clusters > 1 else None,
        "cluster.intra_distance": 0.71,
        "cluster.inter_distance": 1.04 if clusters > 1 else None,
        "cluster.stability.mean": 0.63 if clusters > 1 else None,
        "cluster.stability.low": 0.55 if clusters > 1 else None,
        "cluster.stability.high": 0.70 if clusters > 1 else None,
    }
    if labelled:
        metrics |= {"cluster.nmi": 0.21, "cluster.ari": 0.14}
    if not evaluated:
        return metrics | {"evaluation.split": "none"}
    metrics |= {"evaluation.users": 1184, "evaluation.split": "time"}
    for method, (ndcg, recall) in METHODS.items():
        for name, value in (
            ("ndcg@10", ndcg),
            ("recall@10", recall),
            ("ndcg@5", ndcg * 0.8),
            ("precision@10", recall / 3),
        ):
            metrics[f"ranking.{method}.{name}"] = value
            metrics[f"ranking.{method}.{name}.low"] = value * 0.92
            metrics[f"ranking.{method}.{name}.high"] = value * 1.08
        metrics[f"beyond.{method}.coverage@10"] = 0.9 - 4 * ndcg if method != "popularity" else 0.02
        if method != "popularity":
            difference = ndcg - METHODS["popularity"][0]
            metrics[f"difference.{method}-popularity.ndcg@10"] = difference
            metrics[f"difference.{method}-popularity.ndcg@10.p_holm"] = 0.01
            metrics[f"difference.{method}-popularity.ndcg@10.low"] = difference - 0.0062
            metrics[f"difference.{method}-popularity.ndcg@10.high"] = difference + 0.0062
    for pair, value in (("real-none", 0.0107), ("real-random", 0.0121), ("random-none", -0.0014)):
        metrics[f"ablation.{pair}.ndcg@10"] = value
        metrics[f"ablation.{pair}.ndcg@10.low"] = value - 0.005
        metrics[f"ablation.{pair}.ndcg@10.high"] = value + 0.005
    return metrics


def _manifest(folder: Path, tables: dict[str, pl.DataFrame], settings: Settings, events: int) -> dict[str, Any]:
    def outputs(*names: str) -> dict[str, Any]:
        return {
            name: {
                "bytes": (folder / name).stat().st_size,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            }
            for name in names
            if (folder / name).exists()
        }

    return {
        "format_version": FORMAT_VERSION,
        "uicgpu_version": "0.1.0",
        "command": "uicgpu run --events /home/someone/shop/events.csv",
        "settings": settings.model_dump(mode="json"),
        "settings_sources": {name: "flag" if name == "k" else "default" for name in type(settings).model_fields},
        "seed": settings.seed,
        "device": {"name": "cpu", "reason": "no CUDA device answers"},
        "versions": {"python": "3.11.2", "numpy": "2.4.6", "polars": "1.44.2", "uicgpu": "0.1.0"},
        "inputs": [
            {"path": "/home/someone/shop/events.csv", "bytes": 18_223_001, "sha256": "3f" * 32},
            {"path": "/home/someone/shop/items.csv", "bytes": 611_204, "sha256": "a9" * 32},
        ],
        "stages": {
            "clean": {
                "status": "done",
                "seconds": 3.2,
                "peak_bytes": 310_000_000,
                "facts": {
                    "rows_read": events + 1452,
                    "rows_kept": events,
                    "users": tables[Artefact.USERS].height,
                    "kind_names": ["event"],
                    "columns": {"user": "customer_id", "item": "sku", "time": "when"},
                },
                "outputs": outputs(Artefact.INTERACTIONS, Artefact.REJECTED, Artefact.EVENTS, Artefact.BEHAVIOUR),
            },
            "items": {
                "status": "done",
                "facts": {"rows_read": tables[Artefact.ITEMS].height},
                "outputs": outputs(Artefact.ITEMS),
            },
            "encode": {
                "status": "done",
                "seconds": 41.0,
                "peak_bytes": 1_500_000_000,
                "facts": {
                    "model": "minilm",
                    "texts": 240,
                    "distinct": 231,
                    "tokens": 3120,
                    "truncated": 0,
                },
                "cache_hits": 12,
                "outputs": outputs(Artefact.ITEM_VECTORS),
            },
            "interests": {
                "status": "done",
                "facts": {},
                "outputs": outputs(Artefact.INTEREST_VECTORS, Artefact.CENTROIDS),
            },
            "cluster": {
                "status": "done",
                "facts": {"algorithm": "kmeans", "notes": ["k was chosen by the knee of the inertia"]},
                "outputs": outputs(Artefact.USERS),
            },
            "profiles": {"status": "done", "facts": {}, "outputs": outputs(Artefact.CLUSTERS, Artefact.PROFILES)},
            "recommend": {"status": "done", "facts": {}, "outputs": outputs(Artefact.RECOMMENDATIONS)},
            "metrics": {"status": "done", "facts": {}, "outputs": outputs(Artefact.METRICS)},
        },
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
