"""Vectors of texts that were encoded before, found by content.

One folder per encoder identity, so two encoders can never mix. A shard is two files: the vectors, and then an index
with the BLAKE2b-128 key of each text and a checksum of each entry. Both are written to a temporary file and renamed,
the index last: a shard without index does not exist. Files are never changed. An entry whose checksum is wrong counts
as absent; it is computed again and goes into a new shard, which wins.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.fingerprints import cache_home, write_atomically

INDEX_DTYPE = np.dtype([("key", "V16"), ("check", "V8"), ("tokens", "<i4"), ("flags", "u1")])
"""One entry: text key, checksum over key, tokens, flags and vector, tokens of the text, flags."""
TRUNCATED, UNKNOWN, BLANK = 1, 2, 4
"""Flags of a text: cut at the token limit; all tokens unknown; no token of its own."""
INDEX_SUFFIX = ".index.npy"
VECTORS_SUFFIX = ".vectors.npy"


def vector_cache_folder() -> Path:
    """Return the default folder of vector caches, under ``$UICGPU_CACHE`` or ``~/.cache/uicgpu`` (not created)."""
    return cache_home() / "vectors"


@dataclass(frozen=True)
class Entries:
    """Vectors of texts with what the tokeniser saw.

    Attributes
    ----------
    vectors
        float32 [texts, dim], not normalised.
    tokens
        int32 [texts].
    flags
        uint8 [texts]: ``TRUNCATED | UNKNOWN | BLANK``.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]
    flags: NDArray[np.uint8]


class VectorCache:
    """The vectors of one encoder.

    Parameters
    ----------
    folder
        Holds the caches of all encoders.
    identity
        Everything that the encoder's vectors depend on.
    dim
        Dimension of the vectors.

    Attributes
    ----------
    damaged
        Shards and entries that were found damaged and ignored so far.
    """

    def __init__(self, folder: Path, identity: str, dim: int) -> None:
        self.folder = Path(folder) / hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        self.dim = dim
        self.damaged = 0
        self._identity = identity
        self._shards: list[NDArray[np.float32]] = []
        self._entries: list[NDArray[Any]] = []
        self._order: NDArray[np.int64] | None = None
        self._next = 1
        for index in sorted(self.folder.glob(f"*{INDEX_SUFFIX}")):
            self._next = max(self._next, int(index.name[:8]) + 1) if index.name[:8].isdigit() else self._next
            self._open(index)

    def __len__(self) -> int:
        return sum(map(len, self._entries))

    def look_up(self, keys: NDArray[np.void]) -> tuple[NDArray[np.bool_], Entries]:
        """Find texts by key.

        Parameters
        ----------
        keys
            V16 [texts], as :func:`uicgpu.encode.batches.distinct_texts` gives them.

        Returns
        -------
        found
            bool [texts].
        entries
            Of all texts; rows that were not found are zero.
        """
        found, entries = nothing_found(len(keys), self.dim)
        if not len(keys) or not self._entries:
            return found, entries
        sorted_keys, shard_of, row_of = self._sorted()
        wanted = keys.view("S16")
        # entries of one key lie in the order of their shards: the last one is the newest
        place = np.searchsorted(sorted_keys, wanted, side="right") - 1
        hits = np.flatnonzero((place >= 0) & (sorted_keys[np.maximum(place, 0)] == wanted))
        for text in hits[np.argsort(shard_of[place[hits]], kind="stable")].tolist():
            shard, row = int(shard_of[place[text]]), int(row_of[place[text]])
            entry, vector = self._entries[shard][row], self._shards[shard][row]
            if entry["check"].tobytes() != _checksum(entry["key"], entry["tokens"], entry["flags"], vector):
                self.damaged += 1
                continue
            entries.vectors[text], entries.tokens[text], entries.flags[text] = vector, entry["tokens"], entry["flags"]
            found[text] = True
        return found, entries

    def add(self, keys: NDArray[np.void], entries: Entries) -> None:
        """Append a shard.

        Raises
        ------
        OSError
            When it cannot be written; the cache is then as before.
        """
        if not len(keys):
            return
        index = np.zeros(len(keys), dtype=INDEX_DTYPE)
        index["key"], index["tokens"], index["flags"] = keys, entries.tokens, entries.flags
        checks = (
            _checksum(key, tokens, flags, vector)
            for key, tokens, flags, vector in zip(keys, index["tokens"], index["flags"], entries.vectors, strict=True)
        )
        index["check"] = np.frombuffer(b"".join(checks), dtype="V8")
        vectors = np.ascontiguousarray(entries.vectors, dtype=np.float32)
        name = f"{self._next:08d}-{hashlib.blake2b(index.tobytes(), digest_size=8).hexdigest()}"
        if not self.folder.exists():
            write_atomically(self.folder / "encoder.json", self._identity.encode())
        write_atomically(self.folder / f"{name}{VECTORS_SUFFIX}", _npy(vectors))
        write_atomically(self.folder / f"{name}{INDEX_SUFFIX}", _npy(index))
        self._next += 1
        self._open(self.folder / f"{name}{INDEX_SUFFIX}")

    def _open(self, path: Path) -> None:
        try:
            index = np.load(path, allow_pickle=False)
            vectors = np.load(
                path.with_name(path.name.removesuffix(INDEX_SUFFIX) + VECTORS_SUFFIX), mmap_mode="r", allow_pickle=False
            )
        except Exception:  # a damaged header makes NumPy's parser raise many kinds; the shard is counted and left out
            self.damaged += 1
            return
        if index.dtype != INDEX_DTYPE or vectors.dtype != np.float32 or vectors.shape != (*index.shape, self.dim):
            self.damaged += 1
            return
        self._entries.append(index)
        self._shards.append(vectors)
        self._order = None

    def _sorted(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.int64]]:
        """All keys in order, with the shard and row of each."""
        keys = np.concatenate([np.ascontiguousarray(index["key"]) for index in self._entries]).view("S16")
        if self._order is None:
            self._order = np.argsort(keys, kind="stable")
        sizes = [len(index) for index in self._entries]
        shard_of = np.repeat(np.arange(len(sizes)), sizes)
        row_of = np.concatenate([np.arange(size) for size in sizes])
        return keys[self._order], shard_of[self._order], row_of[self._order]


def _checksum(key: Any, tokens: Any, flags: Any, vector: NDArray[np.float32]) -> bytes:
    digest = hashlib.blake2b(key.tobytes(), digest_size=8)
    digest.update(int(tokens).to_bytes(4, "little") + int(flags).to_bytes(1, "little"))
    digest.update(np.ascontiguousarray(vector).tobytes())
    return digest.digest()


def _npy(array: NDArray[Any]) -> memoryview:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getbuffer()


def nothing_found(texts: int, dim: int) -> tuple[NDArray[np.bool_], Entries]:
    """Return the answer of an empty cache."""
    entries = Entries(np.zeros((texts, dim), np.float32), np.zeros(texts, np.int32), np.zeros(texts, np.uint8))
    return np.zeros(texts, dtype=np.bool_), entries
