"""What does somebody hold who is handed an export? The folder itself, made in a temporary place, under its own key."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.pipeline.export import export_run
from uicgpu.privacy.pseudonyms import KEY_BYTES, pseudonyms
from uicgpu.runs.artefacts import Run
from uicgpu.vocabulary import NOISE, Column, Exported


@contextmanager
def handed_on(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Export a run as ``uicgpu export`` does by default; yields the folder and the key, and removes both.

    The operator's own key is neither read nor made.
    """
    with tempfile.TemporaryDirectory(prefix="uicgpu-export-") as temporary:
        key = secrets.token_bytes(KEY_BYTES)
        folder = Path(temporary) / "export"
        export_run(path, folder, key=key)
        yield folder, key


def exported_labels(run: Run, folder: Path, key: bytes, users: int) -> NDArray[np.int32]:
    """Cluster that ``users.csv`` gives each row of the run, int32 [users]; -1 for users it does not name."""
    told = pl.read_csv(folder / Exported.USERS, schema_overrides={Column.USER: pl.String, Column.CLUSTER: pl.Int32})
    own = run.users.select(Column.ROW, pseudonyms(run.users[Column.USER], key))
    joined = own.join(told.select(Column.USER, Column.CLUSTER), on=Column.USER, how="inner")
    labels = np.full(users, NOISE, np.int32)
    labels[joined[Column.ROW].to_numpy()] = joined[Column.CLUSTER].to_numpy()
    return labels


def published_texts(folder: Path) -> list[str]:
    """Text of every file of an export and its name; bytes that are no text become replacement characters."""
    files = sorted(entry for entry in folder.rglob("*") if entry.is_file())
    return [f"{entry.name}\n{entry.read_bytes().decode('utf-8', 'replace')}" for entry in files]
