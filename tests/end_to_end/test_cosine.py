"""Clusters by cosine as a person types them: a run, later users, the next run, one room alone, a user with nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import uicgpu as uic
from uicgpu.cli.main import call

NOBODY = "u999"
"""Acts on one item only, and that has no text."""


@pytest.fixture(scope="module")
def arguments(
    generate_shop: Callable[..., Any], embedded_model: str, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    shop = generate_shop(tmp_path_factory.mktemp("cosine") / "shop")
    events, items = pl.read_csv(shop.events), pl.read_csv(shop.items)
    nothing = pl.DataFrame({"user_id": [NOBODY], "item_id": ["blank"], "timestamp": [1_700_000_000]})
    pl.concat([events, nothing.with_columns(event_type=pl.lit("view"))]).write_csv(shop.events)
    blank = pl.DataFrame({"item_id": ["blank"], "title": [""], "category": [""]})
    pl.concat([items, blank]).write_csv(shop.items)
    options = ["--metric", "cosine", "-k", "4", "--tune", "off", "--bootstrap", "100"]
    return [*shop.options(), "--model", embedded_model, *options]


@pytest.fixture(scope="module")
def run(arguments: list[str], vector_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> uic.Run:
    out = tmp_path_factory.mktemp("cosine") / "run"
    assert call(["run", *arguments, "--out", str(out), "--quiet"]) == 0
    return uic.open_run(out)


def test_the_run_says_so_and_leaves_directions(run: uic.Run) -> None:
    assert run.facts("cluster")["metric"] == "cosine" and run.facts("cluster")["without_direction"] == 1
    np.testing.assert_allclose(np.linalg.norm(run.centroids, axis=1), 1, atol=1e-6)
    cosines = np.asarray(run.interest_vectors) @ np.asarray(run.centroids).T
    known = (run.users["user_id"] != NOBODY).to_numpy()
    np.testing.assert_array_equal(run.users["cluster"].to_numpy()[known], cosines.argmax(axis=1)[known])


def test_a_user_with_nothing_is_in_the_largest_cluster(run: uic.Run) -> None:
    nobody = run.users.row(by_predicate=pl.col("user_id") == NOBODY, named=True)
    assert not np.asarray(run.interest_vectors[nobody["row"]]).any()
    assert (nobody["cluster"], nobody["second_cluster"], nobody["confidence"]) == (0, 1, 0)
    assert run.clusters.sort("size")["cluster"][-1] == 0


def test_the_same_command_again_does_nothing_and_another_metric_does(
    run: uic.Run, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["run", *arguments, "--out", str(run.path)]) == 0
    told = capsys.readouterr()
    assert "nothing to do" in told.err and "4 (kmeans by cosine, stability" in told.out
    assert call(["run", *arguments, "--metric", "euclidean", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    other = uic.open_run(tmp_path / "run")
    assert other.users.height == run.users.height and np.linalg.norm(other.centroids, axis=1).max() < 0.99


def test_users_who_do_the_same_later_are_placed_the_same(run: uic.Run, arguments: list[str], tmp_path: Path) -> None:
    events = pl.read_csv(arguments[1]).with_columns(user_id="late-" + pl.col("user_id"))
    events.write_csv(tmp_path / "late.csv")
    out = tmp_path / "placed.parquet"
    assert call(["assign", str(run.path), "--events", str(tmp_path / "late.csv"), "--out", str(out), "--quiet"]) == 0
    late = pl.read_parquet(out).with_columns(pl.col("user_id").str.strip_prefix("late-"))
    columns = ["user_id", "cluster", "confidence", "second_cluster"]
    assert late.select(columns).sort("user_id").equals(run.users.select(columns).sort("user_id"))


def test_the_next_run_keeps_the_ids(run: uic.Run, arguments: list[str], tmp_path: Path) -> None:
    more = ["--previous", str(run.path), "--seed", "3", "--out", str(tmp_path / "run"), "--quiet"]
    assert call(["run", *arguments, *more]) == 0
    later = uic.open_run(tmp_path / "run")
    kept = later.facts("cluster")["previous"]["kept"]
    assert sorted(kept) == ["0", "1", "2", "3"] and min(kept.values()) > 0.9
    both = run.users.join(later.users, on="user_id", suffix="_later")
    assert (both["cluster"] == both["cluster_later"]).mean() > 0.95


def test_one_room_alone_finds_the_same_clusters(run: uic.Run, tmp_path: Path) -> None:
    """Of vectors of all lengths: quality and stability are those of the run."""
    vectors, out = np.asarray(run.interest_vectors), tmp_path / "alone"
    lengths = 2.0 ** np.random.default_rng(0).integers(-4, 5, (len(vectors), 1))
    np.save(tmp_path / "longer.npy", (vectors * lengths).astype(np.float32))
    assert (
        call(["cluster", str(tmp_path / "longer.npy"), "--metric", "cosine", "-k", "4", "--out", str(out), "--quiet"])
        == 0
    )
    labels = pl.read_parquet(out / "labels.parquet")
    for column in ("cluster", "second_cluster", "confidence"):
        assert labels[column].equals(run.users.sort("row")[column])
    assert np.load(out / "centroids.npy").tobytes() == np.ascontiguousarray(run.centroids).tobytes()
    figures = json.loads((out / "metrics.json").read_text())
    measured = json.loads((run.path / "stages" / "cluster_facts.json").read_text())
    assert figures["metric"] == "cosine" and figures["quality"] == measured["quality"]
    assert figures["stability"] == measured["stability"]


def test_an_unknown_metric_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "some.npy", np.eye(4))
    assert call(["cluster", str(tmp_path / "some.npy"), "--metric", "manhattan", "--out", str(tmp_path / "o")]) == 2
    assert "metric" in capsys.readouterr().err


def test_no_centre_is_nearer_to_a_user_with_nothing(run: uic.Run, capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for user in (NOBODY, "u017"):
        assert call(["profile", str(run.path), "--user", user, "--json"]) == 0
        told[user] = json.loads(capsys.readouterr().out)
    assert told[NOBODY]["cluster"] == 0 and told[NOBODY]["nearest_centre"] is None
    assert told["u017"]["nearest_centre"] == told["u017"]["cluster"]
