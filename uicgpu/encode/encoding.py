"""One pass over windows of texts: look up, tokenise, run the network, store, count.

On a GPU the next windows are looked up and tokenised while the device works on this one; a small network would wait
for its tokeniser otherwise. On a CPU both need the same processor, and tokenising is below 2 % of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.batches import Tokens
from uicgpu.encode.cache import BLANK, TRUNCATED, UNKNOWN, Entries, VectorCache, nothing_found
from uicgpu.encode.key_index import KeyIndex
from uicgpu.encode.loaded import LoadedModel
from uicgpu.encode.speed import Speed
from uicgpu.encode.windows import Window, ahead

COUNTS = ("texts", "distinct", "tokens", "truncated", "chunked", "unknown_texts", "empty_texts", "cache_hits")
"""What a pass counts; all but ``texts`` over distinct texts."""


@dataclass
class Prepared:
    """A window with what the cache knows of it, and the tokens of the rest.

    Attributes
    ----------
    found
        bool [texts]: the cache had it.
    entries
        Of all texts; vectors of missing ones are still to come.
    missing
        int64: positions of the texts that were not found.
    tokens
        Of the missing texts, or of their pieces; None when nothing is missing.
    owners
        int64 [pieces]: position in ``missing`` of each piece.
    """

    window: Window
    found: NDArray[np.bool_]
    entries: Entries
    missing: NDArray[np.int64]
    tokens: Tokens | None
    owners: NDArray[np.int64]


class EncodingPass:
    """Turns windows into unit vectors.

    Parameters
    ----------
    loaded
        The encoder.
    cache
        Where vectors are kept, or None.
    speed
        Counts what is finished.
    advance
        Called with the number of finished input rows.
    warn
        Told what the user should know.

    Attributes
    ----------
    counts
        See :data:`COUNTS`; a text that comes again in a later window is counted once.
    encoded_tokens
        Tokens that went into the network.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        cache: VectorCache | None,
        speed: Speed,
        advance: Callable[[int], None] | None,
        warn: Callable[[str], None],
    ) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self.encoded_tokens = 0
        self._loaded = loaded
        self._cache = cache
        self._speed = speed
        self._advance = advance or (lambda _: None)
        self._warn = warn
        self._seen = KeyIndex(np.int8)

    @property
    def cache(self) -> VectorCache | None:
        """The cache, None after it could not be written."""
        return self._cache

    def run(self, windows: Iterable[Window]) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """Yield each window with the unit vectors of its texts, float32 [texts, dim]."""
        prepared: Iterable[Prepared] = map(self._prepare, windows)
        if self._loaded.kind != "cpu":
            prepared = ahead(prepared)
        for one in prepared:
            yield one.window, self._finish(one)
        self._speed.finish()

    def _prepare(self, window: Window) -> Prepared:
        texts = window.texts
        if self._cache is None:
            found, entries = nothing_found(len(texts), self._loaded.model.dim)
        else:
            found, entries = self._cache.look_up(window.keys)
        missing = np.flatnonzero(~found)
        if not len(missing):
            return Prepared(window, found, entries, missing, None, missing)
        wanted = [texts[row] for row in missing.tolist()]
        if self._loaded.model.long_texts == "chunk":
            tokens, owners = self._loaded.tokenizer.tokenise_in_pieces(wanted)
        else:
            tokens, owners = self._loaded.tokenizer.tokenise(wanted), np.arange(len(wanted), dtype=np.int64)
        entries.tokens[missing] = np.bincount(owners, tokens.lengths, len(wanted)).astype(np.int32)
        entries.flags[missing] = _flags(tokens, owners)
        return Prepared(window, found, entries, missing, tokens, owners)

    def _finish(self, prepared: Prepared) -> NDArray[np.float32]:
        window, found, entries, missing = prepared.window, prepared.found, prepared.entries, prepared.missing
        repeats = window.repeats
        hits = int(repeats[found].sum())
        self._speed.cache_hits += hits
        self._done(hits)
        if prepared.tokens is not None:
            entries.vectors[missing] = self._embed(prepared.tokens, prepared.owners, repeats[missing])
            self._store(window.keys[missing], entries, missing)
        self._count(window, entries, found)
        return unit_rows(entries.vectors)

    def _embed(self, tokens: Tokens, owners: NDArray[np.int64], repeats: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of the texts that ``owners`` names: of their only piece, or the mean of their pieces."""
        first = np.concatenate([[True], owners[1:] != owners[:-1]])
        rows = np.where(first, repeats[owners], 0)  # a text is finished once, with its first piece
        engine = self._loaded.engine
        others = engine.computed_tokens - self._speed.computed_tokens  # what former passes computed

        def finished(pieces: NDArray[np.int64]) -> None:
            self._speed.computed_tokens = engine.computed_tokens - others
            self._speed.tokens += int(np.where(tokens.blank[pieces], 0, tokens.lengths[pieces]).sum())
            self._done(int(rows[pieces].sum()))

        vectors = engine.embed(tokens, finished)
        self.encoded_tokens += int(tokens.lengths[~tokens.blank].sum())
        if len(repeats) == len(owners):
            return vectors
        return _mean_of_pieces(vectors, tokens, owners)

    def _store(self, keys: NDArray[np.void], entries: Entries, rows: NDArray[np.int64]) -> None:
        if self._cache is None:
            return
        try:
            self._cache.add(keys, Entries(entries.vectors[rows], entries.tokens[rows], entries.flags[rows]))
        except OSError as error:
            # the vectors are there; losing the run for the cache's sake would be worse than doing without
            self._warn(f"the vector cache at {self._cache.folder} cannot be written: {error.strerror}")
            self._cache = None

    def _done(self, rows: int) -> None:
        if rows:
            self._speed.texts += rows
            self._advance(rows)

    def _count(self, window: Window, entries: Entries, found: NDArray[np.bool_]) -> None:
        new = self._seen.find(window.keys) < 0
        self._seen.add(window.keys[new], np.zeros(int(new.sum()), dtype=np.int64))
        flags = entries.flags[new]
        chunks = self._loaded.model.long_texts == "chunk"
        counted = {
            "texts": len(window.inverse),
            "distinct": int(new.sum()),
            "tokens": int(entries.tokens[new].sum()),
            "chunked" if chunks else "truncated": int(np.count_nonzero(flags & TRUNCATED)),
            "unknown_texts": int(np.count_nonzero(flags & UNKNOWN)),
            "empty_texts": int(np.count_nonzero(flags & BLANK)),
            "cache_hits": int(found[new].sum()),
        }
        for name, count in counted.items():
            self.counts[name] += count


def _flags(tokens: Tokens, owners: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Flags of the texts: long if one piece says so, unknown or blank if all pieces are."""
    starts = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    flags = (
        np.logical_or.reduceat(tokens.truncated, starts) * TRUNCATED
        + np.logical_and.reduceat(tokens.unknown | tokens.blank, starts) * UNKNOWN
        + np.logical_and.reduceat(tokens.blank, starts) * (BLANK - UNKNOWN)
    )
    packed: NDArray[np.uint8] = flags.astype(np.uint8)
    return packed


def _mean_of_pieces(vectors: NDArray[np.float32], tokens: Tokens, owners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return per text the mean of its pieces' unit vectors, weighted by their tokens, summed in float64."""
    weights = np.where(tokens.blank, 0, tokens.lengths).astype(np.float64)
    pieces = unit_rows(vectors).astype(np.float64) * weights[:, None]
    starts = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    sums = np.add.reduceat(pieces, starts)
    totals = np.maximum(np.add.reduceat(weights, starts), 1.0)
    means: NDArray[np.float32] = (sums / totals[:, None]).astype(np.float32)
    # a text of one piece keeps its vector as the network gave it, so that it does not depend on its company
    alone = np.diff(np.append(starts, len(owners))) == 1
    means[alone] = vectors[starts[alone]]
    return means


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length 1, norms in float64; rows of zeros stay zero. Each row's bytes depend on that row alone.

    >>> unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32)).round(3).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    wide = vectors.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    norms[norms == 0] = 1
    unit: NDArray[np.float32] = (wide / norms[:, None]).astype(np.float32)
    return unit
