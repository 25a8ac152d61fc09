"""Vectors of texts that were encoded before, found by content.

One folder per encoder identity, so two encoders can never mix. A shard is two files: the vectors, and then an index
with the BLAKE2b-128 key of each text and a checksum of each entry. Both are written to a temporary file and renamed,
the index last: a shard without index does not exist. Files are never changed; many small shards are merged into a new
one. An entry whose checksum is wrong counts as absent; it is computed again and goes into a new shard, which wins.
"""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.cache_limit import drop_oldest
from uicgpu.encode.fingerprints import cache_home, write_atomically
from uicgpu.encode.key_index import KeyIndex

INDEX_DTYPE = np.dtype([("key", "V16"), ("check", "V8"), ("tokens", "<i4"), ("flags", "u1")])
"""One entry: text key, checksum over key, tokens, flags and vector, tokens of the text, flags."""
TRUNCATED, UNKNOWN, BLANK = 1, 2, 4
"""Flags of a text: cut at the token limit; all tokens unknown; no token of its own."""
INDEX_SUFFIX = ".index.npy"
VECTORS_SUFFIX = ".vectors.npy"
ROW_BITS = 32
"""Place of an entry: shard number << 32 | row."""
SMALL_ROWS, MANY_SHARDS, MERGED_ROWS = 4096, 64, 65536
"""When a cache is opened with ``MANY_SHARDS`` shards of fewer than ``SMALL_ROWS`` texts, they are merged."""


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
    limit
        Bytes that the caches of all encoders in ``folder`` may take together, the oldest shards go first; None: any.

    Attributes
    ----------
    damaged
        Shards and entries that were found damaged and ignored so far.
    """

    def __init__(self, folder: Path, identity: str, dim: int, limit: int | None = None) -> None:
        self.folder = Path(folder) / hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        self.dim = dim
        self.damaged = 0
        self._limit = limit
        self._identity = identity
        self._index = KeyIndex()
        self._shards: list[Path] = []
        self._rows: list[int] = []
        self._lock = threading.Lock()  # the next window is looked up while this one is stored
        self._next = 1
        for index in sorted(self.folder.glob(f"*{INDEX_SUFFIX}")):
            self._next = max(self._next, int(index.name[:8]) + 1) if index.name[:8].isdigit() else self._next
            self._open(index)
        self._merge_small_shards()
        self._keep_limit()

    def __len__(self) -> int:
        return sum(self._rows)

    def look_up(self, keys: NDArray[np.void]) -> tuple[NDArray[np.bool_], Entries]:
        """Find texts by key.

        Parameters
        ----------
        keys
            V16 [texts], as :func:`uicgpu.encode.texts.distinct_texts` gives them.

        Returns
        -------
        found
            bool [texts].
        entries
            Of all texts; rows that were not found are zero.
        """
        found, entries = nothing_found(len(keys), self.dim)
        with self._lock:
            places = self._index.find(keys)
        shards, rows = places >> ROW_BITS, places & (2**ROW_BITS - 1)
        for shard in np.unique(shards[places >= 0]).tolist():
            self._read(self._shards[shard], np.flatnonzero((places >= 0) & (shards == shard)), rows, found, entries)
        return found, entries

    def _read(
        self,
        path: Path,
        texts: NDArray[np.int64],
        rows: NDArray[np.int64],
        found: NDArray[np.bool_],
        entries: Entries,
    ) -> None:
        """Fill in ``texts`` from their rows of one shard; the files are open only meanwhile, so memory stays flat."""
        try:
            index, vectors = _load(path, self.dim)
            index, vectors = index[rows[texts]], vectors[rows[texts]]
        except FileNotFoundError:  # another process merged this shard into a larger one
            return
        except Exception:  # damaged since it was opened; see _open
            self.damaged += 1
            return
        for place, text in enumerate(texts.tolist()):
            entry, vector = index[place], vectors[place]
            if entry["check"].tobytes() != _checksum(entry["key"], entry["tokens"], entry["flags"], vector):
                self.damaged += 1
                continue
            entries.vectors[text], entries.tokens[text], entries.flags[text] = vector, entry["tokens"], entry["flags"]
            found[text] = True

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
        self._keep_limit()

    def _open(self, path: Path) -> None:
        try:
            index, _ = _load(path, self.dim)
        except Exception:  # a damaged header makes NumPy's parser raise many kinds; the shard is counted and left out
            self.damaged += 1
            return
        with self._lock:
            self._index.add(index["key"], (len(self._shards) << ROW_BITS) + np.arange(len(index), dtype=np.int64))
            self._shards.append(path)
            self._rows.append(len(index))

    def _keep_limit(self) -> None:
        if self._limit is None:
            return
        gone = set(drop_oldest(self.folder.parent, self._limit, INDEX_SUFFIX, VECTORS_SUFFIX))
        self._rows = [0 if path in gone else rows for path, rows in zip(self._shards, self._rows, strict=True)]

    def _merge_small_shards(self) -> None:
        """Turn many small shards, as many small calls leave them, into few large ones.

        The merged shard is complete before the small ones go; a kill between the two leaves both, which is harmless.
        """
        small = [shard for shard, rows in enumerate(self._rows) if rows < SMALL_ROWS]
        if len(small) < MANY_SHARDS:
            return
        waiting: list[int] = []
        for shard in small:
            waiting.append(shard)
            if sum(self._rows[one] for one in waiting) >= MERGED_ROWS or shard == small[-1]:
                try:
                    self._merge(waiting)
                except OSError:  # a read-only or full disk: the small shards serve as well
                    return
                waiting = []

    def _merge(self, shards: list[int]) -> None:
        keys = []
        for shard in shards:
            try:
                keys.append(np.array(_load(self._shards[shard], self.dim)[0]["key"]))
            except (OSError, ValueError):
                continue  # gone or damaged since it was opened
        wanted = np.unique(np.concatenate(keys).view("S16")).view("V16") if keys else np.zeros(0, "V16")
        found, entries = self.look_up(wanted)  # checks every entry: damage is not carried along
        self.add(wanted[found], Entries(entries.vectors[found], entries.tokens[found], entries.flags[found]))
        for shard in shards:
            self._rows[shard] = 0
            for path in (self._shards[shard], vectors_of(self._shards[shard])):
                path.unlink(missing_ok=True)


def vectors_of(index: Path) -> Path:
    """Return the file of a shard's vectors, beside its index."""
    return index.with_name(index.name.removesuffix(INDEX_SUFFIX) + VECTORS_SUFFIX)


def _load(path: Path, dim: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Map a shard into memory; ValueError when its two files do not fit together or have another dimension."""
    index = np.load(path, mmap_mode="r", allow_pickle=False)
    vectors = np.load(vectors_of(path), mmap_mode="r", allow_pickle=False)
    if index.dtype != INDEX_DTYPE or vectors.dtype != np.float32 or vectors.shape != (*index.shape, dim):
        raise ValueError(f"{path.name} and its vectors do not fit together")
    return index, vectors


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
