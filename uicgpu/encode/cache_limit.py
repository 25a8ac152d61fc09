"""A limit for the size of the vector caches: the shards written longest ago go first, whichever encoder's they are.

A shard loses its index first, and a shard without index does not exist; so a kill in between leaves nothing that could
be believed. A process that has the shard open finds its file gone and computes those texts again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

ABANDONED_SECONDS = 3600
"""Vectors without an index are being written by another process, unless they are older than this."""


@dataclass(frozen=True)
class _Shard:
    written: float
    index: Path
    vectors: Path
    bytes: int


def drop_oldest(folder: Path, limit: int, index_suffix: str, vectors_suffix: str) -> list[Path]:
    """Remove the oldest shards until at most ``limit`` bytes are left.

    Parameters
    ----------
    folder
        Holds the caches of all encoders.
    limit
        Bytes of all shards together; 0 keeps nothing.

    Returns
    -------
    list
        The indices removed, oldest first. What cannot be removed, as on a read-only disk, stays.
    """
    shards = _shards(folder, index_suffix, vectors_suffix)
    size = sum(shard.bytes for shard in shards)
    removed = []
    for shard in shards:
        if size <= limit:
            break
        try:
            shard.index.unlink(missing_ok=True)
            shard.vectors.unlink(missing_ok=True)
        except OSError:
            continue
        size -= shard.bytes
        removed.append(shard.index)
    return removed


def _shards(folder: Path, index_suffix: str, vectors_suffix: str) -> list[_Shard]:
    """Return the shards, oldest first, ties by name."""
    found = []
    for vectors in folder.glob(f"*/*{vectors_suffix}"):
        index = vectors.with_name(vectors.name.removesuffix(vectors_suffix) + index_suffix)
        try:
            state = vectors.stat()
            size = state.st_size + (index.stat().st_size if index.exists() else 0)
            if not index.exists() and time.time() - state.st_mtime < ABANDONED_SECONDS:
                continue
        except FileNotFoundError:  # another process removed it
            continue
        found.append(_Shard(state.st_mtime, index, vectors, size))
    return sorted(found, key=lambda shard: (shard.written, shard.index))
