"""The run folder on disk: how files get into it, and how nobody ever sees half of one.

Every artefact is written to a temporary file beside its place, flushed to the disk, and renamed. The manifest follows
last, in the same way. One process at a time may write: a lock file says who.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError, OutOfResourcesError, RunFolderError
from uicgpu.vocabulary import FORMAT_VERSION, Artefact

_TEMPORARY = ".partial-"
_CHUNK = 1 << 22


def cache_folder() -> Path:
    """Return the folder for what may be computed again: ``$UICGPU_CACHE``, else ``~/.cache/uicgpu``."""
    return Path(os.environ.get("UICGPU_CACHE") or Path.home() / ".cache" / "uicgpu")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success flush it to the disk and rename it to ``path``.

    Raises
    ------
    OutOfResourcesError
        When the disk is full; the previous file, if any, is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{_TEMPORARY}{os.getpid()}-{path.name}"
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfResourcesError(
                f"no space left on the disk while writing {path.name}",
                where=str(path.parent),
                fix="free some space and run the same command again: finished stages are kept",
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, two spaces, ``NaN`` refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table atomically; equal tables give equal bytes."""
    with atomic_write(path) as temporary:
        frame.rechunk().write_parquet(
            temporary, compression="zstd", compression_level=3, statistics=True, row_group_size=262_144
        )


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array atomically as ``.npy``."""
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays atomically as safetensors."""
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(ordered))


class RunFolder:
    """A folder of artefacts with a manifest.

    Parameters
    ----------
    path
        The folder; created by :meth:`prepare`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = {}

    def file(self, artefact: str) -> Path:
        """Return the path of an artefact; refuses names that lead out of the folder."""
        path = self.path / artefact
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise RunFolderError(f"artefact {artefact!r} lies outside the run folder", where=str(self.path))
        return path

    def prepare(self, *, fresh: bool = False) -> None:
        """Create the folder or accept an existing run; ``fresh`` forgets what a former run computed.

        Raises
        ------
        InputError
            When the path is a file, or a folder that holds other things.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out is a file, not a folder: {self.path}", fix="name another folder")
        known = (self.path / Artefact.MANIFEST).exists() or (self.path / Artefact.LOCK).exists()
        if self.path.exists() and not known and any(self.path.iterdir()):
            raise InputError(
                f"the folder is not empty and not a run: {self.path}", fix="name a new or empty folder with --out"
            )
        (self.path / "stages").mkdir(parents=True, exist_ok=True)
        if fresh:
            self.file(Artefact.MANIFEST).unlink(missing_ok=True)
        self.load()

    def load(self) -> None:
        """Read the manifest, if there is one.

        Raises
        ------
        RunFolderError
            When it is damaged or was written by a newer format.
        """
        path = self.file(Artefact.MANIFEST)
        if not path.exists():
            self.manifest = {}
            return
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = manifest["format_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError("the manifest is damaged", where=str(path), fix="run again with --fresh") from error
        if version != FORMAT_VERSION:
            raise RunFolderError(
                f"the run has format {version}; this uicgpu reads format {FORMAT_VERSION}",
                where=str(path),
                fix="use the uicgpu version that wrote it, or run again with --fresh",
            )
        self.manifest = manifest

    def save(self) -> None:
        """Write the manifest atomically."""
        write_json(self.file(Artefact.MANIFEST), self.manifest)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writer.

        Raises
        ------
        RunFolderError
            When another process is writing to it.
        """
        handle = os.open(self.file(Artefact.LOCK), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise RunFolderError(
                    f"another process (pid {holder}) is working on this run",
                    where=str(self.path),
                    fix="wait for it, or name another folder with --out",
                ) from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            self._remove_leftovers()
            yield
        finally:
            os.close(handle)

    def _remove_leftovers(self) -> None:
        for folder in (self.path, self.path / "stages"):
            for path in folder.glob(f"{_TEMPORARY}*"):
                path.unlink(missing_ok=True)

    def describe(self, artefact: str) -> dict[str, Any]:
        """Return size and SHA-256 of an artefact, as the manifest records it."""
        path = self.file(artefact)
        return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}

    def intact(self, outputs: Mapping[str, Mapping[str, Any]]) -> bool:
        """Tell whether every output exists with the recorded size and hash."""
        for artefact, recorded in outputs.items():
            path = self.file(artefact)
            if not path.is_file() or path.stat().st_size != recorded["bytes"]:
                return False
            if sha256_file(path) != recorded["sha256"]:
                return False
        return True
