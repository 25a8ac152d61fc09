"""The output folder: plain vectors at the top, ranking vectors in ``ranking/``, both of one set of weights.

Both are sentence-transformers folders; the top is also a Hugging Face folder. ``ranking/`` appends the ranking map as
Dense modules and shares the weights by hard links, so it costs no disk space where links work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.folders import Model
from uicgpu.encode.json_files import contained, parse_json, read_json
from uicgpu.errors import InputError, SettingsError, UicError
from uicgpu.finetune.model_card import model_card
from uicgpu.finetune.ranking_map import Affine, RankingMap
from uicgpu.runs.folder import write_json, write_tensors, write_text

WEIGHTS: Final = "model.safetensors"
RANKING: Final = "ranking"
FACTS: Final = "training.json"
INNER_FILES: Final = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
)
"""Copied from the base where they exist."""
MODULE: Final = "sentence_transformers.models."


def check_out(out: Path, *, fresh: bool) -> None:
    """Refuse an output folder that holds anything but an earlier encoder of ours.

    Raises
    ------
    SettingsError
        With what to type instead.
    """
    if out.is_file():
        raise SettingsError(f"{out} is a file", where="option --out", fix="name a folder")
    if out.is_dir() and any(out.iterdir()):
        ours = (out / FACTS).is_file()
        if not ours or not fresh:
            raise SettingsError(
                f"{out} is not empty",
                where="option --out",
                fix="add --fresh to replace the encoder in it" if ours else "name a new folder",
            )


def write_encoder(
    out: Path,
    model: Model,
    weights: Mapping[str, NDArray[Any]] | None,
    ranking: RankingMap,
    facts: Mapping[str, Any],
) -> None:
    """Write the folder beside its place and rename it: nobody sees half of one.

    Parameters
    ----------
    out
        The folder; an earlier one is replaced.
    model
        The base encoder: configuration, tokeniser, pooling and prompt are kept.
    weights
        Trained tensors by the network's names; None keeps the base's weights.
    ranking
        The ranking map.
    facts
        What the model card and ``training.json`` say.

    Raises
    ------
    OutOfResourcesError
        When the disk is full; an earlier folder is untouched.
    """
    building = out.with_name(f".{out.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        write_tensors(building / WEIGHTS, merged_weights(model, weights))
        for name in INNER_FILES:
            if (model.folder / name).is_file():
                shutil.copyfile(model.folder / name, building / name)
        _write_modules(building, model, RankingMap())
        _write_ranking(building, model, ranking)
        write_json(building / FACTS, dict(facts))
        write_text(building / "README.md", model_card(facts))
        if out.is_dir():
            retired = out.with_name(f".{out.name}.old")
            shutil.rmtree(retired, ignore_errors=True)
            out.rename(retired)
            building.rename(out)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def merged_weights(model: Model, trained: Mapping[str, NDArray[Any]] | None) -> dict[str, NDArray[Any]]:
    """Return all tensors of the base with the trained ones in their places, under the base's names.

    A network may name its tensors without the prefix that the file has (``bert.``); tensors that the network does not
    use, such as a pooler, stay as they are.
    """
    from safetensors import safe_open

    tensors: dict[str, NDArray[Any]] = {}
    for file in sorted(model.folder.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as stream:
            # bfloat16 has no NumPy form; float32 holds it exactly
            tensors |= {name: stream.get_tensor(name).float().numpy() for name in stream.keys()}  # noqa: SIM118
    for name, value in (trained or {}).items():
        places = [key for key in tensors if key == name or key.endswith(f".{name}")]
        if len(places) != 1 or tensors[places[0]].shape != value.shape:
            raise UicError(
                f"the trained tensor {name} {value.shape} has {len(places)} places in the base's weights",
                where=str(model.folder),
            )
        tensors[places[0]] = np.asarray(value, np.float32)
    return tensors


def read_ranking_map(folder: Path) -> RankingMap:
    """Read the ranking map of an encoder folder that :func:`write_encoder` wrote; one without a map gives unit vectors.

    Raises
    ------
    InputError
        When a module is damaged.
    """
    root = folder / RANKING
    if not (root / "modules.json").is_file():
        return RankingMap()
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    maps = []
    modules = parse_json(root / "modules.json")
    if not isinstance(modules, list) or not all(isinstance(entry, dict) for entry in modules):
        raise InputError("the ranking map's modules.json is not a list of modules", where=str(root))
    for entry in modules:
        if not str(entry.get("type")).endswith(".Dense"):
            continue
        path = contained(root, str(entry.get("path")))
        try:
            tensors = load_file(path / WEIGHTS)
            affine = Affine(tensors["linear.weight"], tensors["linear.bias"])
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(f"the ranking map is damaged: {error}", where=str(path)) from error
        if (
            affine.weight.ndim != 2
            or affine.weight.shape[0] != affine.bias.size
            or not np.isfinite(affine.weight).all()
        ):
            raise InputError(f"the ranking map has impossible shapes: {affine.weight.shape}", where=str(path))
        maps.append(affine)
    return RankingMap(tuple(maps))


def _write_modules(root: Path, model: Model, ranking: RankingMap) -> None:
    """Write the sentence-transformers layout around the inner files."""
    kinds = ["Transformer", "Pooling", "Normalize"] + ["Dense", "Normalize"] * len(ranking.maps)
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": "" if place == 0 else f"{place}_{kind}",
            "type": f"{MODULE}{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    write_json(root / "modules.json", modules)
    for module in modules[1:]:
        (root / str(module["path"])).mkdir()
    modes = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "last": "pooling_mode_lasttoken"}
    write_json(
        root / "1_Pooling" / "config.json",
        {"word_embedding_dimension": model.dim, **{key: name == model.pooling for name, key in modes.items()}},
    )
    for place, affine in enumerate(ranking.maps):
        dense = root / str(modules[3 + 2 * place]["path"])
        out_size, in_size = affine.weight.shape
        write_json(
            dense / "config.json",
            {
                "in_features": int(in_size),
                "out_features": int(out_size),
                "bias": True,
                "activation_function": "torch.nn.modules.linear.Identity",
            },
        )
        write_tensors(dense / WEIGHTS, {"linear.weight": affine.weight, "linear.bias": affine.bias})
    write_json(
        root / "sentence_bert_config.json", {"max_seq_length": model.max_tokens, "do_lower_case": model.lowercase}
    )
    prompts = {"prompts": {"default": model.prompt}, "default_prompt_name": "default"} if model.prompt else {}
    write_json(root / "config_sentence_transformers.json", {**prompts, "similarity_fn_name": "cosine"})


def _write_ranking(root: Path, model: Model, ranking: RankingMap) -> None:
    inner = root / RANKING
    inner.mkdir()
    for name in (WEIGHTS, *INNER_FILES):
        if (root / name).is_file():
            try:
                os.link(root / name, inner / name)
            except OSError:  # a file system without links
                shutil.copyfile(root / name, inner / name)
    _write_modules(inner, model, ranking)


def base_licence(model: Model) -> str:
    """Return the licence that the base's model card names in its front matter, else ``unknown``."""
    known = {"minilm": "apache-2.0", "multilingual": "mit"}
    if model.name in known:
        return known[model.name]
    card = model.folder / FACTS
    if card.is_file():
        return str(read_json(card).get("base_licence", "unknown"))
    try:
        lines = (model.folder / "README.md").read_text(encoding="utf-8", errors="replace").splitlines()[:60]
    except OSError:
        return "unknown"
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("license:")]
    return named[0] if named and named[0] else "unknown"
