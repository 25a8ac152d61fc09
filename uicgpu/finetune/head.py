"""The cheap arm: a linear residual head on frozen vectors, ``y = unit(x + W x)`` with W zero at the start."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uicgpu.finetune.network import LossOf
from uicgpu.finetune.ranking_map import Affine
from uicgpu.finetune.schedule import Schedule

HEAD_SCHEDULE: Final = Schedule(
    steps=300, block=512, learning_rate=1e-3, weight_decay=0.0, clip=None, warm_up=0.05, evaluate_every=30
)


class LinearHead:
    """W [dim, dim] over fixed unit vectors; trains like an encoder, a hundred times cheaper.

    Parameters
    ----------
    inputs
        float32 [texts, dim], unit rows: half-whitened and centred frozen vectors.
    """

    def __init__(self, inputs: NDArray[np.float32]) -> None:
        self._inputs = torch.from_numpy(np.ascontiguousarray(inputs))
        self.weight = torch.zeros((inputs.shape[1], inputs.shape[1]), requires_grad=True)

    def parameters(self) -> dict[str, Tensor]:
        """Return the tensors that train, by name."""
        return {"weight": self.weight}

    def step(self, rows: NDArray[np.int64], loss_of: LossOf) -> float:
        """Put the gradient of the loss into the weight; return the loss."""
        self.weight.grad = None
        with torch.enable_grad():
            loss = loss_of(self._moved(rows))
            loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the moved unit vectors, float32 [n, dim]."""
        with torch.no_grad():
            moved: NDArray[np.float32] = self._moved(rows).numpy()
        return moved

    def _moved(self, rows: NDArray[np.int64]) -> Tensor:
        x = self._inputs[torch.from_numpy(rows)]
        return functional.normalize(x + x @ self.weight.T, dim=1, eps=1e-6)

    def affine(self) -> Affine:
        """Return the head as ``x -> (I + W) x``."""
        weight = self.weight.detach().numpy() + np.eye(self.weight.shape[0], dtype=np.float32)
        return Affine(weight.astype(np.float32), np.zeros(weight.shape[0], np.float32))
