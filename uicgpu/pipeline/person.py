"""The profile of one user of a finished run: cluster and why, interests, recommendations. For the operator's eyes."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from uicgpu.errors import InputError
from uicgpu.interests.pool import InterestPooler
from uicgpu.profiles.exemplars import item_titles
from uicgpu.profiles.explain import explain_cluster
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.vocabulary import Artefact, Column, StageName

ITEMS_SHOWN: Final = 5
MICROSECONDS: Final = 1_000_000


def profile_user(path: str | Path, user: str) -> dict[str, Any]:
    """Describe one user of a finished run.

    Returns
    -------
    dict
        ``user_id``, ``cluster``, ``name``, ``confidence``, ``second_name``, ``events``, ``items``; ``interests``
        (title, importance, last event); ``categories`` (share of the user's weight); ``nearest_centre`` (None for a
        user without direction among clusters by cosine); ``because`` (titles of the items that pull into the cluster,
        with their part of the pull); ``would_change`` (titles without which the user would be in ``would_be``; None
        where no removal changes the cluster); ``recommendations`` (title and reason).

    Raises
    ------
    InputError
        When the user is not in the run.
    """
    run = open_run(path)
    found = run.users.filter(pl.col(Column.USER) == user)
    if not found.height:
        raise InputError(
            "this user is not in the run", where=str(run.path), fix="uicgpu assign RUN --events PATH places new users"
        )
    row = found.row(0, named=True)
    names = dict(run.clusters.select(Column.CLUSTER, Column.NAME).iter_rows())
    titles = item_titles(run.items)
    own = run.interactions.filter(pl.col(Column.USER) == user)
    codes = own.join(run.items.select(Column.ITEM, Column.ROW), on=Column.ITEM, how="left", maintain_order="left")
    rows = codes[Column.ROW].to_numpy()
    told: dict[str, Any] = {
        Column.USER: user,
        Column.CLUSTER: row[Column.CLUSTER],
        Column.NAME: names.get(row[Column.CLUSTER]),
        Column.CONFIDENCE: round(float(row[Column.CONFIDENCE]), 4),
        "second_name": names.get(row[Column.SECOND_CLUSTER]),
        Column.EVENTS: row[Column.EVENTS],
        "items": own.height,
        "interests": _interests(run, int(row[Column.ROW]), titles),
        "categories": _categories(codes, run),
    }
    told |= _why(run, row, own, rows, titles, names)
    mine = run.recommendations.filter(pl.col(Column.USER) == user).sort(Column.RANK).head(ITEMS_SHOWN)
    by_id = dict(zip(run.items[Column.ITEM].to_list(), titles.to_list(), strict=True))
    told["recommendations"] = [
        {"title": by_id.get(entry[Column.ITEM], entry[Column.ITEM]), "reason": entry[Column.REASON]}
        for entry in mine.iter_rows(named=True)
    ]
    return told


def _interests(run: Run, code: int, titles: pl.Series) -> list[dict[str, Any]]:
    several = run.table(Artefact.USER_INTERESTS).filter(pl.col(Column.USER_CODE) == code).sort(Column.RANK)
    return [
        {
            "title": titles[entry[Column.ITEM_CODE]],
            "importance": round(entry["importance"], 4),
            "last_event": _date(entry[Column.LAST_TIME]),
        }
        for entry in several.iter_rows(named=True)
    ]


def _date(time: int | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time / MICROSECONDS, tz=UTC).date().isoformat()


def _categories(codes: pl.DataFrame, run: Run) -> list[dict[str, Any]]:
    """Shares of the user's damped weight; an item with several categories counts for each in equal parts."""
    parts: dict[str, float] = {}
    known = codes.join(
        run.items.select(Column.ITEM, Column.CATEGORY), on=Column.ITEM, how="left", maintain_order="left"
    )
    for values, weight in known.select(pl.col(Column.CATEGORY).cast(pl.String), Column.WEIGHT).iter_rows():
        names = sorted({name.strip() for name in (values or "").split("|")} - {""})
        for name in names:
            parts[name] = parts.get(name, 0.0) + math.log1p(weight) / len(names)
    whole = sum(parts.values()) or 1.0
    ranked = sorted(parts.items(), key=lambda entry: (-entry[1], entry[0]))[:ITEMS_SHOWN]
    return [{"category": name, "share": round(part / whole, 4)} for name, part in ranked]


def _why(
    run: Run, row: dict[str, Any], own: pl.DataFrame, rows: Any, titles: pl.Series, names: dict[int, str]
) -> dict[str, Any]:
    pooler = InterestPooler.from_state(run.tensors(Artefact.POOLING))
    vectors = pooler.centred(np.asarray(run.item_vectors[rows], np.float32))
    weights = np.log1p(own[Column.WEIGHT].to_numpy().astype(np.float64)) * pooler.idf[rows]
    place = np.asarray(run.interest_vectors[row[Column.ROW]], np.float64)
    features = place[vectors.shape[1] :]
    equally_near = run.facts(StageName.CLUSTER).get("metric") == "cosine" and not place.any()
    why = explain_cluster(weights, vectors, np.asarray(run.centroids), features if features.size else None)
    positive = np.maximum(why.pulls, 0.0)
    order = np.argsort(-positive, kind="stable")[:ITEMS_SHOWN]
    whole = float(positive.sum()) or 1.0
    return {
        "nearest_centre": None if equally_near else int(run.cluster_ids[why.cluster]),
        "because": [
            {"title": titles[int(rows[place])], "part": round(float(positive[place]) / whole, 4)}
            for place in order.tolist()
            if positive[place] > 0
        ],
        "would_change": None if why.removed is None else [titles[int(rows[place])] for place in why.removed],
        "would_be": None if why.becomes is None else names.get(int(run.cluster_ids[why.becomes])),
    }
