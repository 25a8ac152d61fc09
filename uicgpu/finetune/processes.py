"""Several processes that train one encoder: each runs its share of the packs, sums go round by accelerate.

Every process draws the same batches, computes the same loss on the vectors of all packs, and takes the same step; what
is shared is the forward and backward pass of the packs. One process writes and speaks.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor

from uicgpu.errors import MissingExtraError


class Processes:
    """One process among those that train together.

    Parameters
    ----------
    rank, size
        Number of this process, and how many there are.
    device
        The device of this process; None leaves the choice to the settings.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: str | None = None) -> None:
        self.rank = rank
        self.size = size
        self.device = device

    @property
    def main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Return which of ``count`` packs this process runs."""
        return range(self.rank, count, self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of the tensor over all processes, the same in each."""
        if self.size == 1:
            return tensor
        from accelerate.utils import reduce

        total: Tensor = reduce(tensor, reduction="sum")
        return total

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Put the sum of the gradients into every process; a parameter that no process used keeps none."""
        if self.size == 1:
            return
        held = list(parameters)
        used = torch.tensor([float(value.grad is not None) for value in held], device=held[0].device)
        flat = [(torch.zeros_like(value) if value.grad is None else value.grad).flatten() for value in held]
        total = self.sum(torch.cat([*flat, used]))
        *sums, used = torch.split(total, [*(value.numel() for value in held), len(held)])
        for value, part, count in zip(held, sums, used.tolist(), strict=True):
            value.grad = part.view_as(value).clone() if count else None

    def wait(self) -> None:
        """Return when every process is here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


ALONE: Final = Processes()


def several_processes(*, cpu: bool) -> Processes:
    """Return the processes that ``accelerate launch`` or ``torchrun`` started; :data:`ALONE` for one.

    Parameters
    ----------
    cpu
        Whether training is to stay on the CPU (gloo); else each process takes its own GPU (nccl).

    Raises
    ------
    MissingExtraError
        Several processes were started and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) < 2:
        return ALONE
    if importlib.util.find_spec("accelerate") is None:
        raise MissingExtraError(
            "several processes need the package accelerate to train together", fix="pip install 'uicgpu[train]'"
        )
    from accelerate import PartialState

    state: Any = PartialState(cpu=cpu)
    return Processes(state.process_index, state.num_processes, None if cpu else str(state.device))
