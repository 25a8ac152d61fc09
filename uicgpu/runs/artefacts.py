"""A finished run, opened for reading."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError, RunFolderError
from uicgpu.runs.folder import RunFolder
from uicgpu.vocabulary import Artefact, Column, StageName


class Run:
    """Artefacts of a run, read on first use.

    Attributes
    ----------
    path
        The run folder.
    manifest
        Settings, seed, versions, device, inputs and, per stage, status, seconds, bytes, facts and output hashes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = RunFolder(path)
        self._folder.load()
        self.manifest = self._folder.manifest

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def complete(self) -> bool:
        """Whether every stage of the pipeline is done."""
        stages = self.manifest.get("stages", {})
        return stages.get(StageName.REPORT, {}).get("status") == "done" and all(
            entry.get("status") == "done" for entry in stages.values()
        )

    def facts(self, stage: str) -> dict[str, Any]:
        """Return the facts that a finished stage recorded."""
        facts: dict[str, Any] = self._entry(stage)["facts"]
        return facts

    @cached_property
    def interactions(self) -> pl.DataFrame:
        """One row per (user_id, item_id): weight, events, first_time, last_time."""
        return self.table(Artefact.INTERACTIONS)

    @cached_property
    def rejected(self) -> pl.DataFrame:
        """Refused input rows: source, row, reason, sample."""
        return self.table(Artefact.REJECTED)

    @cached_property
    def items(self) -> pl.DataFrame:
        """item_id, text, category, row."""
        return self.table(Artefact.ITEMS)

    @cached_property
    def users(self) -> pl.DataFrame:
        """user_id, cluster, confidence, second_cluster, events, row."""
        return self.table(Artefact.USERS)

    @cached_property
    def clusters(self) -> pl.DataFrame:
        """Cluster, name, size, share, terms, exemplar_items, silhouette, row."""
        return self.table(Artefact.CLUSTERS)

    @cached_property
    def recommendations(self) -> pl.DataFrame:
        """user_id, rank, item_id, score, source, reason."""
        return self.table(Artefact.RECOMMENDATIONS)

    @cached_property
    def item_vectors(self) -> NDArray[Any]:
        """[items, dim], rows as ``items['row']``; memory-mapped."""
        return self.array(Artefact.ITEM_VECTORS)

    @cached_property
    def interest_vectors(self) -> NDArray[Any]:
        """[users, dim] float32, rows as ``users['row']``; memory-mapped."""
        return self.array(Artefact.INTEREST_VECTORS)

    @cached_property
    def centroids(self) -> NDArray[Any]:
        """[clusters, dim] float32, rows as ``clusters['row']``."""
        return self.array(Artefact.CENTROIDS)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Flat figures: ranking, intervals, cluster quality, stability, ablation."""
        metrics: dict[str, Any] = json.loads(self._file(Artefact.METRICS).read_text(encoding="utf-8"))
        return metrics

    @cached_property
    def profiles(self) -> list[dict[str, Any]]:
        """One profile per cluster."""
        profiles: list[dict[str, Any]] = json.loads(self._file(Artefact.PROFILES).read_text(encoding="utf-8"))
        return profiles

    @cached_property
    def cluster_ids(self) -> NDArray[np.int32]:
        """Cluster id of each row of ``centroids``, int32 [clusters]: the row itself, unless ids went on from a run."""
        rows = self.clusters.drop_nulls(Column.ROW).sort(Column.ROW)
        ids: NDArray[np.int32] = rows[Column.CLUSTER].to_numpy()
        return ids

    @property
    def report(self) -> Path:
        """Path of the one-file report."""
        return self._file(Artefact.REPORT)

    def table(self, artefact: str) -> pl.DataFrame:
        """Read a Parquet artefact."""
        return pl.read_parquet(self._file(artefact))

    def array(self, artefact: str) -> NDArray[Any]:
        """Memory-map an ``.npy`` artefact."""
        array: NDArray[Any] = np.load(self._file(artefact), mmap_mode="r", allow_pickle=False)
        return array

    def tensors(self, artefact: str) -> dict[str, NDArray[Any]]:
        """Read a safetensors artefact."""
        from safetensors.numpy import load_file

        tensors: dict[str, NDArray[Any]] = load_file(self._file(artefact))
        return tensors

    def has(self, artefact: str) -> bool:
        """Whether a stage wrote this artefact: runs of earlier versions lack some."""
        return any(artefact in entry.get("outputs", {}) for entry in self.manifest.get("stages", {}).values())

    def _entry(self, stage: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.manifest.get("stages", {}).get(stage, {})
        if entry.get("status") != "done":
            raise RunFolderError(
                f"stage {stage} of this run is not finished", where=str(self.path), fix="run the same command again"
            )
        return entry

    def _file(self, artefact: str) -> Path:
        for stage, entry in self.manifest.get("stages", {}).items():
            if artefact not in entry.get("outputs", {}):
                continue
            path = self._folder.file(artefact)
            if not path.is_file() or path.stat().st_size != entry["outputs"][artefact]["bytes"]:
                raise RunFolderError(
                    f"{artefact} is missing or not what stage {stage} wrote",
                    where=str(self.path),
                    fix="run the same command again: damaged stages are redone",
                )
            return path
        raise RunFolderError(
            f"this run has no finished {artefact}", where=str(self.path), fix="run the same command again"
        )


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading.

    Raises
    ------
    InputError
        When the folder is not a run.
    RunFolderError
        When its manifest is damaged or of another format.
    """
    folder = Path(path)
    if not (folder / Artefact.MANIFEST).is_file():
        raise InputError(f"not a run folder (no {Artefact.MANIFEST}): {folder}", fix="uicgpu run … --out RUN makes one")
    return Run(folder)
