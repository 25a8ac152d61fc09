"""A finished run holds what the contract promises: every file, every column, every user once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import uicgpu as uic
from uicgpu.runs.folder import sha256_file

FILES = {
    "manifest.json",
    "interactions.parquet",
    "rejected.parquet",
    "items.parquet",
    "item_vectors.npy",
    "users.parquet",
    "interest_vectors.npy",
    "clusters.parquet",
    "centroids.npy",
    "profiles.json",
    "recommendations.parquet",
    "metrics.json",
    "report.html",
}


@pytest.fixture(scope="module")
def run(finished: Path) -> uic.Run:
    return uic.open_run(finished)


def test_every_file_is_there_and_nothing_unpickled_or_half_written(finished: Path) -> None:
    present = {path.name for path in finished.iterdir() if path.is_file()}
    assert present >= FILES
    suffixes = {path.suffix for path in finished.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".parquet", ".npy", ".safetensors", ".html", ".txt", ".lock", ""}
    assert not list(finished.rglob(".partial-*"))


def test_tables_have_the_promised_columns_and_types(run: uic.Run) -> None:
    interactions = run.interactions.schema
    assert interactions["user_id"] == pl.String
    assert interactions["item_id"] == pl.String
    assert (interactions["weight"], interactions["events"]) == (pl.Float32, pl.Int32)
    assert interactions["last_time"].is_temporal()
    users = run.users.schema
    assert [users[name] for name in ("cluster", "confidence", "second_cluster", "events")] == [
        pl.Int32,
        pl.Float32,
        pl.Int32,
        pl.Int32,
    ]
    assert {"cluster", "name", "size", "share", "terms", "exemplar_items", "silhouette", "row"} <= set(
        run.clusters.columns
    )
    assert run.clusters.schema["terms"] == pl.List(pl.String)
    assert run.clusters.schema["exemplar_items"] == pl.List(pl.String)
    assert run.recommendations.columns == ["user_id", "rank", "item_id", "score", "source", "reason"]
    assert run.rejected.columns == ["source", "row", "reason", "sample"]
    assert {"item_id", "text", "category", "row"} <= set(run.items.columns)


def test_every_user_has_exactly_one_row_and_one_cluster(run: uic.Run) -> None:
    users = run.users["user_id"]
    assert users.n_unique() == len(users) == 240
    assert set(users) == set(run.interactions["user_id"])
    assert run.users["cluster"].is_between(0, run.clusters.height - 1).all()
    assert run.users["confidence"].is_between(0, 1).all()
    assert run.users["row"].to_list() == list(range(240))


def test_pairs_are_distinct_sorted_and_count_the_events(run: uic.Run) -> None:
    pairs = run.interactions
    assert pairs.select("user_id", "item_id").is_unique().all()
    assert pairs.equals(pairs.sort("user_id", "item_id"))
    assert pairs["events"].sum() == run.users["events"].sum() == run.facts("clean")["events_kept"]
    assert (pairs["weight"] > 0).all()


def test_vectors_are_unit_rows_that_match_the_tables(run: uic.Run) -> None:
    assert run.item_vectors.shape[0] == run.items.height == 120
    assert run.interest_vectors.shape == (240, run.item_vectors.shape[1])
    for vectors in (run.item_vectors, run.interest_vectors):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert run.centroids.shape == (run.clusters.height, run.interest_vectors.shape[1])


def test_clusters_find_the_known_groups(run: uic.Run) -> None:
    assert run.metrics["cluster.nmi"] > 0.9
    assert run.metrics["cluster.ari"] > 0.9
    topics = {"coffee", "garden", "cycling", "astronomy"}
    mixes = [profile["categories"][0]["category"] for profile in run.profiles]
    assert set(mixes) == topics


def test_recommendations_are_new_items_ranked_from_one(run: uic.Run) -> None:
    table = run.recommendations
    assert set(table["user_id"]) == set(run.users["user_id"])
    ranks = table.group_by("user_id", maintain_order=True).agg(pl.col("rank"))["rank"]
    assert all(list(rank) == list(range(1, 11)) for rank in ranks)
    seen = table.join(run.interactions, on=["user_id", "item_id"], how="semi")
    assert seen.height == 0
    assert table["reason"].str.len_chars().min() > 0
    falling = table.with_columns(pl.col("score").diff().over("user_id").alias("step"))
    assert (falling["step"].drop_nulls() <= 1e-6).all()


def test_metrics_are_flat_and_hold_intervals_and_the_ablation(run: uic.Run) -> None:
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert not [name for name, value in metrics.items() if isinstance(value, dict | list)]
    for method in ("popularity", "item_item", "ease", "user_neighbours", "blend"):
        low, value, high = (metrics[f"ranking.{method}.ndcg@10{end}"] for end in (".low", "", ".high"))
        assert 0 <= low <= value <= high <= 1
    assert {f"ablation.{pair}.ndcg@10" for pair in ("real-none", "random-none", "real-random")} <= set(metrics)
    assert metrics["difference.blend-popularity.ndcg@10.low"] > 0


def test_the_manifest_describes_every_output(run: uic.Run) -> None:
    manifest = run.manifest
    assert manifest["format_version"] == 1
    assert manifest["device"]["name"] == "cpu"
    assert manifest["device"]["reason"]
    assert {entry["role"] for entry in manifest["inputs"]} == {"events", "items", "users"}
    described = {}
    for stage in manifest["stages"].values():
        assert stage["status"] == "done"
        assert stage["seconds"] >= 0
        assert stage["peak_bytes"] > 0
        described |= stage["outputs"]
    assert set(described) >= FILES - {"manifest.json"}
    for artefact, entry in described.items():
        path = run.path / artefact
        assert (path.stat().st_size, sha256_file(path)) == (entry["bytes"], entry["sha256"])


def test_published_files_hold_no_user_id_and_no_path(run: uic.Run, finished: Path) -> None:
    for name in ("report.html", "profiles.json"):
        text = (finished / name).read_text(encoding="utf-8")
        assert "u017" not in text
        assert str(finished.parent) not in text
