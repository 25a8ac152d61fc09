"""A decoder model all the way: adapters train, fold in, and three libraries read the same vectors from the folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, processors

from uicgpu.cli.main import call
from uicgpu.encode.encoder import Encoder
from uicgpu.finetune.data import prepare
from uicgpu.finetune.folder import read_ranking_map, write_encoder
from uicgpu.finetune.recipe import recipe_of
from uicgpu.finetune.train import fine_tune

pytest.importorskip("peft", reason="adapters need peft: pip install 'uicgpu[train]'")


@pytest.fixture(scope="session")
def decoder_folder(build, tmp_path_factory):
    """A tiny Qwen3 with random weights, whose tokeniser ends every text with one token, as Qwen3-Embedding's does."""
    folder = build.folder(tmp_path_factory.mktemp("qwen3"), "qwen3")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 32})
    )
    return folder


@pytest.fixture(scope="session")
def adapted(decoder_folder, world, short, tmp_path_factory, brief_head):
    encoder = Encoder(decoder_folder, device="cpu", guard=False, threads=1)
    recipe = recipe_of("auto", encoder.model.architecture, steps=6, block=32)
    assert recipe.name == "lora"
    data = prepare(*world, recipe, 0)
    tuned = fine_tune(data, encoder, recipe, seed=0)
    out = tmp_path_factory.mktemp("out") / "encoder"
    # whatever the gate thinks of random weights: the adapted ones are what this is about
    write_encoder(out, tuned.model, tuned.states["lora"], tuned.arms["lora + whitening"].ranking, tuned.facts)
    return out, tuned, data.texts.texts


def test_the_adapters_moved_the_vectors_and_folded_in(adapted, decoder_folder):
    from safetensors.numpy import load_file

    out, tuned, texts = adapted
    assert np.abs(tuned.vectors["lora"] - tuned.vectors[None]).max() > 0.01
    before, after = load_file(decoder_folder / "model.safetensors"), load_file(out / "model.safetensors")
    assert set(before) == set(after)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {name for name in before if "_proj." in name}
    assert tuned.model.pooling == "last"
    found = Encoder(out, device="cpu", guard=False, threads=1).encode(texts)
    assert np.abs(found - tuned.vectors["lora"]).max() < 1e-5


def test_transformers_gives_the_same_vectors(adapted):
    import torch
    import transformers

    out, tuned, texts = adapted
    network = transformers.AutoModel.from_pretrained(out, local_files_only=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)
    batch = tokenizer(texts[:20], padding=True, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        hidden = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    last = hidden[torch.arange(20), batch["attention_mask"].sum(1) - 1]
    found = torch.nn.functional.normalize(last, dim=1).numpy()
    assert np.abs(found - tuned.vectors["lora"][:20]).max() < 1e-5


def test_sentence_transformers_gives_the_same_vectors(adapted):
    library = pytest.importorskip("sentence_transformers", reason="not installed: pip install sentence-transformers")
    out, tuned, texts = adapted
    plain = library.SentenceTransformer(str(out), device="cpu").encode(texts[:20])
    assert np.abs(plain - tuned.vectors["lora"][:20]).max() < 1e-5
    ranking = library.SentenceTransformer(str(out / "ranking"), device="cpu").encode(texts[:20])
    assert np.abs(ranking - read_ranking_map(out).apply(plain)).max() < 1e-5


def test_the_command_chooses_adapters_for_a_decoder(decoder_folder, files, tmp_path):
    out = tmp_path / "encoder"
    given = ["train", *files, "--model", str(decoder_folder), "--steps", "2", "--block", "24", "--out", str(out), "-q"]
    given += ["--rank", "4"]
    assert call(given) == 0
    facts = json.loads((out / "training.json").read_text())
    assert (facts["settings"]["recipe"], facts["settings"]["rank"]) == ("lora", 4)
    assert facts["base"]["architecture"] == "qwen3"
    assert "lora" in {row["arm"] for row in facts["gate"]["table"]}
