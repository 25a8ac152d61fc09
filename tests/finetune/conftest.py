"""A tiny random encoder, and a small world in which behaviour follows a word that the encoder cannot know."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from uicgpu.encode.encoder import Encoder
from uicgpu.events.interactions import EventTable
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.schedule import Schedule

WORDS = ["red", "blue", "green", "bike", "boat", "lamp", "chair", "table", "phone", "shoe", "hat", "book"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 24}
KINDS = {
    "bert": ("BertConfig", "BertModel", {}),
    "mpnet": ("MPNetConfig", "MPNetModel", {"pad_token_id": 1, "max_position_embeddings": 66}),
    "qwen3": ("Qwen3Config", "Qwen3Model", {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}),
}


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


def write_encoder_folder(folder: Path, kind: str = "bert") -> Path:
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    config_name, network_name, extra = KINDS[kind]
    network = getattr(transformers, network_name)(getattr(transformers, config_name)(**{**SMALL, **extra})).eval()
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3, generator=random)
    network.save_pretrained(folder)
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def make_events(users: list[int], items: list[int], times: list[int], n_users: int, n_items: int) -> EventTable:
    order = np.lexsort((items, times, users))
    n = len(users)
    return EventTable(
        np.array(users, np.int32)[order],
        np.array(items, np.int32)[order],
        np.array(times, np.int64)[order],
        np.zeros(n, np.int32),
        np.full(n, np.nan, np.float32),
        np.ones(n, np.float32),
        n_users,
        n_items,
    )


def make_world(n_users: int = 90, per_user: int = 10) -> tuple[EventTable, list[str]]:
    """Items are three words; a user likes items with one and the same last word."""
    texts = [f"{a} {b} {c}" for a in WORDS[:4] for b in WORDS[3:9] for c in WORDS[8:]][:90]
    random = np.random.default_rng(3)
    last = np.array([WORDS.index(text.split()[-1]) for text in texts])
    users, items = [], []
    for user in range(n_users):
        liked = np.flatnonzero(last == last[user % len(texts)])
        users += [user] * per_user
        items += random.choice(liked, per_user, replace=False).tolist()
    return make_events(users, items, list(range(len(users))), n_users, len(texts)), texts


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder_folder(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def world() -> tuple[EventTable, list[str]]:
    return make_world()


@pytest.fixture(scope="session")
def build() -> SimpleNamespace:
    """The builders of this file, for tests."""
    return SimpleNamespace(events=make_events, world=make_world, folder=write_encoder_folder, words=WORDS)


SHORT = Schedule(steps=6, block=32, pairs=128, evaluate_every=2, checkpoint_every=2, learning_rate=3e-3, patience=3)


@pytest.fixture(scope="session")
def short() -> Schedule:
    return SHORT


@pytest.fixture(scope="session", autouse=True)
def brief_head():
    """Heads train for 40 steps instead of 300."""
    with pytest.MonkeyPatch.context() as patch:
        from uicgpu.finetune import head

        patch.setattr(head, "HEAD_SCHEDULE", dataclasses.replace(head.HEAD_SCHEDULE, steps=40, block=64, pairs=512))
        yield


@pytest.fixture(scope="session")
def tuned(toy_folder: Path, world: tuple[EventTable, list[str]], brief_head):
    """One full training in the small world."""
    from uicgpu.finetune.data import prepare
    from uicgpu.finetune.train import fine_tune

    recipe = Recipe("full", SHORT, structure=0)
    encoder = Encoder(toy_folder, device="cpu", guard=False, threads=1)
    data = prepare(world[0], world[1], recipe, 0)
    return SimpleNamespace(result=fine_tune(data, encoder, recipe, seed=0), data=data, recipe=recipe, encoder=encoder)


@pytest.fixture
def files(world, tmp_path):
    events, texts = world
    lines = [f"u{u},{i},{1_600_000_000 + t}" for u, i, t in zip(events.users, events.items, events.times, strict=True)]
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    (tmp_path / "items.csv").write_text(
        "item_id,title\n" + "\n".join(f"{row},{text}" for row, text in enumerate(texts)) + "\n"
    )
    return ["--events", str(tmp_path / "events.csv"), "--items", str(tmp_path / "items.csv"), "--split", "none"]
