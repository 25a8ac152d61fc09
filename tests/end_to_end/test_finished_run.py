"""What a user does with a finished run: recommend, assign, evaluate, report, and the single rooms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import uicgpu as uic
from uicgpu.backends import choose_backend
from uicgpu.cli.main import call
from uicgpu.cluster import assign_points
from uicgpu.cluster.density_model import model_from_state


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Run a command with --json and return what it printed."""
    capsys.readouterr()
    assert call([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_recommend_prints_the_stored_rows_of_a_user(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "recommend", str(finished), "--user", "u017", "--top", "3")["rows"]
    stored = uic.open_run(finished).recommendations.filter(pl.col("user_id") == "u017").head(3)
    assert [row["item_id"] for row in rows] == stored["item_id"].to_list()
    assert [row["rank"] for row in rows] == [1, 2, 3]


def test_recommend_more_than_stored_goes_on_with_the_same_order(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = printed(capsys, "recommend", str(finished), "--user", "u017", "--user", "u003", "--top", "15")["rows"]
    stored = uic.open_run(finished).recommendations
    for user in ("u003", "u017"):
        mine = [row["item_id"] for row in rows if row["user_id"] == user]
        assert len(mine) == 15
        assert mine[:10] == stored.filter(pl.col("user_id") == user)["item_id"].to_list()


def test_recommend_for_an_unknown_user_names_the_command_that_helps(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["recommend", str(finished), "--user", "nobody"]) == 3
    shown = capsys.readouterr().err
    assert "'nobody'" in shown
    assert "uicgpu assign" in shown


def test_assign_reproduces_the_run_for_its_own_events(finished: Path, generated: Any, tmp_path: Path) -> None:
    out = tmp_path / "assigned.parquet"
    assert call(["assign", str(finished), "--events", str(generated.events), "--out", str(out), "--quiet"]) == 0
    assigned = pl.read_parquet(out)
    users = uic.open_run(finished).users
    # Events of known users are added to the old ones, here each to itself: the direction of the mean stays the same.
    assert assigned["user_id"].to_list() == users["user_id"].to_list()
    assert (assigned["cluster"] == users["cluster"]).mean() > 0.98
    assert assigned["events"].to_list() == (users["events"] * 2).to_list()


def test_assign_places_new_users_and_new_items_by_their_texts(finished: Path, tmp_path: Path) -> None:
    run = uic.open_run(finished)
    names = {profile["categories"][0]["category"]: profile["cluster"] for profile in run.profiles}
    events, items = tmp_path / "new.csv", tmp_path / "items.csv"
    events.write_text("user_id,item_id\nann,n1\nann,n2\nben,i000\nben,i001\ncid,unheard\n")
    items.write_text("item_id,title\nn1,large telescope with tripod\nn2,map of the stars and planets\n")
    out = tmp_path / "assigned.csv"
    assert call(["assign", str(finished), "--events", str(events), "--items", str(items), "--out", str(out)]) == 0
    table = pl.read_csv(out)
    clusters = dict(zip(table["user_id"].to_list(), table["cluster"].to_list(), strict=True))
    assert clusters["ann"] == names["astronomy"]
    assert clusters["ben"] == names["coffee"]
    assert table.filter(pl.col("user_id") == "cid")["confidence"].to_list() == [0.0]


def test_evaluate_again_agrees_with_the_run_and_takes_another_split(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    metrics = printed(capsys, "evaluate", str(finished), "--out", str(out))
    assert json.loads(out.read_text()) == metrics
    assert metrics == uic.open_run(finished).metrics
    other = uic.evaluate(finished, {"split": "leave-one-out", "bootstrap": 100})
    assert other["evaluation.split"] == "leave-one-out"
    assert other["ranking.blend.ndcg@10"] != metrics["ranking.blend.ndcg@10"]


def test_report_can_be_rebuilt_in_chinese_and_back(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = (run / "report.html").read_bytes()
    printed(capsys, "report", str(run), "--language", "zh")
    assert 'lang="zh' in (run / "report.html").read_text(encoding="utf-8")
    told = printed(capsys, "report", str(run))
    assert (run / "report.html").read_bytes() == before
    assert b"Peak memory" not in before
    printed(capsys, "report", str(run), "--measured")
    assert b"Peak memory" in (run / "report.html").read_bytes()
    stages = json.loads((run / "manifest.json").read_text())["stages"]
    assert told["tokens"] == stages["encode"]["facts"]["tokens"] > 0
    assert 0 <= told["cache hits"] <= stages["encode"]["facts"]["distinct"]
    assert told["seconds"] == round(sum(stage["seconds"] for stage in stages.values()), 1)
    assert list(told["seconds by stage"]) and told["bytes written"] > 100_000 < told["peak bytes"]


def test_encode_then_cluster_on_their_own(
    generated: Any, embedded_model: str, vector_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = tmp_path / "items.npy"
    told = printed(capsys, "encode", "--items", str(generated.items), "--model", embedded_model, "--out", str(vectors))
    assert (told["items"], told["dimensions"]) == (120, 384)
    ids = pl.read_parquet(tmp_path / "items.ids.parquet")
    assert ids["item_id"].to_list() == [f"i{number:03d}" for number in range(120)]
    out = tmp_path / "clusters"
    for algorithm in ("kmeans", "hierarchical"):
        told = printed(capsys, "cluster", str(vectors), "--algorithm", algorithm, "-k", "4", "--out", str(out))
        assert told["clusters"] == 4
        labels = pl.read_parquet(out / "labels.parquet")["cluster"].to_numpy()
        # 30 items per topic, in order: each topic is one cluster.
        assert all(np.unique(labels[start : start + 30]).size == 1 for start in range(0, 120, 30))


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan", "hierarchical"])
def test_every_algorithm_gives_each_user_a_cluster(
    algorithm: str, generated: Any, embedded_model: str, vector_cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ["run", *generated.options(), "--model", embedded_model, "--algorithm", algorithm, "-k", "4"]
    quick = ["--split", "none", "--stability-runs", "1", "--numeric-weight", "0.3", "--quiet"]
    assert call([*arguments, *quick, "--out", str(out)]) == 0
    run = uic.open_run(out)
    assert run.users["cluster"].min() >= 0
    assert run.users.height == 240
    assert run.interest_vectors.shape[1] > 384
    assert run.metrics["cluster.count"] == run.clusters.height
    if algorithm != "hierarchical":  # what the run keeps places its own users where they are
        model = model_from_state(run.tensors("stages/density.safetensors"))
        placed = assign_points(run.interest_vectors, run.centroids, choose_backend("cpu", threads=1), model)
        assert placed.labels.tolist() == run.users["cluster"].to_list()
        assert placed.confidence.tolist() == run.users["confidence"].to_list()
    assigned = tmp_path / "assigned.csv"
    assert call(["assign", str(out), "--events", str(generated.events), "--out", str(assigned), "--quiet"]) == 0
    assert pl.read_csv(assigned)["cluster"].is_in(run.clusters["cluster"].to_list()).all()


def test_settings_and_doctor_tell_what_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, "settings")
    assert told["top"] == {"value": 10, "source": "default"}
    told = printed(capsys, "doctor", "--device", "cpu")
    assert told["backend"].startswith("cpu")
    assert told["because"]


def test_dry_run_writes_nothing(generated: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    told = printed(capsys, "run", *generated.options(), "--out", str(out), "--dry-run")
    assert told["would run"][0] == "clean"
    assert not out.exists()


def test_every_setting_of_the_encoder_reaches_the_vectors(
    embedded_model: str, vector_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings that a stage is keyed on but does not pass on would be silently without effect."""
    items = tmp_path / "items.csv"
    items.write_text(f"item_id,title\n1,{'a red bicycle with a bell ' * 20}\n2,espresso machine\n")
    base = ["encode", "--items", str(items), "--model", embedded_model, "--max-tokens", "16"]
    printed(capsys, *base, "--out", str(tmp_path / "plain.npy"))
    plain = np.load(tmp_path / "plain.npy", allow_pickle=False)
    for name, option in {"prompt": ["--prompt", "query: "], "chunks": ["--long-texts", "chunk"]}.items():
        printed(capsys, *base, *option, "--out", str(tmp_path / f"{name}.npy"))
        other = np.load(tmp_path / f"{name}.npy", allow_pickle=False)
        assert not np.allclose(other[0], plain[0], atol=1e-3), name
    # MiniLM was not trained to be cut: asking for it is refused, not ignored.
    assert call([*base, "--dim", "64", "--out", str(tmp_path / "cut.npy")]) in {2, 3}
