"""The encoder that the rest of the product, and users of the library, call: texts in, vectors out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.batches import TextTokenizer, Tokens, distinct_texts
from uicgpu.encode.cache import BLANK, TRUNCATED, UNKNOWN, Entries, VectorCache, nothing_found, vector_cache_folder
from uicgpu.encode.language import SAMPLE_TEXTS, choose_model, load_tokenizer
from uicgpu.encode.models import VECTORS_VERSION, Model, find_model
from uicgpu.encode.number_format import choose_dtype
from uicgpu.errors import SettingsError

if TYPE_CHECKING:
    from uicgpu.encode.engine import Engine

WINDOW_TEXTS = 16384
WINDOW_CHARACTERS = 2**20
"""Distinct texts that are tokenised, encoded and stored together (whichever is reached first): what a kill can lose."""


class Encoder:
    """Turns texts into unit vectors; each distinct text is encoded once, and with a cache once ever.

    Parameters
    ----------
    model
        ``auto`` (``minilm`` for English, ``multilingual`` for everything else, chosen by the texts of the first
        :meth:`encode`), ``minilm``, ``multilingual``, a folder, or a hub id.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    cache
        Folder of the vector cache; ``default`` is :func:`uicgpu.encode.vector_cache_folder`; None keeps nothing.
    threads
        Worker threads on the CPU; default: those this process may use. The vectors do not depend on it.
    batch_tokens
        Tokens per pack.
    max_tokens
        Limit per text; default: the model's own. Longer texts are cut and counted.
    dtype
        ``auto``, ``float32``, ``float16`` or ``bfloat16``.
    prompt
        Replaces the model's own prompt.
    guard
        False lets a named model through although it does not know the language of the texts.
    say
        Told :attr:`message` and each of :attr:`warnings` when they arise.

    Attributes
    ----------
    message
        One line on why this model was chosen; empty before the choice.
    warnings
        What the user should know: a slow number format, a cache that cannot be written.

    Examples
    --------
    >>> from uicgpu.encode import Encoder
    >>> vectors = Encoder("minilm", device="cpu").encode(["a red bicycle", "a crimson bike", ""])
    >>> vectors.shape, float(vectors[0] @ vectors[1]) > 0.6, float(abs(vectors[2]).sum())
    ((3, 384), True, 0.0)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "auto",
        device: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        batch_tokens: int = 8192,
        max_tokens: int | None = None,
        *,
        dtype: str = "auto",
        prompt: str | None = None,
        guard: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if batch_tokens < 1 or (threads is not None and threads < 1) or (max_tokens is not None and max_tokens < 8):
            raise SettingsError(
                f"impossible encoder settings: batch_tokens {batch_tokens}, threads {threads}, max_tokens {max_tokens}",
                fix="batch_tokens and threads are 1 or more, max_tokens 8 or more",
            )
        self.message = ""
        self.warnings: list[str] = []
        self._requested = os.fspath(model)
        self._device = device
        self._say = say or (lambda _: None)
        self._cache_folder = None if cache is None else Path(cache).expanduser()
        if cache == "default":
            self._cache_folder = vector_cache_folder()
        self._threads = threads or len(os.sched_getaffinity(0))
        self._batch_tokens = batch_tokens
        self._max_tokens = max_tokens
        self._wanted_dtype = dtype
        self._prompt = prompt
        self._guard = guard
        self._model: Model | None = None
        self._dtype = ""
        self._torch_device = ""
        self._release: Callable[[], None] | None = None
        self._tokenizer: TextTokenizer | None = None
        self._engine: Engine | None = None
        self._cache: VectorCache | None = None
        self._encoded_tokens = 0
        self._counts = dict.fromkeys(
            (
                "texts",
                "distinct",
                "tokens",
                "truncated",
                "unknown_texts",
                "empty_texts",
                "cache_hits",
            ),
            0,
        )
        if self._requested != "auto":
            self._settle(find_model(self._requested))

    @property
    def model(self) -> Model:
        """The encoder in use.

        Raises
        ------
        SettingsError
            With ``auto`` before the first :meth:`encode`.
        """
        if self._model is None:
            raise SettingsError(
                "the encoder is chosen by the first texts", fix="call encode(texts) first, or name a model"
            )
        return self._model

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self.model.dim

    @property
    def identity(self) -> str:
        """A string that changes whenever the vectors could."""
        return f"{self.model.identity}/{self._dtype}/{self._kind}/vectors {VECTORS_VERSION}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the vectors are: model, hashes, counts of texts and tokens; and how many texts the cache gave.

        Everything but ``cache_hits`` depends on the texts and settings alone.
        """
        model = self.model
        return {
            "model": model.name,
            "architecture": model.architecture,
            "weights_sha256": model.weights_sha256,
            "dim": model.dim,
            "pooling": model.pooling,
            "prompt": model.prompt,
            "max_tokens": model.max_tokens,
            "dtype": self._dtype,
            "message": self.message,
            **self._counts,
        }

    @property
    def work(self) -> dict[str, Any]:
        """What was computed by this encoder, which depends on what the cache already had.

        ``tokens`` went in, ``computed_tokens`` through the network; ``padding`` is their ratio.
        """
        computed = self._engine.computed_tokens if self._engine is not None else 0
        return {
            "tokens": self._encoded_tokens,
            "computed_tokens": computed,
            "padding": computed / self._encoded_tokens if self._encoded_tokens else 1.0,
            "cache_hits": self._counts["cache_hits"],
            "cache_damaged": self._cache.damaged if self._cache is not None else 0,
            "warnings": list(self.warnings),
        }

    def encode(
        self, texts: str | Iterable[object], advance: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return the unit vector of each text.

        Missing texts (None, NaN), blank ones and those whose characters the tokeniser drops get the zero vector: no
        information, never NaN. They are counted in :attr:`facts`, as are texts of unknown tokens only.

        Parameters
        ----------
        texts
            Texts; one text alone gives one vector.
        advance
            Called with the number of input texts finished since the last call.

        Returns
        -------
        ndarray
            float32 [texts, dim], or [dim] for one text.

        Raises
        ------
        InputError
            A text is not a text, or the model does not know the language of the texts.
        MissingExtraError
            The model's package is not installed.
        MissingDeviceError
            The device does not answer.
        OutOfResourcesError
            One text alone does not fit into memory.
        """
        if isinstance(texts, str):
            row: NDArray[np.float32] = self.encode([texts], advance)[0]
            return row
        given = texts if isinstance(texts, Sequence) else list(texts)
        distinct, inverse, keys = distinct_texts(given)
        self._choose(distinct[: 2 * SAMPLE_TEXTS])  # in hash order, so this is a sample
        repeats = np.bincount(inverse, minlength=len(distinct))
        vectors = np.zeros((len(distinct), self.dim), dtype=np.float32)
        for window in _windows(distinct, 16 * self.model.max_tokens):
            self._encode_window(distinct[window], keys[window], vectors[window], repeats[window], advance)
        self._counts["texts"] += len(given)
        self._counts["distinct"] += len(distinct)
        return vectors[inverse]

    def _encode_window(
        self,
        texts: list[str],
        keys: NDArray[np.void],
        vectors: NDArray[np.float32],
        repeats: NDArray[np.int64],
        advance: Callable[[int], None] | None,
    ) -> None:
        """Fill ``vectors`` with the unit vectors of distinct texts."""
        cache = self._open_cache()
        found, entries = cache.look_up(keys) if cache is not None else nothing_found(len(texts), self.dim)
        missing = np.flatnonzero(~found)
        if advance is not None and len(missing) < len(texts):
            advance(int(repeats[found].sum()))
        if len(missing):
            tokens = self._load_tokenizer().tokenise([texts[row] for row in missing])
            entries.tokens[missing] = tokens.lengths
            entries.flags[missing] = _flags(tokens)

            def finished(rows: NDArray[np.int64]) -> None:
                if advance is not None:
                    advance(int(repeats[missing[rows]].sum()))

            entries.vectors[missing] = self._load_engine().embed(tokens, finished)
            self._encoded_tokens += int(tokens.lengths[~tokens.blank].sum())
            if cache is not None:
                self._store(cache, keys[missing], entries, missing)
        vectors[:] = unit_rows(entries.vectors)
        self._count(entries, found)

    def _store(self, cache: VectorCache, keys: NDArray[np.void], entries: Entries, rows: NDArray[np.int64]) -> None:
        try:
            cache.add(keys, Entries(entries.vectors[rows], entries.tokens[rows], entries.flags[rows]))
        except OSError as error:
            # the vectors are there; losing the run for the cache's sake would be worse than doing without
            self._warn(f"the vector cache at {cache.folder} cannot be written: {error.strerror}")
            self._cache_folder = None
            self._cache = None

    def _count(self, entries: Entries, found: NDArray[np.bool_]) -> None:
        self._counts["tokens"] += int(entries.tokens.sum())
        self._counts["cache_hits"] += int(found.sum())
        for name, flag in (("truncated", TRUNCATED), ("unknown_texts", UNKNOWN), ("empty_texts", BLANK)):
            self._counts[name] += int(np.count_nonzero(entries.flags & flag))

    def _choose(self, texts: Sequence[str]) -> None:
        if self.message:
            return
        chosen, self.message = choose_model(self._requested, texts, self._guard)
        self._say(self.message)
        if self._model is None:
            self._settle(chosen)

    def _warn(self, line: str) -> None:
        self.warnings.append(line)
        self._say(line)

    def _settle(self, model: Model) -> None:
        """Fix model, device and number format."""
        changes: dict[str, Any] = {}
        if self._max_tokens is not None:
            changes["max_tokens"] = min(self._max_tokens, model.max_tokens)
        if self._prompt is not None:
            changes["prompt"] = self._prompt
        self._model = dataclasses.replace(model, **changes)
        self._torch_device, self._release = "cpu", None
        if self._device != "cpu":
            from uicgpu.backends import choose_backend

            backend = choose_backend(self._device, self._threads)
            self._torch_device, self._release = backend.device, backend.release
        self._dtype, warning = choose_dtype(self._wanted_dtype, self._torch_device, model.trained_dtype)
        if warning:
            self._warn(warning)

    @property
    def _kind(self) -> str:
        return self._torch_device.partition(":")[0]

    def _open_cache(self) -> VectorCache | None:
        if self._cache is None and self._cache_folder is not None:
            self._cache = VectorCache(self._cache_folder, self.identity, self.dim)
        return self._cache

    def _load_tokenizer(self) -> TextTokenizer:
        if self._tokenizer is None:
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if self._kind == "cpu" else "true")
            self._tokenizer = load_tokenizer(self.model)
        return self._tokenizer

    def _load_engine(self) -> Engine:
        if self._engine is None:
            from uicgpu.encode.engine import Engine

            self._engine = Engine(
                self.model, self._torch_device, self._dtype, self._threads, self._batch_tokens, self._release
            )
        return self._engine


def _flags(tokens: Tokens) -> NDArray[np.uint8]:
    flags = tokens.truncated * TRUNCATED + tokens.unknown * UNKNOWN + tokens.blank * BLANK
    packed: NDArray[np.uint8] = flags.astype(np.uint8)
    return packed


def _windows(texts: Sequence[str], characters_per_text: int) -> Iterator[slice]:
    """Cut texts into windows by their number and their characters (a text counts at most what can be encoded of it)."""
    start, characters = 0, 0
    for position, text in enumerate(texts):
        characters += min(len(text), characters_per_text)
        if characters >= WINDOW_CHARACTERS or position + 1 - start >= WINDOW_TEXTS:
            yield slice(start, position + 1)
            start, characters = position + 1, 0
    if start < len(texts):
        yield slice(start, len(texts))


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
