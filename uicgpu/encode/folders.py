"""What an encoder folder says about itself, read and refused by us before any library sees it.

Two layouts are known: a Hugging Face model folder, and a sentence-transformers folder with ``modules.json``. A folder
is untrusted input: only JSON and safetensors are read, only known architectures and module types are accepted, nothing
that could run code is.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from uicgpu.encode.fingerprints import remembered_sha256
from uicgpu.errors import InputError

Pooling = Literal["mean", "cls", "last"]
JSON_BYTES = 4 * 2**20
"""Largest configuration file that is read."""
TOKENIZER_BYTES = 128 * 2**20
"""Largest ``tokenizer.json`` that is read."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")
DEFAULT_MAX_TOKENS = 512


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
    "mpnet": Family("MPNetModel", packed=False, pooler=True, first_position=2, class_prefixes=("MPNet",)),
    "deberta-v2": Family("DebertaV2Model", packed=False, class_prefixes=("DebertaV2",)),
    "albert": Family("AlbertModel", packed=False, class_prefixes=("Albert",)),
}
"""The architectures that are accepted, by ``model_type``."""

POOLING_KEYS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
POOLING_NAMES: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last", "last": "last"}


@dataclass(frozen=True)
class Model:
    """An encoder on disk: everything that its vectors depend on, apart from the number format.

    Attributes
    ----------
    name
        The name the user knows: ``minilm``, ``multilingual``, or the folder as given.
    folder
        Hugging Face folder with ``config.json``, ``tokenizer.json`` and safetensors weights.
    architecture
        ``model_type``, a key of :data:`FAMILIES`.
    pooling
        How token vectors become a text vector.
    prompt
        Put before every text.
    max_tokens
        Limit per text, special tokens and prompt included.
    normalise
        Whether the folder itself ends in unit-length vectors.
    dim
        Dimension of the vectors.
    lowercase
        Whether texts are lower-cased first.
    weights_sha256, tokenizer_sha256, config_sha256
        SHA-256 of the files (several weight files: of the list of names and hashes).
    trained_dtype
        Number format that the configuration names (``float32``, ``bfloat16`` …).
    english_only
        Known to be meaningless outside English.
    """

    name: str
    folder: Path
    architecture: str
    pooling: Pooling
    prompt: str
    max_tokens: int
    normalise: bool
    dim: int
    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: str
    lowercase: bool = False
    trained_dtype: str = "float32"
    english_only: bool = False

    @property
    def identity(self) -> str:
        """A string that changes whenever a vector could; the folder's name and place are not part of it."""
        parts = {
            "weights": self.weights_sha256,
            "tokenizer": self.tokenizer_sha256,
            "config": self.config_sha256,
            "architecture": self.architecture,
            "pooling": self.pooling,
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "lowercase": self.lowercase,
            "dim": self.dim,
        }
        return json.dumps(parts, sort_keys=True, ensure_ascii=True)

    @property
    def family(self) -> Family:
        """How the architecture is loaded and run."""
        return FAMILIES[self.architecture]


def read_folder(folder: Path, name: str | None = None) -> Model:
    """Read and check an encoder folder.

    Parameters
    ----------
    folder
        Hugging Face or sentence-transformers layout.
    name
        Name for messages; default: the folder as given.

    Raises
    ------
    InputError
        When a file is missing or damaged, an architecture or module is unknown, the folder asks for code of its own, or
        the weights are not safetensors.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"no encoder folder at {root}", where=str(root), fix="check the path")
    modules = _read_modules(root)
    inner = _contained(root, modules.get("Transformer", ""))
    config_path = inner / "config.json"
    config = read_json(config_path)
    architecture = _check_config(config, config_path)
    tokenizer_path = inner / "tokenizer.json"
    if not tokenizer_path.is_file():
        raise InputError(
            "the encoder folder has no tokenizer.json",
            where=str(inner),
            fix="save the tokeniser with its fast form (tokenizer.save_pretrained)",
        )
    _check_size(tokenizer_path, TOKENIZER_BYTES)
    weights = _weight_files(inner)
    pooling = _read_pooling(root, modules, architecture)
    prompt = _read_prompt(root)
    if prompt and not _includes_prompt(root, modules):
        raise InputError(
            "this encoder leaves its prompt out of pooling, which is not supported",
            where=str(root / modules["Pooling"] / "config.json"),
            fix="choose another model",
        )
    limit, lowercase = _read_limits(inner, config, FAMILIES[architecture])
    return Model(
        name=name or str(folder),
        folder=inner,
        architecture=architecture,
        pooling=pooling,
        prompt=prompt,
        max_tokens=limit,
        normalise="Normalize" in modules,
        dim=_positive(config, ("hidden_size", "dim"), config_path),
        weights_sha256=_hash_of(weights),
        tokenizer_sha256=remembered_sha256(tokenizer_path),
        config_sha256=remembered_sha256(config_path),
        lowercase=lowercase,
        trained_dtype=str(config.get("dtype") or config.get("torch_dtype") or "float32"),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of at most 4 MiB.

    Raises
    ------
    InputError
        When the file is missing, too large, or not a JSON object.
    """
    content = _parse(path)
    if not isinstance(content, dict):
        raise InputError(f"{path.name} is not a JSON object", where=str(path))
    return content


def _parse(path: Path) -> Any:
    _check_size(path, JSON_BYTES)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not readable JSON: {error}", where=str(path)) from error


