"""A folder that may be handed on: published artefacts only, users under pseudonyms, tables safe in spreadsheets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from uicgpu.errors import InputError
from uicgpu.privacy.differential import private_centres
from uicgpu.privacy.formulas import defuse_formulas
from uicgpu.privacy.pseudonyms import load_key, pseudonyms
from uicgpu.report import build_report
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import atomic_write, write_array, write_json, write_text
from uicgpu.vocabulary import NOISE, Artefact, Column, Exported

SEPARATOR: Final = "; "


def export_run(
    path: str | Path,
    out: str | Path,
    *,
    raw_ids: bool = False,
    users: bool = True,
    epsilon: float | None = None,
    delta: float = 1e-6,
    key: bytes | None = None,
) -> dict[str, Any]:
    """Write what may be handed on from a finished run into a new folder.

    ``report.html``, ``profiles.json``, ``metrics.json``, ``clusters.csv`` (as published: rounded, small clusters merged
    or without details), ``users.csv`` (user, published cluster and its name, in the order of the pseudonyms) and
    ``export.json`` (what was done to protect people). Equal runs and keys give equal bytes, except for the
    report's seconds and for what is released under differential privacy.

    Parameters
    ----------
    out
        A folder that is new or empty.
    raw_ids
        Write ids in the place of pseudonyms; the report then shows single users, if the run was made with ``raw_ids``.
    users
        Whether ``users.csv`` is written; without it no key is needed.
    epsilon, delta
        Also release the clusters' centres and counts under (epsilon, delta)-differential privacy: ``centres.npy`` and
        ``counts.csv``.
    key
        Key of the pseudonyms; default: the operator's.

    Raises
    ------
    InputError
        When the folder holds something already.
    SettingsError
        When the key of the pseudonyms cannot be used.
    """
    run, folder = open_run(path), Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"the folder is not empty: {folder}", fix="name a new folder with --out")
    if not users or raw_ids:
        key = None
    elif key is None:
        key = load_key(folder)
    folder.mkdir(parents=True, exist_ok=True)
    profiles = run.profiles
    people = published_users(run)
    if key is not None:
        people = people.with_columns(pseudonyms(people[Column.USER], key)).sort(Column.USER)
    write_text(folder / Artefact.REPORT, build_report(run.path, raw_ids=None if raw_ids else False))
    write_json(folder / Artefact.PROFILES, profiles)
    write_json(folder / Artefact.METRICS, run.metrics)
    _write_csv(folder / "clusters.csv", published_clusters(profiles))
    if users:
        _write_csv(folder / Exported.USERS, people)
    k = int(run.manifest["settings"]["k_anonymity"])
    described: dict[str, Any] = {
        "user_ids": "raw" if raw_ids else "HMAC-SHA-256 pseudonyms",
        "k_anonymity": k,
        "small_clusters": run.manifest["settings"]["small_clusters"],
        "uicgpu_version": run.manifest["uicgpu_version"],
        "differential_privacy": None,
    }
    if epsilon is not None:
        described["differential_privacy"] = _release_centres(run, folder, epsilon, delta)
    write_json(folder / Exported.DESCRIPTION, described)
    return {
        "out": str(folder.resolve()),
        "users": people.height,
        "clusters": sum(not profile["suppressed"] for profile in profiles),
        "user ids": described["user_ids"],
        "k-anonymity": k,
    }


def published_users(run: Run) -> pl.DataFrame:
    """User, published cluster and its name, sorted by user."""
    hosts = {
        profile["cluster"]: profile["cluster"] if profile["merged_into"] is None else profile["merged_into"]
        for profile in run.profiles
    }
    names = {profile["cluster"]: profile["name"] for profile in run.profiles}
    clusters = run.users[Column.CLUSTER].to_list()
    return pl.DataFrame(
        {
            Column.USER: run.users[Column.USER],
            Column.CLUSTER: pl.Series([hosts[cluster] for cluster in clusters], dtype=pl.Int32),
            Column.NAME: pl.Series([names[hosts[cluster]] for cluster in clusters], dtype=pl.String),
        }
    ).sort(Column.USER)


def published_clusters(profiles: list[dict[str, Any]]) -> pl.DataFrame:
    """One row per cluster that stands for itself, in the order of size; texts joined by ``; ``."""
    own = [profile for profile in profiles if profile["merged_into"] is None]
    own.sort(key=lambda entry: (entry["cluster"] == NOISE, -(entry["size"] or 0), entry["cluster"]))
    columns = ("terms", "exemplar_items", "categories")
    rows = []
    for profile in own:
        texts = {
            "terms": [entry["term"] for entry in profile.get("terms") or []],
            "exemplar_items": [entry["text"] for entry in profile.get("exemplar_items") or []],
            "categories": [entry["category"] for entry in profile.get("categories") or []],
        }
        coarse = profile.get("super_cluster") or {}
        rows.append(
            {name: profile[name] for name in (Column.CLUSTER, Column.NAME, Column.SIZE, Column.SHARE)}
            | {"super_cluster": coarse.get("name")}
            | {name: profile.get(name) for name in ("confidence", "silhouette", "stability")}
            | {name: SEPARATOR.join(texts[name]) for name in columns}
        )
    schema: dict[str, pl.DataType] = {Column.CLUSTER: pl.Int32(), Column.SIZE: pl.Int64()}
    schema |= {name: pl.Float64() for name in (Column.SHARE, "confidence", "silhouette", "stability")}
    schema |= {name: pl.String() for name in (Column.NAME, "super_cluster", *columns)}
    return pl.DataFrame(rows, schema_overrides=schema)


def _write_csv(path: Path, frame: pl.DataFrame) -> None:
    with atomic_write(path) as temporary:
        defuse_formulas(frame).write_csv(temporary)


def _release_centres(run: Run, folder: Path, epsilon: float, delta: float) -> dict[str, Any]:
    vectors = run.interest_vectors
    if not math.isfinite(epsilon):
        raise InputError(f"epsilon is {epsilon}", where="option --epsilon", fix="pass a finite number above 0")
    clusters = max(int(run.centroids.shape[0]), 1)
    released = private_centres(vectors, clusters, epsilon, delta, seed=int(run.manifest["seed"]))
    write_array(folder / "centres.npy", released.centroids.astype(np.float32))
    counts = pl.DataFrame({Column.CLUSTER: np.arange(clusters, dtype=np.int32), "count": released.counts.round()})
    _write_csv(folder / "counts.csv", counts.with_columns(pl.col("count").cast(pl.Int64)))
    return released.statement
