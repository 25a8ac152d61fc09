"""Low-rank adapters by peft: few weights train, then they are folded in, so that nobody needs peft to load."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from uicgpu.errors import MissingExtraError
from uicgpu.randomness import seed_of


def low_rank(rank: int, seed: int) -> Callable[[torch.nn.Module], torch.nn.Module]:
    """Return what puts adapters of ``rank`` on every linear layer of a network and freezes the rest.

    Parameters
    ----------
    rank
        Rank of each adapter; its scale is 2.
    seed
        Draws the first factors; the second start at zero, so the network begins as it was.

    Raises
    ------
    MissingExtraError
        peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError("LoRA needs the package peft", fix="pip install 'uicgpu[train]'")

    def adapt(network: torch.nn.Module) -> torch.nn.Module:
        from peft import LoraConfig, get_peft_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "finetune/lora"))
            config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
            adapted: torch.nn.Module = get_peft_model(network, config)
        return adapted

    return adapt


def is_adapted(network: torch.nn.Module) -> bool:
    """Tell whether the network carries adapters."""
    return type(network).__name__.startswith("PeftModel")


def without_adapters(network: Any) -> torch.nn.Module:
    """Return the plain network with its adapters folded into the weights; a plain one as it is."""
    plain: torch.nn.Module = network.merge_and_unload() if is_adapted(network) else network
    return plain


def folded_state(network: Any) -> dict[str, Tensor]:
    """Return the weights that the plain network would have with its adapters folded in; the network stays as it is."""
    if not is_adapted(network):
        return {name: value.detach() for name, value in network.named_parameters()}
    network.merge_adapter()
    try:
        plain = network.get_base_model()
        return {
            name.replace(".base_layer.", "."): value.detach().clone()
            for name, value in plain.named_parameters()
            if ".lora_" not in name
        }
    finally:
        network.unmerge_adapter()
