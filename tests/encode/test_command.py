"""``uicgpu encode`` on catalogues as they come: number formats, odd texts, ids that repeat, models that are broken."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from uicgpu.cli.main import call

ODD = {
    "plain": "red bike",
    "empty": "",
    "blank": " \t ",
    "missing": None,
    "surrogate": "red \\ud800 bike",
    "emoji": "👩‍👩‍👧 bike",
    "right to left": "دراجة حمراء",
    "a megabyte": "red bike " * 120_000,
}


@pytest.fixture
def catalogue(tmp_path):
    """JSON lines, because a lone surrogate can only come as an escape."""
    lines = [json.dumps({"item_id": name, "title": text}).replace("\\\\ud800", "\\ud800") for name, text in ODD.items()]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def encode(items, out, model, *more):
    return call(["encode", "--items", str(items), "--model", str(model), "--out", str(out), "--device", "cpu", *more])


@pytest.mark.parametrize(("name", "dtype"), [("fp32", np.float32), ("fp16", np.float16)])
def test_both_number_formats_are_written_and_read(name, dtype, tmp_path, toy_folder, capsys):
    items, out = tmp_path / "items.csv", tmp_path / "v.npy"
    titles = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("bike", "boat", "lamp", "hat")]
    pl.DataFrame({"item_id": range(len(titles)), "title": titles}).write_csv(items)
    assert encode(items, out, toy_folder, "--vectors-dtype", name, "-q") == 0
    vectors = np.load(out)
    assert vectors.dtype == dtype
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 2e-3
    assert call(["cluster", str(out), "-k", "2", "--out", str(tmp_path / "clusters"), "-q"]) == 0
    assert encode(items, out, toy_folder, "--vectors-dtype", "int8", "-q") == 2
    capsys.readouterr()


def test_odd_texts_never_give_nan_and_those_without_information_are_counted(catalogue, tmp_path, toy_folder, capsys):
    out = tmp_path / "v.npy"
    assert encode(catalogue, out, toy_folder, "--json", "-q") == 0
    told = json.loads(capsys.readouterr().out)
    ids = pl.read_parquet(tmp_path / "v.ids.parquet")["item_id"].to_list()
    vectors = dict(zip(ids, np.load(out), strict=True))
    assert set(ids) == set(ODD)
    for name, vector in vectors.items():
        assert np.isfinite(vector).all(), name
    assert {name for name, vector in vectors.items() if not vector.any()} == {"empty", "blank", "missing"}
    assert told["empty_texts"] == 1, "counted over distinct texts"
    assert told["truncated"] == 1


def test_an_id_that_comes_twice_is_one_row(tmp_path, toy_folder, capsys):
    items, out = tmp_path / "items.csv", tmp_path / "v.npy"
    items.write_text("item_id,title\n1,red bike\n2,blue boat\n1,green lamp\n")
    assert encode(items, out, toy_folder) == 0
    ids = pl.read_parquet(tmp_path / "v.ids.parquet")["item_id"].to_list()
    assert sorted(ids) == ["1", "2"]
    assert len(np.load(out)) == 2
    capsys.readouterr()


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_broken_model_folder_is_named_and_nothing_is_written(file, damage, catalogue, tmp_path, toy_folder, capsys):
    folder = shutil.copytree(toy_folder, tmp_path / "model")
    if damage == "missing":
        (folder / file).unlink()
    else:
        (folder / file).write_bytes((folder / file).read_bytes()[:100])
    out = tmp_path / "v.npy"
    assert encode(catalogue, out, folder) in (2, 3)
    assert str(folder) in capsys.readouterr().err
    assert not out.exists()
