"""The cache home, and SHA-256 of large files computed once per file state.

A hash of a 100 MB weight file costs a tenth of a second or more; it is remembered under the cache home for as long as
the file keeps its size, times and inode. A cache home that cannot be written only costs the time again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from uicgpu.errors import InputError


def cache_home() -> Path:
    """Return the folder for caches: ``$UICGPU_CACHE``, else ``~/.cache/uicgpu`` (not created)."""
    named = os.environ.get("UICGPU_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "uicgpu"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex.

    Raises
    ------
    InputError
        When the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}", where=str(path)) from error


def remembered_sha256(path: Path) -> str:
    """Like :func:`sha256_of`, remembered per path, size, modification time, change time and inode."""
    try:
        state = path.resolve().stat()
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}", where=str(path)) from error
    place = str(path.resolve())
    stamp = [place, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    name = hashlib.blake2b(place.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    note = cache_home() / "hashes" / f"{name}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] == stamp and len(known["sha256"]) == 64:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no note, or a damaged one: hash again
    digest = sha256_of(path)
    with contextlib.suppress(OSError):  # a read-only home costs time, not correctness
        write_atomically(note, json.dumps({"stamp": stamp, "sha256": digest}).encode())
    return digest


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` so that ``path`` is either absent, old, or complete: temporary file, fsync, rename.

    Raises
    ------
    OSError
        As the file system gives it; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
