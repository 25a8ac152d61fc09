"""How a checked folder becomes a torch module: nothing but safetensors, nothing missing, nothing said."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from uicgpu.encode.attention import PACKED_ATTENTION, register_packed_attention
from uicgpu.encode.folders import Model
from uicgpu.errors import InputError, UicError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


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
