"""An encoder whose weights can move: packs of tokens forward with gradient, on the packed path of the encode room.

A block is cut into packs that the texts alone decide. Packs run in threads with one BLAS thread each, and their
gradients are added in the order of the packs, so the result does not depend on the number of threads. Where the
activations of a whole block do not fit into memory, packs are run twice (gradient caching, Gao et al. 2021): once
without gradient for the loss, once more, pack by pack, to carry its gradient to the weights. Where not even a pack
fits, layers are run again (:func:`uicgpu.finetune.layers.recompute_layers`). The result is the same in every case.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uicgpu.backends.probe import knows_bf16
from uicgpu.encode.attention import first_position, layout_of
from uicgpu.encode.batches import Tokens, cut_packs, padded_length
from uicgpu.encode.engine import load_network
from uicgpu.encode.folders import Model
from uicgpu.encode.language import load_tokenizer
from uicgpu.finetune.layers import layer_count, recompute_layers
from uicgpu.finetune.processes import ALONE, Processes

LossOf = Callable[[Tensor], Tensor]
"""From the unit vectors of a block [B, dim] to a loss."""

TRAIN_TOKENS: Final = 64
"""Tokens per text in training; encoding uses the model's own limit."""
PACK_TOKENS: Final = 1024
"""Tokens per pack in training."""
ENCODE_TOKENS: Final = 8192
ACTIVATIONS_PER_LAYER: Final = 24
"""Floats that autograd keeps per token, layer and hidden unit, roughly (attention, feed-forward, norms)."""


