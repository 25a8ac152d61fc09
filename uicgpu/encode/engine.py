"""Runs an encoder over packs of tokens and pools token vectors into text vectors.

The packs are fixed by the texts; threads only take them from a queue, each with one BLAS thread, so the bytes of the
result do not depend on the number of threads. A pack of very few tokens is filled up with copies of its last text:
matrix products of a handful of rows use other kernels, and then a text's vector would depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uicgpu.encode.attention import first_position, layout_of
from uicgpu.encode.batches import PADDED_MULTIPLE, Tokens, cut_packs, padded_length
from uicgpu.encode.folders import Model
from uicgpu.encode.network import load_network as load_network
from uicgpu.encode.prepacked import can_prepack, prepack
from uicgpu.encode.projection import Projection
from uicgpu.errors import InputError, OutOfResourcesError, UicError

LEAST_PACK_TOKENS = 64
"""Shorter packs are filled up to this many tokens."""
CPU_PACK_TOKENS = 1024
"""Tokens per pack on a CPU: what lies between two matrix products then stays in the processor's cache. Measured
(MiniLM, AVX2): packs of 512 to 4096 tokens take 11 to 14 % less processor time than packs of 8192."""
GPU_PACK_TOKENS = 65536
"""Tokens per pack on a GPU, where a pack must be large enough to hide the start of its kernels (estimated)."""


class Engine:
    """A loaded encoder.

    Parameters
    ----------
    model
        Which encoder.
    device
        torch device: ``cpu`` or ``cuda:0``.
    dtype
        ``float32``, ``float16`` or ``bfloat16``.
    threads
        Worker threads on the CPU; no effect on the result.
    batch_tokens
        Tokens per pack; default: :data:`CPU_PACK_TOKENS` or :data:`GPU_PACK_TOKENS`.
    release
        Gives cached device memory back, called after an allocation failed.
    prepacked
        Pack the linear layers' weights for the processor; default: where that was measured to pay.

    Attributes
    ----------
    network
        The loaded torch module.
    computed_tokens
        Tokens that went through the network so far, padding included.
    """

    def __init__(
        self,
        model: Model,
        device: str = "cpu",
        dtype: str = "float32",
        threads: int = 1,
        batch_tokens: int | None = None,
        release: Callable[[], None] | None = None,
        prepacked: bool | None = None,
    ) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.threads = threads if device == "cpu" else 1
        self.packed = model.family.packed
        self.computed_tokens = 0
        self._release = release
        self._budget = batch_tokens or (CPU_PACK_TOKENS if device == "cpu" else GPU_PACK_TOKENS)
        self._multiple = 1 if device == "cpu" else PADDED_MULTIPLE
        self.network = load_network(model, device, dtype)
        if can_prepack(device, dtype) if prepacked is None else prepacked:
            prepack(self.network)
        self._projection = Projection(model.dense, model.dim, device)
        self._first_position = first_position(self.network)
        self._layers = int(getattr(self.network.config, "num_hidden_layers", 1))
        self._padding_id = int(getattr(self.network.config, "pad_token_id", None) or 0)
        varlen = device != "cpu" and dtype != "float32"
        self._varlen_device = device if varlen else None

    def embed(self, tokens: Tokens, finished: Callable[[NDArray[np.int64]], None] | None = None) -> NDArray[np.float32]:
        """Return the pooled vector of each text, float32 [texts, dim], not normalised; blank texts are zero.

        Parameters
        ----------
        tokens
            The texts.
        finished
            Called in this thread with the positions of the texts of each finished pack.

        Raises
        ------
        OutOfResourcesError
            When a single text does not fit into memory.
        InputError
            When the model gives values that are not finite.
        """
        vectors = np.zeros((len(tokens.lengths), self.model.dim), dtype=np.float32)
        told = np.flatnonzero(~tokens.blank)
        packs = [told[pack] for pack in self._cut(tokens.lengths[told])]

        def work(pack: NDArray[np.int64]) -> NDArray[np.int64]:
            if int(tokens.lengths[pack].sum()) <= self._budget:
                vectors[pack] = self._embed_or_halve(tokens, pack)
            else:  # the budget shrank after the packs were cut, or one text is longer than it
                for part in self._cut(tokens.lengths[pack]):
                    vectors[pack[part]] = self._embed_or_halve(tokens, pack[part])
            return pack

        if finished is not None:
            finished(np.flatnonzero(tokens.blank))
        with _one_blas_thread():
            for pack in self._each(work, packs):
                if finished is not None:
                    finished(pack)
        if not np.isfinite(vectors).all():
            raise InputError(
                f"encoder {self.model.name} gives values that are not finite in {self.dtype}",
                where=str(self.model.folder),
                fix="try --dtype float32, or check the weights",
            )
        return vectors

    def _cut(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return cut_packs(lengths, self._budget, padded=not self.packed, multiple=self._multiple)

    def _each(
        self, work: Callable[[NDArray[np.int64]], NDArray[np.int64]], packs: list[NDArray[np.int64]]
    ) -> Iterator[NDArray[np.int64]]:
        if self.threads == 1 or len(packs) == 1:
            yield from map(work, packs)
            return
        pool = ThreadPoolExecutor(self.threads, "encode", initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield from pool.map(work, packs)
        finally:
            pool.shutdown(cancel_futures=True)

    def _embed_or_halve(self, tokens: Tokens, pack: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            return self._embed_packed(tokens, pack) if self.packed else self._embed_padded(tokens, pack)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(pack) == 1:
                raise OutOfResourcesError(
                    f"one text of {int(tokens.lengths[pack[0]])} tokens does not fit into memory",
                    where=f"encoder {self.model.name} on {self.device}",
                    fix="pass a smaller --max-tokens",
                ) from error
        if self._release is not None:
            self._release()
        lengths = tokens.lengths[pack]
        asked = int(lengths.sum()) if self.packed else int(lengths.max()) * len(pack)
        self._budget = min(self._budget, max(LEAST_PACK_TOKENS, asked // 2))
        parts = self._cut(lengths)  # a pack is sorted by length, so its parts lie in its order
        if len(parts) == 1:
            parts = np.array_split(np.arange(len(pack)), 2)
        return np.concatenate([self._embed_or_halve(tokens, pack[part]) for part in parts])

    def _embed_packed(self, tokens: Tokens, pack: NDArray[np.int64]) -> NDArray[np.float32]:
        lengths = tokens.lengths[pack]
        fill = -(-max(0, LEAST_PACK_TOKENS - int(lengths.sum())) // int(lengths[-1]))
        rows = np.concatenate([pack, np.repeat(pack[-1:], fill)])
        lengths = tokens.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        ids = tokens.ids[np.repeat(tokens.offsets[rows], lengths) + within]
        layout = layout_of(lengths, self._varlen_device)
        with torch.inference_mode():
            hidden = self._forward(
                input_ids=self._on_device(ids.astype(np.int64)[None]),
                position_ids=self._on_device((within + self._first_position)[None]),
                pack_layout=layout,
            )[0]
            if layout.calls < self._layers:
                raise UicError(
                    f"architecture {self.model.architecture} went past the packed attention "
                    f"({layout.calls} of {self._layers} layers used it)",
                    where=str(self.model.folder),
                )
            pooled = torch.cat(
                [
                    _pool(hidden[first : first + texts * length].view(texts, length, -1), self.model.pooling)
                    for first, texts, length in layout.groups
                ]
            )
            self.computed_tokens += layout.tokens
            return self._projection(pooled[: len(pack)]).cpu().numpy()

    def _embed_padded(self, tokens: Tokens, pack: NDArray[np.int64]) -> NDArray[np.float32]:
        lengths = tokens.lengths[pack]
        width = padded_length(int(lengths.max()), self._multiple)
        ids = np.full((len(pack), width), self._padding_id, dtype=np.int64)
        mask = np.arange(width) < lengths[:, None]
        for row, text in enumerate(pack):
            ids[row, : lengths[row]] = tokens.ids[tokens.offsets[text] : tokens.offsets[text + 1]]
        with torch.inference_mode():
            hidden = self._forward(
                input_ids=self._on_device(ids), attention_mask=self._on_device(mask.astype(np.int64))
            )
            pooled = torch.cat(
                [_pool(hidden[row : row + 1, : int(length)], self.model.pooling) for row, length in enumerate(lengths)]
            )
            self.computed_tokens += ids.size
            return self._projection(pooled).cpu().numpy()

    def _forward(self, **inputs: Any) -> torch.Tensor:
        if hasattr(self.network.config, "use_cache"):
            inputs["use_cache"] = False
        hidden: torch.Tensor = self.network(**inputs).last_hidden_state
        return hidden

    def _on_device(self, array: NDArray[np.int64]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)


def _pool(hidden: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool [texts, tokens, dim] to float32 [texts, dim]."""
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "last":
        return hidden[:, -1].float()
    return hidden.float().sum(1) / hidden.shape[1]


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_out_of_memory(error: BaseException) -> bool:
    told = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in told for words in ("out of memory", "can't allocate memory")
    )
