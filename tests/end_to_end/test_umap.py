"""``--reduce umap`` as a person types it: a run, later users, one room alone, and no umap-learn on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import uicgpu as uic
from uicgpu.cli.main import call

OPTIONS = ["--algorithm", "hdbscan", "--reduce", "umap", "--min-cluster-size", "8", "--stability-runs", "2"]


@pytest.fixture(scope="module")
def shop(generate_shop: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return generate_shop(tmp_path_factory.mktemp("umap") / "shop")


@pytest.mark.usefixtures("vector_cache")
def test_a_run_and_what_follows(
    shop: Any,
    embedded_model: str,
    umap: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    arguments = [*shop.options(), "--model", embedded_model, "--tune", "off", "--bootstrap", "100", *OPTIONS]
    assert call(["run", *arguments, "--out", str(out)]) == 0
    run = uic.open_run(out)
    facts = run.facts("cluster")
    assert facts["reduction"] == "umap" and facts["clusters"] >= 2 and len(umap.calls) >= 3
    assert f"{facts['clusters']} (hdbscan after UMAP, stability" in capsys.readouterr().out
    vectors, alone = str(out / "interest_vectors.npy"), tmp_path / "alone"
    assert call(["cluster", vectors, *OPTIONS, "--out", str(alone), "--quiet"]) == 0
    labels = pl.read_parquet(alone / "labels.parquet")
    for column in ("cluster", "second_cluster", "confidence"):
        assert labels[column].equals(run.users.sort("row")[column])
    assert (alone / "density.safetensors").read_bytes() == (out / "stages" / "density.safetensors").read_bytes()
    # users who do the same later get the same, on a machine without the library
    monkeypatch.setitem(sys.modules, "umap", None)
    late_file, placed = tmp_path / "late.csv", tmp_path / "placed.parquet"
    pl.read_csv(shop.events).with_columns(user_id="late-" + pl.col("user_id")).write_csv(late_file)
    assert call(["assign", str(out), "--events", str(late_file), "--out", str(placed), "--quiet"]) == 0
    late = pl.read_parquet(placed).with_columns(pl.col("user_id").str.strip_prefix("late-"))
    columns = ["user_id", "cluster", "confidence", "second_cluster"]
    assert late.select(columns).sort("user_id").equals(run.users.select(columns).sort("user_id"))


@pytest.mark.usefixtures("no_umap")
def test_without_the_library_nothing_starts(shop: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).standard_normal((60, 20)))
    run = ["run", *shop.options(), *OPTIONS, "--out", str(tmp_path / "out")]
    for command in (
        run,
        [*run, "--dry-run"],
        ["cluster", str(tmp_path / "vectors.npy"), *OPTIONS, "--out", str(tmp_path / "out")],
    ):
        assert call(command) == 4
        assert "pip install 'uicgpu[umap]'" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
