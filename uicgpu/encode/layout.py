"""What a sentence-transformers folder adds to a Hugging Face one: its modules, prompt and dimensions.

A folder without ``modules.json`` is a plain Hugging Face folder: mean pooling (last token for decoders), no prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from uicgpu.encode.fingerprints import remembered_sha256
from uicgpu.encode.json_files import contained, parse_json, positive, read_json
from uicgpu.errors import InputError

Pooling = Literal["mean", "cls", "last"]
POOLING_KEYS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
POOLING_NAMES: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last", "last": "last"}
ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
}
"""Activations of dense layers; others could be any code."""


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer behind pooling: ``activation(weight @ vector + bias)``.

    Attributes
    ----------
    weights
        safetensors file with ``linear.weight`` [outputs, inputs] and perhaps ``linear.bias``.
    activation
        ``identity``, ``tanh``, ``relu`` or ``gelu``.
    sha256
        Of the file.
    """

    weights: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str
    sha256: str

    @property
    def identity(self) -> list[Any]:
        """What the layer's output depends on."""
        return [self.sha256, self.inputs, self.outputs, self.bias, self.activation]


@dataclass(frozen=True)
class Layout:
    """The parts of an encoder folder.

    Attributes
    ----------
    network
        The Hugging Face folder inside.
    pooling
        How token vectors become a text vector; None: not said.
    dense
        Layers behind pooling, in order.
    normalise
        Whether the folder itself ends in unit-length vectors.
    prompt
        The default prompt.
    dimensions
        Dimensions to which vectors may be cut, as far as ``config_sentence_transformers.json`` says.
    cut_to
        The dimension to which the folder itself cuts, or None.
    """

    network: Path
    pooling: Pooling | None = None
    dense: tuple[DenseLayer, ...] = ()
    normalise: bool = False
    prompt: str = ""
    dimensions: tuple[int, ...] = ()
    cut_to: int | None = field(default=None)


def read_layout(root: Path) -> Layout:
    """Read the modules of an encoder folder.

    Raises
    ------
    InputError
        A module is of an unknown kind or in an unknown order, a file is missing or damaged.
    """
    config_path = root / "config_sentence_transformers.json"
    config = read_json(config_path) if config_path.exists() else {}
    prompt = _default_prompt(config, config_path)
    cut_to = positive(config, ("truncate_dim",), config_path) if config.get("truncate_dim") is not None else None
    dimensions = declared_dimensions(config, config_path) + ((cut_to,) if cut_to else ())
    modules = _read_modules(root)
    if not modules:
        return Layout(root, prompt=prompt, dimensions=dimensions, cut_to=cut_to)
    kinds = [kind for kind, _ in modules]
    rest = kinds[2:-1] if kinds[-1] == "Normalize" else kinds[2:]
    if kinds[:2] != ["Transformer", "Pooling"] or set(rest) - {"Dense"}:
        raise InputError(
            "modules.json must list Transformer, Pooling, then perhaps Dense layers, then perhaps Normalize",
            where=str(root / "modules.json"),
        )
    pooling_path = contained(root, modules[1][1]) / "config.json"
    pooling = read_json(pooling_path)
    if prompt and not pooling.get("include_prompt", True):
        raise InputError(
            "this encoder leaves its prompt out of pooling, which is not supported",
            where=str(pooling_path),
            fix="choose another model",
        )
    return Layout(
        network=contained(root, modules[0][1]),
        pooling=_pooling_mode(pooling, pooling_path),
        dense=tuple(_dense_layer(contained(root, path)) for kind, path in modules if kind == "Dense"),
        normalise="Normalize" in kinds,
        prompt=prompt,
        dimensions=dimensions,
        cut_to=cut_to,
    )


def declared_dimensions(config: dict[str, Any], path: Path) -> tuple[int, ...]:
    """Return the ``matryoshka_dimensions`` of a configuration.

    Raises
    ------
    InputError
        They are not a list of positive integers.
    """
    named = config.get("matryoshka_dimensions") or ()
    if not isinstance(named, (list, tuple)) or not all(type(value) is int and value > 0 for value in named):
        raise InputError(f"matryoshka_dimensions are {named!r}, not a list of positive integers", where=str(path))
    return tuple(named)


def _read_modules(root: Path) -> list[tuple[str, str]]:
    """Return (kind, path) of each module of ``modules.json``; empty for a Hugging Face folder."""
    path = root / "modules.json"
    if not path.exists():
        return []
    entries = parse_json(path)
    modules: list[tuple[str, str]] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        kind = str(entry.get("type", "")) if isinstance(entry, dict) else ""
        known = re.fullmatch(r"sentence_transformers\.(?:\w+\.)*(Transformer|Pooling|Dense|Normalize)", kind)
        if not known or (known[1] != "Dense" and known[1] in {name for name, _ in modules}):
            raise InputError(
                f"modules.json names a module that is not supported: {kind or entry!r}",
                where=str(path),
                fix="Transformer, Pooling, Dense and Normalize are; choose another model",
            )
        modules.append((known[1], str(entry.get("path", ""))))
    if not modules:
        raise InputError("modules.json lists no module", where=str(path))
    return modules


def _pooling_mode(config: dict[str, Any], path: Path) -> Pooling:
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


def _dense_layer(folder: Path) -> DenseLayer:
    path = folder / "config.json"
    config = read_json(path)
    activation = ACTIVATIONS.get(str(config.get("activation_function", "torch.nn.modules.activation.Tanh")))
    places = {config.get(key) or "sentence_embedding" for key in ("module_input_name", "module_output_name")}
    if activation is None or places != {"sentence_embedding"} or config.get("use_residual"):
        raise InputError(
            f"a dense layer of this kind is not supported: {config.get('activation_function')}, {sorted(places)}",
            where=str(path),
            fix=f"supported: text vectors in and out, no residual, activation {', '.join(ACTIVATIONS)}",
        )
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(
            "the dense layer has no model.safetensors", where=str(folder), fix="save the model with safetensors"
        )
    return DenseLayer(
        weights=weights,
        inputs=positive(config, ("in_features",), path),
        outputs=positive(config, ("out_features",), path),
        bias=bool(config.get("bias", True)),
        activation=activation,
        sha256=remembered_sha256(weights),
    )


def _default_prompt(config: dict[str, Any], path: Path) -> str:
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    if default is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(default), str):
        raise InputError(f"the default prompt {default!r} is not among the prompts", where=str(path))
    return str(prompts[default])
