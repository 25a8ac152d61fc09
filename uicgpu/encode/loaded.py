"""One encoder with its device and number format: tokeniser, network and cache, each loaded when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from uicgpu.encode.batches import TextTokenizer
from uicgpu.encode.cache import VectorCache
from uicgpu.encode.language import load_tokenizer
from uicgpu.encode.models import VECTORS_VERSION, Model
from uicgpu.encode.number_format import choose_dtype

if TYPE_CHECKING:
    from uicgpu.encode.engine import Engine


class LoadedModel:
    """An encoder settled on a device.

    Parameters
    ----------
    model
        Which encoder, with prompt, limits and dimension as asked for.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    dtype
        ``auto`` or a number format.
    threads
        Worker threads on the CPU.
    batch_tokens
        Tokens per pack, or None.

    Attributes
    ----------
    device, dtype
        As settled.
    warning
        About the number format, or None.

    Raises
    ------
    MissingDeviceError
        The device does not answer.
    """

    def __init__(self, model: Model, device: str, dtype: str, threads: int, batch_tokens: int | None) -> None:
        self.model = model
        self.device = "cpu"
        self._threads = threads
        self._batch_tokens = batch_tokens
        self._release: Callable[[], None] | None = None
        if device != "cpu":
            from uicgpu.backends import choose_backend

            backend = choose_backend(device, threads)
            self.device, self._release = backend.device, backend.release
        self.dtype, self.warning = choose_dtype(dtype, self.device, model.trained_dtype)
        self._tokenizer: TextTokenizer | None = None
        self._engine: Engine | None = None
        self._caches: dict[Path, VectorCache] = {}

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.device.partition(":")[0]

    @property
    def identity(self) -> str:
        """A string that changes whenever the vectors could."""
        return f"{self.model.identity}/{self.dtype}/{self.kind}/vectors {VECTORS_VERSION}"

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokeniser, with prompt and limit."""
        if self._tokenizer is None:
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if self.kind == "cpu" else "true")
            self._tokenizer = load_tokenizer(self.model)
        return self._tokenizer

    @property
    def engine(self) -> Engine:
        """The network, ready to run."""
        if self._engine is None:
            from uicgpu.encode.engine import Engine

            self._engine = Engine(self.model, self.device, self.dtype, self._threads, self._batch_tokens, self._release)
        return self._engine

    @property
    def computed_tokens(self) -> int:
        """Tokens that went through the network so far, padding included."""
        return 0 if self._engine is None else self._engine.computed_tokens

    def cache(self, folder: Path, limit: int | None = None) -> VectorCache:
        """Return this encoder's cache in ``folder``, kept under ``limit`` bytes."""
        if folder not in self._caches:
            self._caches[folder] = VectorCache(folder, self.identity, self.model.dim, limit)
        return self._caches[folder]

    def forget_cache(self, folder: Path) -> None:
        """Close the cache in ``folder``, which is about to go."""
        self._caches.pop(folder, None)

    @property
    def damaged(self) -> int:
        """Shards and entries of its caches that were damaged and ignored."""
        return sum(cache.damaged for cache in self._caches.values())
