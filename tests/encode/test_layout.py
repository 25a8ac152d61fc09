"""sentence-transformers folders: dense layers and dimensions are honoured, what is not understood is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from uicgpu.encode import Encoder
from uicgpu.encode.folders import read_folder
from uicgpu.errors import InputError, SettingsError

TEXTS = ["red bike", "blue boat lamp", "green chair"]
TANH = "torch.nn.modules.activation.Tanh"
KINDS = ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]


def write_dense(folder, inputs, outputs, activation=TANH, bias=True, seed=1, **more):
    folder.mkdir(exist_ok=True)
    config = {"in_features": inputs, "out_features": outputs, "bias": bias, "activation_function": activation, **more}
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(seed)
    tensors = {"linear.weight": random.normal(0, 0.3, (outputs, inputs)).astype(np.float32)}
    if bias:
        tensors["linear.bias"] = random.normal(0, 0.3, outputs).astype(np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return tensors


@pytest.fixture
def folder(tmp_path, toys):
    """A toy with mean pooling and two dense layers, 32 -> 24 -> 16."""
    root = toys.write(tmp_path / "model")
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    write_modules(root, KINDS)
    return root


def write_modules(root, kinds):
    paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds[1:], 1))]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (root / "modules.json").write_text(json.dumps(modules))


def test_dense_layers_stand_behind_pooling(folder, toy_folder):
    first = write_dense(folder / "2_Dense", 32, 24)
    second = write_dense(folder / "3_Dense", 24, 16, "torch.nn.modules.linear.Identity", bias=False, seed=2)
    encoder = Encoder(folder, device="cpu", threads=1)
    assert (encoder.dim, encoder.get_sentence_embedding_dimension()) == (16, 16)
    vectors = encoder.encode(TEXTS)
    from uicgpu.encode.engine import Engine
    from uicgpu.encode.language import load_tokenizer

    plain = read_folder(toy_folder)
    pooled = Engine(plain).embed(load_tokenizer(plain).tokenise(TEXTS)).astype(np.float64)
    hidden = np.tanh(pooled @ first["linear.weight"].T.astype(np.float64) + first["linear.bias"])
    expected = hidden @ second["linear.weight"].T.astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(vectors - expected).max() < 1e-5


def test_other_weights_of_a_dense_layer_are_another_encoder(folder):
    write_modules(folder, ["Transformer", "Pooling", "Dense"])
    write_dense(folder / "2_Dense", 32, 24)
    before = read_folder(folder).identity
    write_dense(folder / "2_Dense", 32, 24, seed=9)
    assert read_folder(folder).identity != before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"activation": "os.system"}, "dense layer of this kind"),
        ({"use_residual": True}, "dense layer of this kind"),
        ({"module_input_name": "token_embeddings"}, "dense layer of this kind"),
        ({"inputs": 31}, "takes 31 values and gets 32"),
        ({"outputs": 0}, "does not say out_features"),
    ],
)
def test_dense_layers_that_are_not_understood_are_refused(change, reason, folder):
    write_modules(folder, ["Transformer", "Pooling", "Dense"])
    write_dense(folder / "2_Dense", **{"inputs": 32, "outputs": 24, **change})
    with pytest.raises(InputError, match=reason):
        read_folder(folder)


def test_a_dense_layer_needs_safetensors_of_the_right_shape(folder):
    write_modules(folder, ["Transformer", "Pooling", "Dense"])
    write_dense(folder / "2_Dense", 32, 24)
    save_file({"linear.weight": np.zeros((3, 3), np.float32)}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(InputError, match="the dense layer holds"):
        Encoder(folder, device="cpu").encode(TEXTS)
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        Encoder(folder, device="cpu").encode(TEXTS)
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        read_folder(folder)


@pytest.mark.parametrize(
    "kinds", [["Transformer", "Pooling", "Normalize", "Dense"], ["Transformer", "Dense"], ["Pooling"], []]
)
def test_modules_in_another_order_are_refused(kinds, folder):
    write_modules(folder, kinds) if kinds else (folder / "modules.json").write_text("[]")
    with pytest.raises(InputError, match=r"modules\.json"):
        read_folder(folder)


def declare(folder, file, **entries):
    path = folder / file
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | entries))


@pytest.mark.parametrize("file", ["config.json", "config_sentence_transformers.json"])
def test_declared_dimensions_may_be_asked_for(file, toys, tmp_path):
    root = toys.write(tmp_path / "model")
    full = Encoder(root, device="cpu", threads=1)
    declare(root, file, matryoshka_dimensions=[32, 16, 8])
    encoder = Encoder(root, device="cpu", threads=1, dim=16)
    vectors, whole = encoder.encode(TEXTS), full.encode(TEXTS)[:, :16].astype(np.float64)
    assert vectors.shape == (3, 16)
    assert np.abs(vectors - whole / np.linalg.norm(whole, axis=1, keepdims=True)).max() < 1e-6
    assert encoder.identity != full.identity
    with pytest.raises(SettingsError, match="not trained for 12 dimensions") as caught:
        Encoder(root, device="cpu", dim=12)
    assert "8, 16" in (caught.value.fix or "")


def test_dimensions_that_are_not_declared_are_refused(toy_folder):
    with pytest.raises(SettingsError, match="not trained for 16 dimensions"):
        Encoder(toy_folder, device="cpu", dim=16)
    assert Encoder(toy_folder, device="cpu", dim=32).dim == 32


def test_any_dimension_of_a_model_that_says_so(toys, tmp_path):
    root = toys.write(tmp_path / "model")
    declare(root, "config.json", is_matryoshka=True)
    assert Encoder(root, device="cpu", dim=5).dim == 5
    declare(root, "config.json", matryoshka_dimensions="all")
    with pytest.raises(InputError, match="not a list of positive integers"):
        read_folder(root)


def test_a_folder_that_cuts_by_itself_is_followed(toys, tmp_path):
    root = toys.write(tmp_path / "model")
    declare(root, "config_sentence_transformers.json", truncate_dim=8)
    assert Encoder(root, device="cpu", threads=1).encode(TEXTS).shape == (3, 8)
