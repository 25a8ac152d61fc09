"""Item texts to unit vectors: choose the encoder by language, tokenise once, run packed, never encode a text twice.

Names are imported on first use; torch and transformers only when a text really has to be encoded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uicgpu.encode.cache import vector_cache_folder
    from uicgpu.encode.encoder import Encoder
    from uicgpu.encode.language import choose_model
    from uicgpu.encode.models import Model, find_model

__all__ = ["Encoder", "Model", "choose_model", "find_model", "vector_cache_folder"]

_HOMES = {
    "Encoder": "uicgpu.encode.encoder",
    "Model": "uicgpu.encode.models",
    "choose_model": "uicgpu.encode.language",
    "find_model": "uicgpu.encode.models",
    "vector_cache_folder": "uicgpu.encode.cache",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