def _check_size(path: Path, limit: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"the encoder folder has no {path.name}", where=str(path.parent)) from error
    if size > limit:
        raise InputError(f"{path.name} has {size} bytes, more than the limit of {limit}", where=str(path))


def _contained(root: Path, part: str) -> Path:
    inner = (root / part).resolve()
    if not inner.is_relative_to(root.resolve()):
        raise InputError(f"module path {part!r} leads out of the encoder folder", where=str(root / "modules.json"))
    return root / part if part else root


def _read_modules(root: Path) -> dict[str, str]:
    """Return module type -> path of a sentence-transformers folder; empty for a Hugging Face folder."""
    path = root / "modules.json"
    if not path.exists():
        return {}
    entries = _parse(path)
    modules: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        kind = str(entry.get("type", "")) if isinstance(entry, dict) else ""
        known = re.fullmatch(r"sentence_transformers\.(?:\w+\.)*(Transformer|Pooling|Normalize)", kind)
        if not known or known[1] in modules:
            raise InputError(
                f"modules.json names a module that is not supported: {kind or entry!r}",
                where=str(path),
                fix="Transformer, Pooling and Normalize are; choose another model",
            )
        modules[known[1]] = str(entry.get("path", ""))
    if list(modules)[:2] != ["Transformer", "Pooling"] or len(modules) > 3:
        raise InputError("modules.json must list Transformer, Pooling and then perhaps Normalize", where=str(path))
    return modules


def _check_config(config: dict[str, Any], path: Path) -> str:
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


def _weight_files(inner: Path) -> list[Path]:
    index = inner / "model.safetensors.index.json"
    if (inner / "model.safetensors").is_file():
        return [inner / "model.safetensors"]
    if index.is_file():
        table = read_json(index).get("weight_map")
        names = sorted({str(name) for name in table.values()}) if isinstance(table, dict) else []
        bad = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
        if bad or not names:
            raise InputError(f"the weight index names impossible files: {bad}", where=str(index))
        missing = [name for name in names if not (inner / name).is_file()]
        if missing:
            raise InputError(f"the encoder folder has no {missing[0]}", where=str(inner))
        return [inner / name for name in names]
    pickled = sorted(found.name for pattern in PICKLED for found in inner.glob(pattern))
    if pickled:
        raise InputError(
            f"the weights are stored in a format that can run code ({pickled[0]}); it is refused",
            where=str(inner),
            fix="save them as model.safetensors (model.save_pretrained with safetensors)",
        )
    raise InputError("the encoder folder has no model.safetensors", where=str(inner))


def _hash_of(files: list[Path]) -> str:
    if len(files) == 1:
        return remembered_sha256(files[0])
    listing = "".join(f"{path.name}:{remembered_sha256(path)}\n" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _read_pooling(root: Path, modules: dict[str, str], architecture: str) -> Pooling:
    if not modules:
        return "last" if architecture == "qwen3" else "mean"
    path = _contained(root, modules["Pooling"]) / "config.json"
    config = read_json(path)
    if "pooling_mode" in config:
        wanted = config["pooling_mode"]
        named = [str(mode) for mode in (wanted if isinstance(wanted, list) else [wanted])]
        chosen = [POOLING_NAMES.get(mode) for mode in named]
    else:
        named = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
        chosen = [POOLING_KEYS.get(key) for key in named]
    if len(chosen) != 1 or chosen[0] is None:
        raise InputError(
            f"pooling {', '.join(named) or '(none)'} is not supported",
            where=str(path),
            fix=f"supported, one at a time: {', '.join(get_args(Pooling))}",
        )
    return chosen[0]


def _includes_prompt(root: Path, modules: dict[str, str]) -> bool:
    return not modules or bool(read_json(root / modules["Pooling"] / "config.json").get("include_prompt", True))


def _read_prompt(root: Path) -> str:
    path = root / "config_sentence_transformers.json"
    if not path.exists():
        return ""
    config = read_json(path)
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    if default is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(default), str):
        raise InputError(f"the default prompt {default!r} is not among the prompts", where=str(path))
    return str(prompts[default])


def _read_limits(inner: Path, config: dict[str, Any], family: Family) -> tuple[int, bool]:
    """Return the token limit and whether texts are lower-cased first."""
    own: dict[str, Any] = {}
    for name in ("sentence_bert_config.json", "sentence_xlm-roberta_config.json", "sentence_roberta_config.json"):
        if (inner / name).exists():
            own = read_json(inner / name)
            break
    tokenizer = read_json(inner / "tokenizer_config.json") if (inner / "tokenizer_config.json").exists() else {}
    limits = [own.get("max_seq_length"), tokenizer.get("model_max_length")]
    named = [int(limit) for limit in limits if isinstance(limit, (int, float)) and 0 < limit < 10**6]
    positions = config.get("max_position_embeddings")
    room = int(positions) - family.first_position if isinstance(positions, int) and positions > 0 else None
    limit = named[0] if named else min(DEFAULT_MAX_TOKENS, room or DEFAULT_MAX_TOKENS)
    return max(min(limit, room) if room else limit, 4), bool(own.get("do_lower_case", False))


def _positive(config: dict[str, Any], keys: tuple[str, ...], path: Path) -> int:
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    raise InputError(f"{path.name} does not say {keys[0]}", where=str(path))
