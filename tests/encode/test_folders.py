"""What a folder says is honoured; what could run code, or is missing or unknown, is refused by name."""

from __future__ import annotations

import json

import pytest

from uicgpu.encode.folders import read_folder
from uicgpu.encode.json_files import JSON_BYTES
from uicgpu.errors import InputError


@pytest.fixture
def folder(toys, tmp_path):
    return toys.write(tmp_path / "model")


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_hugging_face_layout(folder):
    model = read_folder(folder)
    assert (model.architecture, model.pooling, model.prompt, model.dim) == ("bert", "mean", "", 32)
    assert model.max_tokens == 512
    assert not model.normalise


def test_sentence_transformers_layout(folder, toys):
    model = read_folder(toys.write_st_layout(folder))
    assert (model.pooling, model.prompt, model.max_tokens) == ("cls", "red hat: ", 9)
    assert model.normalise
    assert model.lowercase


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_cls_token": False}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
    ],
)
def test_pooling_of_old_and_new_layouts(pooling, expected, folder, toys):
    assert read_folder(toys.write_st_layout(folder, pooling=pooling)).pooling == expected


def test_newer_module_names_and_an_inner_folder(folder, toys):
    kinds = ["base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling"]
    toys.write_st_layout(folder, kinds=kinds)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json"):
        (folder / name).rename(folder / "0_Transformer" / name)
    model = read_folder(folder)
    assert model.folder == folder / "0_Transformer"
    assert (model.max_tokens, model.normalise) == (9, False)


def test_positions_limit_the_tokens(toys, tmp_path):
    assert read_folder(toys.write(tmp_path, "xlm-roberta")).max_tokens == 64


def test_identity_follows_content_and_not_place(folder, toys, tmp_path):
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    assert read_folder(copy).identity == read_folder(folder).identity
    change_config(copy, layer_norm_eps=1e-6)
    assert read_folder(copy).identity != read_folder(folder).identity


REFUSED = {
    "code of its own": lambda folder: change_config(folder, auto_map={"AutoModel": "modeling.Own"}),
    "asks to run code": lambda folder: change_config(folder, custom_pipelines={"x": {"impl": "own.Pipeline"}}),
    "architecture 'lightglue' is not supported": lambda folder: change_config(folder, model_type="lightglue"),
    "architecture ['OwnModel'] is not supported": lambda folder: change_config(folder, architectures=["OwnModel"]),
    "architecture None is not supported": lambda folder: change_config(folder, model_type=None),
    "needs a quantisation library": lambda folder: change_config(folder, quantization_config={"bits": 4}),
    "config.json is not readable JSON": lambda folder: (folder / "config.json").write_text("{"),
    "config.json is not a JSON object": lambda folder: (folder / "config.json").write_text("[]"),
    "more than the limit": lambda folder: (folder / "config.json").write_text(" " * (JSON_BYTES + 1)),
    "has no config.json": lambda folder: (folder / "config.json").unlink(),
    "has no tokenizer.json": lambda folder: (folder / "tokenizer.json").unlink(),
    "has no model.safetensors": lambda folder: (folder / "model.safetensors").unlink(),
    "format that can run code (pytorch_model.bin)": lambda folder: (folder / "model.safetensors").rename(
        folder / "pytorch_model.bin"
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason, folder):
    REFUSED[reason](folder)
    with pytest.raises(InputError) as caught:
        read_folder(folder)
    assert reason in caught.value.message
    assert str(folder) in caught.value.where


def test_unknown_modules_and_paths_are_refused(folder, toys):
    for kind in ("models.LSTM", "os.system", "models.Transformer; import os"):
        toys.write_st_layout(folder, kinds=["models.Transformer", "models.Pooling", kind])
        with pytest.raises(InputError, match="not supported"):
            read_folder(folder)
    toys.write_st_layout(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../../elsewhere"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="leads out of the encoder folder"):
        read_folder(folder)


def test_two_poolings_or_a_prompt_outside_pooling_are_refused(folder, toys):
    both = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    with pytest.raises(InputError, match="pooling_mode_cls_token, pooling_mode_mean_tokens is not supported"):
        read_folder(toys.write_st_layout(folder, pooling=both))
    outside = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    with pytest.raises(InputError, match="leaves its prompt out"):
        read_folder(toys.write_st_layout(folder, pooling=outside))


def test_several_weight_files(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert len(read_folder(folder).weights_sha256) == 64
    for names, reason in [({"a": "../x.safetensors"}, "impossible"), ({"a": "gone.safetensors"}, "has no gone")]:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
        with pytest.raises(InputError, match=reason):
            read_folder(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no encoder folder"):
        read_folder(tmp_path / "nowhere")
