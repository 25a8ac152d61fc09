"""Which clusters of this run are those of a former one? Their ids go on; the rest is born, or gone.

The former run is a run folder, or what ``uicgpu export`` made of one. An export knows its users by pseudonyms: the
users of this run get theirs under the same key, and nobody needs the raw ids of the past.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError, SettingsError
from uicgpu.privacy.formulas import defuse_formulas
from uicgpu.privacy.pseudonyms import KEY_VARIABLE, key_path, load_key, pseudonyms
from uicgpu.runs.artefacts import open_run
from uicgpu.runs.folder import sha256_file
from uicgpu.settings import Settings
from uicgpu.vocabulary import Artefact, Column, Exported

NEXT_ID = "cluster.next_id"
"""Metric with the lowest cluster id that no run of the chain has used."""


@dataclass(frozen=True)
class Previous:
    """A former run: its users, their clusters, and what the clusters were called."""

    path: Path
    users: pl.Series
    labels: NDArray[np.int32]
    names: dict[int, str]
    next_id: int
    pseudonymous: bool


def previous_fingerprint(settings: Settings) -> str | None:
    """Hash of the former clusters, on which the ids of this run depend; None without a former run."""
    if settings.previous is None:
        return None
    path = _folder(settings)
    users = path / (Exported.USERS if (path / Exported.DESCRIPTION).is_file() else Artefact.USERS)
    if not users.is_file():
        raise InputError(
            f"neither a finished run nor an export with its users: {path}",
            where="option --previous",
            fix="name the folder of a run, or of uicgpu export",
        )
    return sha256_file(users)


def read_previous(settings: Settings) -> Previous:
    """Read the clusters of ``settings.previous``."""
    path = _folder(settings)
    if (path / Exported.DESCRIPTION).is_file():
        described = json.loads((path / Exported.DESCRIPTION).read_text(encoding="utf-8"))
        pseudonymous = described["user_ids"] != "raw"
        users = pl.read_csv(path / Exported.USERS, schema_overrides={Column.USER: pl.String, Column.CLUSTER: pl.Int32})
        profiles, metrics = (
            json.loads((path / name).read_text(encoding="utf-8")) for name in (Artefact.PROFILES, Artefact.METRICS)
        )
    else:
        run = open_run(path)
        pseudonymous, users, profiles, metrics = False, run.users, run.profiles, run.metrics
    names = {profile["cluster"]: profile["name"] for profile in profiles}
    return Previous(
        path,
        users[Column.USER],
        users[Column.CLUSTER].to_numpy().astype(np.int32),
        names,
        int(metrics.get(NEXT_ID, max(names, default=-1) + 1)),
        pseudonymous,
    )


def carry_on(previous: Previous, user_ids: pl.Series, labels: NDArray[np.int32]) -> dict[str, Any]:
    """Match the clusters of this run with those of ``previous``.

    Parameters
    ----------
    user_ids
        Users of this run.
    labels
        int32, the cluster of each: rows of the centroids, -1 for noise.

    Returns
    -------
    dict
        ``ids`` (of the clusters, by row), ``users`` (in both runs, with a cluster in both), ``kept`` (id and Jaccard
        index), ``births`` and ``deaths`` (ids), ``splits`` and ``merges`` (id and ids), ``names`` (what the clusters
        of the former run were called, by id) and ``next_id``.

    Raises
    ------
    InputError
        When no user is in both runs; pseudonyms under another key look like that.
    """
    from uicgpu.cluster.match import match_clusters

    known = _as_in(previous, user_ids)
    if not known.is_in(previous.users.implode()).any():
        raise _strangers(previous)
    match = match_clusters(previous.users, previous.labels, known, labels, first_free=previous.next_id)
    ids = [int(number) for number in match.ids]
    born = set(match.births)
    return {
        "ids": ids,
        "users": match.shared,
        "kept": {
            str(number): round(float(overlap), 4)
            for number, overlap in zip(ids, match.overlap, strict=True)
            if number not in born
        },
        "births": match.births,
        "deaths": match.deaths,
        "splits": {str(number): parts for number, parts in match.splits.items()},
        "merges": {str(number): parts for number, parts in match.merges.items()},
        "names": {str(number): name for number, name in sorted(previous.names.items())},
        "next_id": max([previous.next_id - 1, *ids]) + 1,
    }


def lineage_sentence(carried: dict[str, Any]) -> str:
    """One line for the terminal.

    >>> lineage_sentence({"kept": {"0": 0.8}, "births": [4], "deaths": [], "splits": {}, "merges": {}})
    '1 kept, 1 new, 0 gone'
    """
    told = [f"{len(carried[key])} {word}" for key, word in (("kept", "kept"), ("births", "new"), ("deaths", "gone"))]
    told += [f"{len(carried[key])} {key[:-1]}" for key in ("splits", "merges") if carried[key]]
    return ", ".join(told)


def _folder(settings: Settings) -> Path:
    assert settings.previous is not None
    path = Path(settings.previous)
    if settings.out is not None and path.resolve() == Path(settings.out).resolve():
        raise SettingsError(
            f"the former run and the new one are the same folder: {path}",
            where="option --previous",
            fix="name a new folder with --out",
        )
    return path


def _as_in(previous: Previous, user_ids: pl.Series) -> pl.Series:
    """Ids as the former run writes them."""
    if not previous.pseudonymous:
        written = user_ids if (previous.path / Artefact.MANIFEST).is_file() else _in_spreadsheets(user_ids)
        return written.cast(pl.String)
    if not key_path().exists():  # a new key would fit nothing
        raise SettingsError(
            "the former users are pseudonyms, and their key is not here",
            where=str(key_path()),
            fix=f"set {KEY_VARIABLE} to the key's file, or name the run folder in place of its export",
        )
    return pseudonyms(user_ids, load_key())


def _in_spreadsheets(user_ids: pl.Series) -> pl.Series:
    return defuse_formulas(pl.DataFrame({Column.USER: user_ids}))[Column.USER]


def _strangers(previous: Previous) -> InputError:
    if previous.pseudonymous:
        return InputError(
            "no user of this run is in the former one under this key of pseudonyms",
            where=f"{previous.path}, key {key_path()}",
            fix=f"set {KEY_VARIABLE} to the key that the export was made with, or name a run of the same users",
        )
    return InputError(
        "no user of this run is in the former one",
        where=str(previous.path),
        fix="name a run of the same users; raw ids and ids that were replaced before do not match",
    )