class TrainableEncoder:
    """A network, the tokens of a catalogue, and a step.

    Parameters
    ----------
    model
        The base encoder.
    texts
        The distinct texts; rows everywhere below are positions in it.
    device
        torch device.
    threads
        Worker threads on the CPU; no effect on the result.
    memory
        Bytes that activations may take before gradient caching sets in.
    adapt
        Changes the network before training (LoRA); default: every weight trains.
    processes
        Those that train together; each runs its share of the packs.
    """

    def __init__(
        self,
        model: Model,
        texts: list[str],
        device: str = "cpu",
        threads: int = 1,
        memory: int = 2 * 2**30,
        adapt: Callable[[torch.nn.Module], torch.nn.Module] | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.model = model
        self.device = device
        self.threads = threads if device == "cpu" else 1
        self.memory = memory
        self.processes = processes
        self._half = device != "cpu" and knows_bf16()
        network = load_network(model, device, "float32")
        self._first_position = first_position(network)
        self._padding_id = int(getattr(network.config, "pad_token_id", None) or 0)
        self.network = adapt(network) if adapt is not None else network.requires_grad_(True)
        if self._layer_bytes(PACK_TOKENS) > memory:
            recompute_layers(self.network)
        self.network.eval()  # dropout off: the recipe was measured so, and a step can be repeated exactly
        short = dataclasses.replace(model, max_tokens=min(TRAIN_TOKENS, model.max_tokens))
        self._short = load_tokenizer(short).tokenise(texts)
        self._full = load_tokenizer(model).tokenise(texts)

    def parameters(self) -> dict[str, Tensor]:
        """Return the tensors that train, by name."""
        return {name: value for name, value in self.network.named_parameters() if value.requires_grad}

    def tokens(self, rows: NDArray[np.int64]) -> int:
        """Training tokens of the texts."""
        return int(self._short.lengths[rows].sum())

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Training tokens of each text, int64 [n]."""
        return self._short.lengths[rows]

    def token_ids(self, rows: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """Training token ids of each text."""
        offsets = self._short.offsets
        return [self._short.ids[offsets[row] : offsets[row + 1]] for row in rows]

    def mask_token(self) -> int | None:
        """Id of the tokeniser's mask token, None where it has none."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.model.folder / "tokenizer.json"))
        found = [tokenizer.token_to_id(name) for name in ("[MASK]", "<mask>")]
        return next((token for token in found if token is not None), None)

    def hidden(self, rows: NDArray[np.int64], ids: NDArray[np.int64]) -> Tensor:
        """Token vectors [tokens, dim] of the texts, longest first, whose token ids ``ids`` replaces; with gradient."""
        lengths = self._short.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        none = np.zeros(rows.size, np.bool_)
        tokens = Tokens(ids.astype(np.int32), offsets, none, none, none)
        with self._autocast():
            return self._hidden(tokens, np.arange(rows.size))

    def activation_bytes(self, rows: NDArray[np.int64]) -> int:
        """Bytes that autograd keeps for the texts, roughly."""
        return self._layer_bytes(self.tokens(rows))

    def _layer_bytes(self, tokens: int) -> int:
        return tokens * layer_count(self.network) * self.model.dim * ACTIVATIONS_PER_LAYER * 4

    def step(self, rows: NDArray[np.int64], loss_of: LossOf, cached: bool | None = None) -> float:
        """Put the gradient of ``loss_of(unit vectors of rows)`` into the parameters; return the loss.

        Parameters
        ----------
        rows
            int64 [B].
        loss_of
            The loss.
        cached
            Gradient caching; default: where the activations do not fit into the memory budget.
        """
        if cached is None:
            cached = self.activation_bytes(rows) > self.memory
        packs = cut_packs(self._short.lengths[rows], PACK_TOKENS, padded=not self.model.family.packed)
        names = self.parameters()
        with self._pool() as each, self._autocast():
            mine = self.processes.mine(len(packs))
            pooled = each(lambda place: self._pooled(self._short, rows[packs[place]]), mine, not cached)
            outputs = dict(zip(mine, pooled, strict=True))
            leaf = torch.zeros((rows.size, self.model.dim), device=self.device)
            for place, output in outputs.items():
                leaf[torch.from_numpy(packs[place]).to(self.device)] = output.detach()
            leaf = self.processes.sum(leaf).requires_grad_(True)
            loss = loss_of(functional.normalize(leaf, dim=1, eps=1e-6))
            (slope,) = torch.autograd.grad(loss, leaf)

            def carry(place: int) -> tuple[Tensor | None, ...]:
                output = self._pooled(self._short, rows[packs[place]]) if cached else outputs[place]
                along = slope[torch.from_numpy(packs[place]).to(self.device)]
                return torch.autograd.grad(output, list(names.values()), along, allow_unused=True)

            for parameter in names.values():
                parameter.grad = None
            for gradients in each(carry, mine, True):
                for parameter, gradient in zip(names.values(), gradients, strict=True):
                    if gradient is not None:
                        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
            self.processes.sum_gradients(names.values())
        return float(loss.detach())

    def vectors(self, rows: NDArray[np.int64], advance: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Return the unit vectors of the texts at the model's own token limit, float32 [n, dim], without gradient."""
        packs = cut_packs(self._full.lengths[rows], ENCODE_TOKENS, padded=not self.model.family.packed)
        result = np.zeros((rows.size, self.model.dim), np.float32)

        def work(pack: NDArray[np.int64]) -> NDArray[np.int64]:
            with torch.no_grad():
                pooled = functional.normalize(self._pooled(self._full, rows[pack]), dim=1, eps=1e-6)
            result[pack] = pooled.cpu().numpy()
            return pack

        with self._pool() as each, self._autocast():
            for pack in each(work, [packs[place] for place in self.processes.mine(len(packs))], False):
                if advance is not None:
                    advance(len(pack) * self.processes.size)
        if self.processes.size > 1:
            result = self.processes.sum(torch.from_numpy(result).to(self.device)).cpu().numpy()
        result[self._full.blank[rows]] = 0
        return result

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Return unit vectors of any texts, float32 [n, dim], with the weights as they are now."""
        own, self._full = self._full, load_tokenizer(self.model).tokenise(texts)
        try:
            return self.vectors(np.arange(len(texts)))
        finally:
            self._full = own

    def _pooled(self, tokens: Tokens, rows: NDArray[np.int64]) -> Tensor:
        """Pooled vectors [n, dim] float32 of one pack, longest text first, not normalised."""
        hidden = self._hidden(tokens, rows)
        lengths = tokens.lengths[rows]
        parts, first, start = [], 0, 0
        for stop in [*(np.flatnonzero(np.diff(lengths)) + 1), lengths.size]:
            length, texts = int(lengths[start]), int(stop) - start
            run = hidden[first : first + texts * length].view(texts, length, -1)
            parts.append(_pool(run, self.model.pooling))
            first, start = first + texts * length, int(stop)
        return torch.cat(parts)

    def _hidden(self, tokens: Tokens, rows: NDArray[np.int64]) -> Tensor:
        """Token vectors [tokens, dim] of texts end to end; equal lengths lie side by side."""
        lengths = tokens.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        ids = tokens.ids[np.repeat(tokens.offsets[rows], lengths) + within].astype(np.int64)
        if not self.model.family.packed:
            mask = np.arange(padded_length(int(lengths.max()))) < lengths[:, None]
            square = np.full(mask.shape, self._padding_id, np.int64)
            square[mask] = ids
            hidden = self._forward(input_ids=self._put(square), attention_mask=self._put(mask.astype(np.int64)))
            return hidden[torch.from_numpy(mask).to(self.device)]
        # The fused kernel for variable lengths works in half precision only, which autocast gives on a GPU.
        layout = layout_of(lengths, self.device if self._half else None)
        positions = self._put((within + self._first_position)[None])
        hidden = self._forward(input_ids=self._put(ids[None]), position_ids=positions, pack_layout=layout)[0]
        if layout.calls == 0:
            raise RuntimeError(f"architecture {self.model.architecture} went past the packed attention")
        return hidden

    def _put(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _forward(self, **inputs: Any) -> Tensor:
        if hasattr(self.network.config, "use_cache"):
            inputs["use_cache"] = False
        hidden: Tensor = self.network(**inputs).last_hidden_state
        return hidden

    def _autocast(self) -> Any:
        """bf16 on devices that have it, fp32 elsewhere; the weights stay fp32 everywhere.

        fp16 is left out: its gradients underflow without loss scaling.
        """
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16) if self._half else nullcontext()

    @contextmanager
    def _pool(self) -> Iterator[Callable[..., Any]]:
        """Yield an ordered map over packs, in threads with one BLAS thread each."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        pool = None
        if self.threads > 1:
            pool = ThreadPoolExecutor(self.threads, "train", initializer=torch.set_num_threads, initargs=(1,))

        def each(work: Callable[[Any], Any], parts: Any, gradient: bool) -> Any:
            def with_mode(part: Any) -> Any:
                # the gradient mode belongs to a thread
                with torch.set_grad_enabled(gradient):
                    return work(part)

            return map(with_mode, parts) if pool is None else pool.map(with_mode, parts)

        try:
            yield each
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


def _pool(hidden: Tensor, pooling: str) -> Tensor:
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "last":
        return hidden[:, -1].float()
    return hidden.float().mean(1)
