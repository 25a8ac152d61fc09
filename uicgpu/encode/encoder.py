"""The encoder that the rest of the product, and users of the library, call: texts in, vectors out."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.encoding import EncodingPass
from uicgpu.encode.language import SAMPLE_TEXTS
from uicgpu.encode.settling import Settling
from uicgpu.encode.speed import Speed, progress_bar
from uicgpu.encode.texts import distinct_texts, sample_texts
from uicgpu.encode.vector_file import VectorFormat, vector_file
from uicgpu.encode.windows import GPU_WINDOWS, Window, cut, stream
from uicgpu.errors import SettingsError

if TYPE_CHECKING:
    from uicgpu.settings import Settings

CHARACTERS_THAT_COUNT = 16
"""Of a text that is cut, so many characters per token can matter."""


class Encoder(Settling):
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
        Tokens per pack; default: 1024 on a CPU, 65536 on a GPU.
    max_tokens
        Limit per text; default: the model's own. Longer texts are cut and counted.
    dtype
        ``auto``, ``float32``, ``float16`` or ``bfloat16``.
    prompt
        Replaces the model's own prompt.
    dim
        Keep so many values of each vector; only for models that were trained for it.
    long_texts
        What happens to texts longer than ``max_tokens``: ``cut`` (counted as truncated), or ``chunk``: the mean of the
        vectors of their pieces, weighted by tokens (counted as chunked).
    cache_limit
        Bytes that the vector caches of all encoders in the folder may take; the oldest vectors go first. Default: any.
    guard
        False lets a named model through although it does not know the language of the texts.
    say
        Told :attr:`message` and each of :attr:`warnings` when they arise, and how fast long work goes.

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

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        device: str | None = None,
        cache: str | os.PathLike[str] | None = "default",
        say: Callable[[str], None] | None = None,
    ) -> Encoder:
        """Return the encoder that a run's settings ask for.

        Parameters
        ----------
        device
            Replaces ``settings.device``.
        """
        return cls(
            settings.model,
            device=device or settings.device,
            cache=cache,
            threads=settings.threads,
            batch_tokens=settings.batch_tokens,
            max_tokens=settings.max_tokens,
            dtype=settings.dtype,
            prompt=settings.prompt,
            dim=settings.dim,
            long_texts=settings.long_texts,
            cache_limit=settings.cache_limit,
            say=say,
        )

    def encode(
        self,
        texts: str | Iterable[object],
        advance: Callable[[int], None] | None = None,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        normalize_embeddings: bool | None = None,
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
        batch_size
            Accepted for callers of sentence-transformers and without effect: packs are cut by tokens.
        show_progress_bar
            Show one on stderr.
        convert_to_numpy, normalize_embeddings
            Accepted for callers of sentence-transformers; vectors are NumPy arrays of unit rows.

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
        SettingsError
            Tensors were asked for, or vectors of a length other than 1 from a model that has them.
        """
        if not convert_to_numpy:
            raise SettingsError("vectors are NumPy arrays", fix="use torch.from_numpy(encoder.encode(texts))")
        if isinstance(texts, str):
            row: NDArray[np.float32] = self.encode([texts], advance, normalize_embeddings=normalize_embeddings)[0]
            return row
        given = texts if isinstance(texts, Sequence) else list(texts)
        distinct, inverse, keys = distinct_texts(given)
        self._choose(distinct[: 2 * SAMPLE_TEXTS])  # in hash order, so this is a sample
        if normalize_embeddings is False and not self.model.normalise:
            raise SettingsError(
                "the vectors have length 1, and this model's own have not", fix="leave normalize_embeddings out"
            )
        repeats = np.bincount(inverse, minlength=len(distinct))
        vectors = np.zeros((len(distinct), self.dim), dtype=np.float32)
        slices = list(cut((len(text) for text in distinct), self._most_characters, self._window_size))
        windows = (
            Window(distinct[part], keys[part], np.repeat(np.arange(part.stop - part.start), repeats[part]))
            for part in slices
        )
        bar = progress_bar(len(given)) if show_progress_bar else contextlib.nullcontext(advance)
        with bar as told, self._begin(self._cache_folder, len(given), told) as encoding:
            for part, (_, rows) in zip(slices, encoding.run(windows), strict=True):
                vectors[part] = rows
        return vectors[inverse]

    def encode_to(
        self,
        path: str | os.PathLike[str],
        texts: Iterable[object],
        advance: Callable[[int], None] | None = None,
        *,
        dtype: VectorFormat = "float32",
        total: int | None = None,
    ) -> int:
        """Write the unit vector of each text to a ``.npy`` file, in memory that does not grow with the texts.

        What is finished survives a kill: the cache, or without one a folder of shards beside the file, holds the
        vectors of every finished window, and the same call goes on from there. The file itself appears when it is
        complete. Open it with ``numpy.load(path, mmap_mode="r")``.

        Parameters
        ----------
        path
            The file.
        texts
            Texts, read once and in order; with ``auto`` the model is chosen by a sample of all of them if they are a
            sequence, by the first ones otherwise.
        advance
            Called with the number of texts finished since the last call.
        dtype
            ``float32`` or ``float16`` (half the size; the ten nearest neighbours stay the same).
        total
            Number of texts for the time left, if they are not a sequence.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        OutOfResourcesError
            The disk is full, or one text alone does not fit into memory.
        InputError, MissingExtraError, MissingDeviceError
            As :meth:`encode`.
        """
        if dtype not in get_args(VectorFormat):
            raise SettingsError(f"unknown format of vectors: {dtype!r}", fix="use float32 or float16")
        place = Path(path)
        if isinstance(texts, str):
            texts = [texts]
        if isinstance(texts, Sequence):
            total = len(texts)
            self._choose(lambda: sample_texts(texts, 2 * SAMPLE_TEXTS))
        windows = stream(texts, self._most_characters, self._window_size)
        first = next(windows, None)
        self._choose(list(first.texts)[: 2 * SAMPLE_TEXTS] if first is not None else [])
        shards = self._cache_folder or place.with_name(f".{place.name}.shards")
        with (
            self._begin(shards, total, advance) as encoding,
            vector_file(place, self.dim, dtype) as file,
        ):
            for window, rows in encoding.run(_chain(first, windows)):
                file.append(rows[window.inverse])
        if self._cache_folder is None:
            self.loaded.forget_cache(shards)
            shutil.rmtree(shards, ignore_errors=True)
        return file.rows

    @property
    def _window_size(self) -> int:
        on_gpu = self._loaded.kind != "cpu" if self._loaded is not None else self._device.startswith("cuda")
        return GPU_WINDOWS if on_gpu else 1

    @property
    def _most_characters(self) -> int:
        """What of a text counts for the size of a window."""
        if self._changes["long_texts"] == "chunk" or self._loaded is None:
            return 2**62
        return CHARACTERS_THAT_COUNT * self.model.max_tokens

    @contextlib.contextmanager
    def _begin(
        self, folder: Path | None, total: int | None, advance: Callable[[int], None] | None
    ) -> Iterator[EncodingPass]:
        """Begin a pass; its counts become the encoder's when it ends well."""
        # shards beside a vector file are unfinished work, which no limit may drop
        limit = self._cache_limit if folder == self._cache_folder else None
        cache = self.loaded.cache(folder, limit) if folder is not None else None
        encoding = EncodingPass(self.loaded, cache, Speed(total, self._say), advance, self._warn)
        yield encoding
        if cache is not None and encoding.cache is None and folder == self._cache_folder:
            self._cache_folder = None  # it cannot be written
        self._encoded_tokens += encoding.encoded_tokens
        for name, count in encoding.counts.items():
            self._counts[name] += count


def _chain(first: Window | None, rest: Iterable[Window]) -> Iterator[Window]:
    if first is not None:
        yield first
    yield from rest
