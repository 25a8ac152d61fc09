"""Attention inside texts only, over a pack of texts laid end to end: no padding token is ever computed.

A pack is one row of T tokens. Which tokens belong together travels with the forward call as a :class:`PackLayout`;
without it the attention function refuses to run, because silent attention across texts would be the worst failure.
The model itself is the unmodified Hugging Face one: the function is registered with ``transformers``'
``AttentionInterface``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PACKED_ATTENTION = "uicgpu_packed"
"""Name under which the attention function is registered."""


@dataclass
class PackLayout:
    """Where the texts of a pack lie.

    Attributes
    ----------
    groups
        (first token, number of texts, tokens per text) of each run of equally long texts, in the order of the pack.
    tokens
        Length of the pack.
    boundaries
        int32 [texts + 1] on the device, cumulative lengths; only for kernels that take variable lengths.
    calls
        Number of attention calls that used this layout: 0 after a forward means that the model went past us.
    """

    groups: tuple[tuple[int, int, int], ...]
    tokens: int
    boundaries: Tensor | None = None
    calls: int = 0


def layout_of(lengths: NDArray[np.int64], varlen_device: str | None = None) -> PackLayout:
    """Return the layout of a pack whose texts have ``lengths`` tokens, equal lengths lying side by side.

    Parameters
    ----------
    lengths
        Tokens per text, int64 [texts], each at least 1.
    varlen_device
        Device for ``boundaries``; None leaves them out.
    """
    changes = np.flatnonzero(np.diff(lengths)) + 1
    starts = np.concatenate([[0], changes])
    counts = np.diff(np.concatenate([starts, [len(lengths)]]))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    groups = tuple(
        (int(offsets[start]), int(count), int(lengths[start])) for start, count in zip(starts, counts, strict=True)
    )
    boundaries = None
    if varlen_device is not None:
        boundaries = torch.from_numpy(offsets.astype(np.int32)).to(varlen_device)
    return PackLayout(groups, int(offsets[-1]), boundaries)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    pack_layout: PackLayout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of a packed row, text by text (signature of ``AttentionInterface``).

    Parameters
    ----------
    query
        [1, heads, T, head dim].
    key, value
        [1, heads or fewer, T, head dim] (grouped-query attention repeats them).
    attention_mask
        Must be None: the layout is the mask.
    sliding_window
        Tokens i and j of a text see each other if ``|i - j| < sliding_window``; None is no window.
    is_causal
        None asks the module.
    pack_layout
        Where the texts lie.

    Returns
    -------
    tuple
        Output [1, T, heads, head dim], and None for the attention weights.

    Raises
    ------
    RuntimeError
        Without a layout, with a mask, or with a layout of another length.
    """
    if pack_layout is None or attention_mask is not None:
        raise RuntimeError("packed attention needs a pack layout and no mask: texts would see each other")
    if query.shape[0] != 1 or query.shape[2] != pack_layout.tokens:
        raise RuntimeError(f"pack layout of {pack_layout.tokens} tokens does not fit a query of {tuple(query.shape)}")
    pack_layout.calls += 1
    causal = bool(module.is_causal if is_causal is None else is_causal)
    if pack_layout.boundaries is not None:
        return _attend_varlen(query, key, value, scaling, sliding_window, causal, pack_layout), None
    heads, size = query.shape[1], query.shape[3]
    output = query.new_empty((pack_layout.tokens, heads, size))
    for first, texts, length in pack_layout.groups:
        rows = slice(first, first + texts * length)
        window = sliding_window if sliding_window is not None and length > sliding_window else None
        mask = None if window is None else _window_mask(length, window, causal, query.device)
        attended = functional.scaled_dot_product_attention(
            _texts_of(query, rows, texts),
            _texts_of(key, rows, texts),
            _texts_of(value, rows, texts),
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=causal and mask is None,
            scale=scaling,
            enable_gqa=key.shape[1] != heads,
        )
        output[rows].view(texts, length, heads, size).copy_(attended.transpose(1, 2))
    return output.unsqueeze(0), None


def _texts_of(part: Tensor, rows: slice, texts: int) -> Tensor:
    """View a run of equally long texts as [texts, heads, length, head dim]."""
    run = part[0, :, rows]
    return run.view(run.shape[0], texts, -1, run.shape[2]).transpose(0, 1)


def _window_mask(length: int, window: int, causal: bool, device: torch.device) -> Tensor:
    position = torch.arange(length, device=device)
    distance = position[:, None] - position[None, :]
    near = distance.abs() < window
    return near & (distance >= 0) if causal else near


def _attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    sliding_window: int | None,
    causal: bool,
    layout: PackLayout,
) -> Tensor:
    """Half precision on a GPU: one fused kernel for the whole pack. Not executed on a GPU by this project so far."""
    from torch.nn.attention.varlen import varlen_attn

    assert layout.boundaries is not None
    longest = max(length for _, _, length in layout.groups)
    reach = -1 if sliding_window is None else sliding_window - 1
    attended = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1).contiguous(),
        value[0].transpose(0, 1).contiguous(),
        layout.boundaries,
        layout.boundaries,
        longest,
        longest,
        scale=scaling,
        window_size=(reach, 0 if causal else reach),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(attended, Tensor)  # a tuple only when asked for more
    return attended.unsqueeze(0)


def _no_mask(*_: Any, **__: Any) -> None:
    """Mask function of packed models: the layout does the work."""
    return None


def register_packed_attention() -> None:
    """Make ``attn_implementation=PACKED_ATTENTION`` known to transformers (may be called again)."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)


def first_position(model: torch.nn.Module) -> int:
    """Return the position id of a text's first token: ``padding_idx + 1`` in the RoBERTa family, else 0."""
    for module in model.modules():
        padding = getattr(module, "padding_idx", None)
        table = getattr(module, "position_embeddings", None)
        if isinstance(padding, int) and isinstance(table, torch.nn.Embedding):
            return padding + 1
    return 0
