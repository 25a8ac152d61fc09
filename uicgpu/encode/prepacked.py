"""Linear layers whose weights are laid out once for the processor's matrix unit, bias and GELU in the same pass.

On processors with AVX-512, oneDNN's product with weights packed beforehand is faster than the one that torch calls for
an ordinary layer, and what follows the product is applied while the result is still in registers. Without AVX-512 it
was measured slower, so such processors keep the ordinary layers. The network stays the one of transformers: only its
linear layers are replaced, each by one that computes the same function.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

PACK_ROWS = 1024
"""Rows per product that the layout is made for; other numbers give the same values."""


class PrepackedLinear(nn.Module):
    """A linear layer with packed weights, optionally followed by the exact GELU; float32, CPU, inference only.

    Parameters
    ----------
    layer
        float32 weights [out, in] and bias [out] or None.
    gelu
        Apply GELU (erf form) to the result.

    Attributes
    ----------
    in_features, out_features
        As of the layer.
    """

    def __init__(self, layer: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        self._after = "gelu" if gelu else "none"
        self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), PACK_ROWS)

    def forward(self, rows: Tensor) -> Tensor:
        """Return float32 [..., out] for float32 [..., in]."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self.bias, self._after, [], "none")
        return result


def can_prepack(device: str, dtype: str) -> bool:
    """Whether packed weights pay: float32 on a CPU for which torch uses AVX-512, with oneDNN in this build of torch."""
    return (
        device == "cpu"
        and dtype == "float32"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def prepack(network: nn.Module) -> int:
    """Replace the linear layers of a network in place; returns how many.

    Parameters
    ----------
    network
        In evaluation mode, float32, on the CPU. Where a block of it applies the exact GELU right behind a layer (the
        ``intermediate`` blocks of the BERT family), the layer does that as well.
    """
    with torch.inference_mode():
        return _prepack(network)


def _prepack(network: nn.Module) -> int:
    replaced = 0
    for block in list(network.modules()):
        fused = isinstance(getattr(block, "dense", None), nn.Linear) and _is_exact_gelu(
            getattr(block, "intermediate_act_fn", None)
        )
        for name, child in list(block.named_children()):
            if type(child) is nn.Linear:
                setattr(block, name, PrepackedLinear(child, gelu=fused and name == "dense"))
                replaced += 1
        if fused:
            block.intermediate_act_fn = nn.Identity()
    return replaced


def _is_exact_gelu(function: object) -> bool:
    """Whether it is transformers' module around torch's own GELU; its tanh forms are other functions."""
    return type(function).__name__ == "GELUActivation" and getattr(function, "act", None) is functional.gelu
