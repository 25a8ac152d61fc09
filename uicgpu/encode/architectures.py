"""Which network architectures are accepted, and how each is loaded and run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uicgpu.errors import InputError


@dataclass(frozen=True)
class Family:
    """How a Hugging Face architecture is loaded and run."""

    network: str
    """Class in ``transformers``."""
    packed: bool
    """Whether it runs packed: it uses ``AttentionInterface`` and was tested packed against one text at a time."""
    pooler: bool = False
    """Whether the class has a pooler to leave out."""
    first_position: int = 0
    """Position ids lost at the start of the table (RoBERTa family: 2)."""
    class_prefixes: tuple[str, ...] = ()
    """Prefixes that class names under ``architectures`` may have."""


FAMILIES: dict[str, Family] = {
    "bert": Family("BertModel", packed=True, pooler=True, class_prefixes=("Bert",)),
    "roberta": Family("RobertaModel", packed=True, pooler=True, first_position=2, class_prefixes=("Roberta",)),
    "xlm-roberta": Family(
        "XLMRobertaModel", packed=True, pooler=True, first_position=2, class_prefixes=("XLMRoberta",)
    ),
    "camembert": Family("CamembertModel", packed=True, pooler=True, first_position=2, class_prefixes=("Camembert",)),
    "electra": Family("ElectraModel", packed=True, class_prefixes=("Electra",)),
    "distilbert": Family("DistilBertModel", packed=True, class_prefixes=("DistilBert",)),
    "modernbert": Family("ModernBertModel", packed=True, class_prefixes=("ModernBert",)),
    "qwen3": Family("Qwen3Model", packed=True, class_prefixes=("Qwen3",)),
    "gemma3_text": Family("Gemma3TextModel", packed=True, class_prefixes=("Gemma3",)),
    "nomic_bert": Family("NomicBertModel", packed=True, pooler=True, class_prefixes=("NomicBert",)),
    "eurobert": Family("EuroBertModel", packed=True, class_prefixes=("EuroBert",)),
    "mpnet": Family("MPNetModel", packed=False, pooler=True, first_position=2, class_prefixes=("MPNet",)),
    "deberta-v2": Family("DebertaV2Model", packed=False, class_prefixes=("DebertaV2",)),
    "albert": Family("AlbertModel", packed=False, class_prefixes=("Albert",)),
}
"""The architectures that are accepted, by ``model_type``."""


def check_config(config: dict[str, Any], path: Path) -> str:
    """Return the architecture that a ``config.json`` names.

    Raises
    ------
    InputError
        It is not a known one, or the configuration asks to run code of its own.
    """
    for key in ("auto_map", "custom_pipelines", "custom_pipeline", "quantization_config"):
        if config.get(key):
            reason = "needs a quantisation library" if key == "quantization_config" else "asks to run code of its own"
            raise InputError(
                f"this encoder {reason} ({key}); it is refused", where=str(path), fix="choose another model"
            )
    kind = config.get("model_type")
    names = config.get("architectures") or []
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if (
        family is None
        or not isinstance(names, list)
        or not all(str(name).startswith(family.class_prefixes) for name in names)
    ):
        seen = kind if family is None else names
        raise InputError(
            f"architecture {seen!r} is not supported",
            where=str(path),
            fix=f"supported: {', '.join(FAMILIES)}",
        )
    return str(kind)
