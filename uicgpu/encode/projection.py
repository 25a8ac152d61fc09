"""What stands behind pooling: the dense layers of a sentence-transformers folder, and the cut to fewer dimensions.

Always float32, whatever the format of the network's weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from uicgpu.encode.layout import DenseLayer
from uicgpu.errors import InputError

LEAST_ROWS = 64
"""Fewer rows are filled up: products of a handful of rows use other kernels, whose last bits differ."""
ACTIVATIONS = {"identity": lambda values: values, "tanh": torch.tanh, "relu": torch.relu, "gelu": functional.gelu}


class Projection:
    """Maps pooled vectors to the model's vectors.

    Parameters
    ----------
    layers
        Dense layers, in order.
    dim
        Values that are kept of each vector.
    device
        torch device of the vectors.

    Raises
    ------
    InputError
        A layer's file is damaged or does not have the shape that its configuration says.
    """

    def __init__(self, layers: Sequence[DenseLayer], dim: int, device: str) -> None:
        self._dim = dim
        self._layers = [(*_read(layer, device), ACTIVATIONS[layer.activation]) for layer in layers]

    def __call__(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return float32 [texts, dim] for pooled vectors float32 [texts, hidden]."""
        rows = pooled.shape[0]
        if self._layers and rows < LEAST_ROWS:
            pooled = torch.cat([pooled, pooled.new_zeros((LEAST_ROWS - rows, pooled.shape[1]))])
        for weight, bias, activation in self._layers:
            pooled = activation(functional.linear(pooled, weight, bias))
        return pooled[:rows, : self._dim]


def _read(layer: DenseLayer, device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    from safetensors.torch import load_file

    try:
        tensors = load_file(layer.weights)
    except Exception as error:  # the Rust library raises its own kind
        raise InputError(f"the dense layer cannot be read: {error}", where=str(layer.weights)) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected: dict[str, tuple[int, ...]] = {"linear.weight": (layer.outputs, layer.inputs)}
    if layer.bias:
        expected["linear.bias"] = (layer.outputs,)
    if shapes != expected:
        raise InputError(f"the dense layer holds {shapes}, expected {expected}", where=str(layer.weights))
    found = [tensors[name].float().to(device) for name in expected]
    return found[0], found[1] if layer.bias else None
