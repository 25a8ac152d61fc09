"""What an encoder folder says about itself, read and refused by us before any library sees it.

Two layouts are known: a Hugging Face model folder, and a sentence-transformers folder with ``modules.json``. A folder
is untrusted input: only JSON and safetensors are read, only known architectures and module types are accepted, nothing
that could run code is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from uicgpu.encode.architectures import FAMILIES, Family, check_config
from uicgpu.encode.fingerprints import remembered_sha256
from uicgpu.encode.json_files import check_size, positive
from uicgpu.encode.json_files import read_json as read_json
from uicgpu.encode.layout import DenseLayer, Layout, Pooling, declared_dimensions, read_layout
from uicgpu.errors import InputError, SettingsError

LongTexts = Literal["cut", "chunk"]
TOKENIZER_BYTES = 128 * 2**20
"""Largest ``tokenizer.json`` that is read."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")
DEFAULT_MAX_TOKENS = 512


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
    dense
        Linear layers behind pooling.
    dimensions
        Dimensions to which vectors may be cut because the model was trained for it (matryoshka), the full one not
        among them; empty: none.
    long_texts
        ``cut`` at ``max_tokens``, or ``chunk``: the mean of the vectors of pieces, weighted by their tokens.
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
    dense: tuple[DenseLayer, ...] = ()
    dimensions: tuple[int, ...] = ()
    long_texts: LongTexts = "cut"

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
            "dense": [layer.identity for layer in self.dense],
            "long_texts": self.long_texts,
        }
        return json.dumps(parts, sort_keys=True, ensure_ascii=True)

    @property
    def family(self) -> Family:
        """How the architecture is loaded and run."""
        return FAMILIES[self.architecture]

    def cut_to(self, dim: int) -> Model:
        """Return the encoder whose vectors end after ``dim`` values.

        Raises
        ------
        SettingsError
            The encoder was not trained for that: cut vectors of an ordinary one lose their neighbours.
        """
        if dim == self.dim:
            return self
        if dim not in self.dimensions:
            known = ", ".join(map(str, sorted(self.dimensions))) or "none; its vectors lose their neighbours when cut"
            raise SettingsError(
                f"encoder {self.name} was not trained for {dim} dimensions",
                where="option --dim",
                fix=f"leave --dim out for all {self.dim}, or use one that it declares: {known}",
            )
        return dataclasses.replace(self, dim=dim)


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
    layout = read_layout(root)
    inner = layout.network
    config_path = inner / "config.json"
    config = read_json(config_path)
    architecture = check_config(config, config_path)
    tokenizer_path = inner / "tokenizer.json"
    if not tokenizer_path.is_file():
        raise InputError(
            "the encoder folder has no tokenizer.json",
            where=str(inner),
            fix="save the tokeniser with its fast form (tokenizer.save_pretrained)",
        )
    check_size(tokenizer_path, TOKENIZER_BYTES)
    limit, lowercase = _read_limits(inner, config, FAMILIES[architecture])
    dim = _vector_dim(positive(config, ("hidden_size", "dim"), config_path), layout.dense)
    model = Model(
        name=name or str(folder),
        folder=inner,
        architecture=architecture,
        pooling=layout.pooling or ("last" if architecture == "qwen3" else "mean"),
        prompt=layout.prompt,
        max_tokens=limit,
        normalise=layout.normalise,
        dim=dim,
        weights_sha256=_hash_of(_weight_files(inner)),
        tokenizer_sha256=remembered_sha256(tokenizer_path),
        config_sha256=remembered_sha256(config_path),
        lowercase=lowercase,
        trained_dtype=str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        dense=layout.dense,
        dimensions=_dimensions(layout, config, config_path, dim),
    )
    return model.cut_to(layout.cut_to) if layout.cut_to and layout.cut_to < dim else model


def _vector_dim(hidden: int, dense: tuple[DenseLayer, ...]) -> int:
    """Return the dimension behind the dense layers, which must fit together."""
    for layer in dense:
        if layer.inputs != hidden:
            raise InputError(
                f"a dense layer takes {layer.inputs} values and gets {hidden}", where=str(layer.weights.parent)
            )
        hidden = layer.outputs
    return hidden


def _dimensions(layout: Layout, config: dict[str, Any], path: Path, dim: int) -> tuple[int, ...]:
    """Return the dimensions to which vectors of ``dim`` values may be cut, as the folder's files declare them."""
    declared = {*layout.dimensions, *declared_dimensions(config, path)}
    if config.get("is_matryoshka") is True and not declared:
        declared = set(range(1, dim))
    return tuple(sorted(value for value in declared if value < dim))


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
