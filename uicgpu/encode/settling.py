"""Which model, on which device, in which format: settled when an encoder is made, or by the first texts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from uicgpu.encode.cache import vector_cache_folder
from uicgpu.encode.encoding import COUNTS
from uicgpu.encode.folders import LongTexts
from uicgpu.encode.language import choose_model
from uicgpu.encode.loaded import LoadedModel
from uicgpu.encode.models import Model, find_model
from uicgpu.errors import SettingsError


class Settling:
    """What an encoder was asked for, what it settled on, and what it can say about that.

    The parameters are those of :class:`uicgpu.encode.encoder.Encoder`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "auto",
        device: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        batch_tokens: int | None = None,
        max_tokens: int | None = None,
        *,
        dtype: str = "auto",
        prompt: str | None = None,
        dim: int | None = None,
        long_texts: LongTexts = "cut",
        cache_limit: int | None = None,
        guard: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        limits = {"batch_tokens": (batch_tokens, 1), "threads": (threads, 1), "max_tokens": (max_tokens, 8)}
        for name, (value, least) in (limits | {"dim": (dim, 1), "cache_limit": (cache_limit, 0)}).items():
            if value is not None and value < least:
                raise SettingsError(f"impossible {name} of an encoder: {value}", fix=f"{name} is {least} or more")
        if long_texts not in get_args(LongTexts):
            raise SettingsError(f"unknown treatment of long texts: {long_texts!r}", fix="use cut or chunk")
        self.message = ""
        self.warnings: list[str] = []
        self._requested = os.fspath(model)
        self._device = device
        self._say = say or (lambda _: None)
        self._cache_folder = None if cache is None else Path(cache).expanduser()
        if cache == "default":
            self._cache_folder = vector_cache_folder()
        self._cache_limit = cache_limit
        self._threads = threads or len(os.sched_getaffinity(0))
        self._batch_tokens = batch_tokens
        self._dtype = dtype
        self._dim = dim
        self._changes: dict[str, Any] = {"long_texts": long_texts}
        if prompt is not None:
            self._changes["prompt"] = prompt
        self._max_tokens = max_tokens
        self._guard = guard
        self._loaded: LoadedModel | None = None
        self._encoded_tokens = 0
        self._counts = dict.fromkeys(COUNTS, 0)
        if self._requested != "auto":
            self._settle(find_model(self._requested))

    @property
    def loaded(self) -> LoadedModel:
        """The encoder in use with device and number format.

        Raises
        ------
        SettingsError
            With ``auto`` before the first :meth:`encode`.
        """
        if self._loaded is None:
            raise SettingsError(
                "the encoder is chosen by the first texts", fix="call encode(texts) first, or name a model"
            )
        return self._loaded

    @property
    def model(self) -> Model:
        """The encoder in use; an error with ``auto`` before the first :meth:`encode`."""
        return self.loaded.model

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self.model.dim

    def get_sentence_embedding_dimension(self) -> int:
        """Return :attr:`dim`, under the name that users of sentence-transformers call."""
        return self.dim

    @property
    def identity(self) -> str:
        """A string that changes whenever the vectors could."""
        return self.loaded.identity

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
            "long_texts": model.long_texts,
            "dtype": self.loaded.dtype,
            "message": self.message,
            **self._counts,
        }

    @property
    def work(self) -> dict[str, Any]:
        """What was computed by this encoder, which depends on what the cache already had.

        ``tokens`` went in, ``computed_tokens`` through the network; ``padding`` is their ratio.
        """
        computed = self._loaded.computed_tokens if self._loaded is not None else 0
        return {
            "tokens": self._encoded_tokens,
            "computed_tokens": computed,
            "padding": computed / self._encoded_tokens if self._encoded_tokens else 1.0,
            "cache_hits": self._counts["cache_hits"],
            "cache_damaged": self._loaded.damaged if self._loaded is not None else 0,
            "warnings": list(self.warnings),
        }

    def _choose(self, texts: Sequence[str] | Callable[[], Sequence[str]]) -> None:
        if self.message:
            return
        sample = texts() if callable(texts) else texts
        chosen, self.message = choose_model(self._requested, sample, self._guard)
        self._say(self.message)
        if self._loaded is None:
            self._settle(chosen)

    def _warn(self, line: str) -> None:
        self.warnings.append(line)
        self._say(line)

    def _settle(self, model: Model) -> None:
        """Fix model, device and number format."""
        changes = dict(self._changes)
        if self._max_tokens is not None:
            changes["max_tokens"] = min(self._max_tokens, model.max_tokens)
        model = dataclasses.replace(model, **changes)
        if self._dim is not None:
            model = model.cut_to(self._dim)
        self._loaded = LoadedModel(model, self._device, self._dtype, self._threads, self._batch_tokens)
        if self._loaded.warning:
            self._warn(self._loaded.warning)
