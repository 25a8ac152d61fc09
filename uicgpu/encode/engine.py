"""Runs an encoder over packs of tokens and pools token vectors into text vectors.

The packs are fixed by the texts; threads only take them from a queue, each with one BLAS thread, so the bytes of the
result do not depend on the number of threads. A pack of very few tokens is filled up with copies of its last text:
matrix products of a handful of rows use other kernels, and then a text's vector would depend on its neighbours.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uicgpu.encode.attention import PACKED_ATTENTION, first_position, layout_of, register_packed_attention
from uicgpu.encode.batches import Tokens, cut_packs, padded_length
from uicgpu.encode.folders import Model
from uicgpu.errors import InputError, OutOfResourcesError, UicError

LEAST_PACK_TOKENS = 64
"""Shorter packs are filled up to this many tokens."""
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


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
        Tokens per pack.
    release
        Gives cached device memory back, called after an allocation failed.

    Attributes
    ----------
    computed_tokens
        Tokens that went through the network so far, padding included.
    """

    def __init__(
        self,
        model: Model,
        device: str = "cpu",
        dtype: str = "float32",
        threads: int = 1,
        batch_tokens: int = 8192,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.threads = threads if device == "cpu" else 1
        self.packed = model.family.packed
        self.computed_tokens = 0
        self._release = release
        self._budget = batch_tokens
        self._network = load_network(model, device, dtype)
        self._first_position = first_position(self._network)
        self._layers = int(getattr(self._network.config, "num_hidden_layers", 1))
        self._padding_id = int(getattr(self._network.config, "pad_token_id", None) or 0)
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
        packs = [told[pack] for pack in cut_packs(tokens.lengths[told], self._budget, padded=not self.packed)]

        def work(pack: NDArray[np.int64]) -> NDArray[np.int64]:
            vectors[pack] = self._embed_or_halve(tokens, pack)
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
        self._budget = max(64, self._budget // 2)
        half = len(pack) // 2
        return np.concatenate([self._embed_or_halve(tokens, pack[:half]), self._embed_or_halve(tokens, pack[half:])])

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
            return pooled[: len(pack)].cpu().numpy()

    def _embed_padded(self, tokens: Tokens, pack: NDArray[np.int64]) -> NDArray[np.float32]:
        lengths = tokens.lengths[pack]
        width = padded_length(int(lengths.max()))
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
            return pooled.cpu().numpy()

    def _forward(self, **inputs: Any) -> torch.Tensor:
        if hasattr(self._network.config, "use_cache"):
            inputs["use_cache"] = False
        hidden: torch.Tensor = self._network(**inputs).last_hidden_state
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


def load_network(model: Model, device: str, dtype: str) -> torch.nn.Module:
    """Load the network of a checked folder, in evaluation mode.

    Raises
    ------
    InputError
        When the weights do not fit the configuration or cannot be read.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers

    register_packed_attention()
    family = model.family
    extra: dict[str, Any] = {"add_pooling_layer": False} if family.pooler else {}
    if family.packed:
        extra["attn_implementation"] = PACKED_ATTENTION
    try:
        with _quiet_transformers():
            network, found = getattr(transformers, family.network).from_pretrained(
                str(model.folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=DTYPES[dtype],
                output_loading_info=True,
                **extra,
            )
    except Exception as error:  # the library and its Rust parts raise many kinds for damaged files
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"encoder {model.name} cannot be loaded: {reason[0]}", where=str(model.folder), fix="fetch the model again"
        ) from error
    lost = sorted(found["missing_keys"]) + sorted(str(key) for key in found.get("mismatched_keys") or ())
    if lost:
        raise InputError(
            f"the weights of encoder {model.name} lack {len(lost)} tensors, for example {lost[0]}",
            where=str(model.folder),
            fix="fetch the model again",
        )
    network = network.to(device).eval()
    if not isinstance(network, torch.nn.Module):
        raise UicError(f"{family.network} is not a torch module")
    return network.requires_grad_(False)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar and no advice from transformers while it loads."""
    from transformers.utils import logging as chatter

    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(logging.CRITICAL)
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()


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
