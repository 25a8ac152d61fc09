"""What lies in the run folder? The artefacts that the report shows, read once; most may be missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import RunFolderError
from uicgpu.report.scores import Scores, read_scores
from uicgpu.settings import Settings
from uicgpu.vocabulary import NOISE, Artefact, Column, StageName


@dataclass(frozen=True)
class RunArtefacts:
    """The parts of a run that the report reads; tables that were not written are None."""

    folder: Path
    manifest: dict[str, Any]
    scores: Scores
    profiles: list[dict[str, Any]]
    clusters: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame | None
    rejected: pl.DataFrame | None
    vectors: NDArray[np.floating] | None
    interactions: pl.LazyFrame | None
    recommendations: pl.LazyFrame | None
    evaluation_notes: list[str]

    @property
    def published(self) -> list[dict[str, Any]]:
        """Profiles of the clusters that stand for themselves, largest first; those without details and noise last."""
        own = [profile for profile in self.profiles if profile.get("merged_into") is None]
        return sorted(own, key=lambda entry: (entry["cluster"] == NOISE, -(entry["size"] or 0), entry["cluster"]))

    def published_labels(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Cluster under which each user is published, for the clusters ``labels`` of users."""
        return published_labels(self.profiles, labels)

    def setting(self, name: str) -> Any:
        """Value of a setting of the run; the default where the manifest does not name it."""
        settings = self.manifest.get("settings") or {}
        return settings.get(name, Settings.model_fields[name].get_default(call_default_factory=True))

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Entries of the manifest by stage."""
        return self.manifest.get("stages") or {}

    @property
    def stage_order(self) -> list[str]:
        """Names of the stages as the pipeline runs them; unknown ones last."""
        order = [value for name, value in vars(StageName).items() if not name.startswith("_")]
        return [name for name in order if name in self.stages] + sorted(set(self.stages) - set(order))

    def facts(self, stage: str) -> dict[str, Any]:
        """What a stage noted."""
        return self.stages.get(stage, {}).get("facts") or {}


def published_labels(profiles: Sequence[Mapping[str, Any]], labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cluster under which each user is published: the host of a merged cluster, else their own."""
    result = np.array(labels, np.int32)
    for profile in profiles:
        if profile.get("merged_into") is not None:
            result[labels == profile["cluster"]] = profile["merged_into"]
    return result


def read_artefacts(folder: Path, raw_ids: bool | None = None) -> RunArtefacts:
    """Read a run folder; ``raw_ids`` takes the place of the run's own setting.

    Raises
    ------
    RunFolderError
        If the manifest, the users, the clusters or the profiles are missing or unreadable.
    """
    profiles = _read_json(folder / Artefact.PROFILES, required=True)
    users = _read_table(folder / Artefact.USERS, required=True)
    evaluation = _read_json(folder / Artefact.EVALUATION, required=False)
    clusters = _read_table(folder / Artefact.CLUSTERS, required=True)
    if users is None or clusters is None:
        raise RunFolderError("users or clusters are missing", where=str(folder), fix="uicgpu run … --out RUN")
    manifest = _read_json(folder / Artefact.MANIFEST, required=True)
    if raw_ids is not None:
        manifest["settings"] = (manifest.get("settings") or {}) | {"raw_ids": raw_ids}
    return RunArtefacts(
        folder=folder,
        manifest=manifest,
        scores=read_scores(_read_json(folder / Artefact.METRICS, required=False) or {}),
        profiles=profiles.get("profiles", []) if isinstance(profiles, dict) else profiles,
        clusters=clusters.sort(Column.CLUSTER),
        users=users,
        items=_read_table(folder / Artefact.ITEMS),
        rejected=_read_table(folder / Artefact.REJECTED),
        vectors=_read_vectors(folder / Artefact.INTEREST_VECTORS),
        interactions=_scan(folder / Artefact.INTERACTIONS),
        recommendations=_scan(folder / Artefact.RECOMMENDATIONS),
        evaluation_notes=((evaluation or {}).get("learned") or {}).get("notes") or [],
    )


def base_name(path: str) -> str:
    """Last part of a path of either system: where a file lies on a machine is nobody's business.

    >>> base_name("/home/someone/events.csv"), base_name("C:\\\\data\\\\items.csv"), base_name("org/model")
    ('events.csv', 'items.csv', 'org/model')
    """
    if path.startswith(("/", "~", "./", "../")):
        return PurePosixPath(path).name or path
    if PureWindowsPath(path).drive or "\\" in path:
        return PureWindowsPath(path).name or path
    return path


def _read_json(path: Path, *, required: bool) -> Any:
    if not path.is_file():
        if required:
            raise RunFolderError(f"{path.name} is missing", where=str(path.parent), fix="uicgpu run … --out RUN")
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunFolderError(f"{path.name} is not readable JSON: {error}", where=str(path), fix=_REBUILD) from error


def _read_table(path: Path, *, required: bool = False) -> pl.DataFrame | None:
    if not path.is_file():
        if required:
            raise RunFolderError(f"{path.name} is missing", where=str(path.parent), fix="uicgpu run … --out RUN")
        return None
    try:
        return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunFolderError(f"{path.name} is not readable Parquet: {error}", where=str(path), fix=_REBUILD) from error


def _scan(path: Path) -> pl.LazyFrame | None:
    return pl.scan_parquet(path, glob=False) if path.is_file() else None


def _read_vectors(path: Path) -> NDArray[np.floating] | None:
    if not path.is_file():
        return None
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise RunFolderError(f"{path.name} is not a readable array: {error}", where=str(path), fix=_REBUILD) from error
    return vectors if vectors.ndim == 2 and vectors.size else None


_REBUILD = "run the same command again; finished stages are kept, broken ones are redone"
