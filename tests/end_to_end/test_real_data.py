"""Real data sets, one command each, default settings: the pipeline ends, and the blend beats popularity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import uicgpu as uic

pytestmark = pytest.mark.slow

ABOVE_POPULARITY = "difference.blend-popularity.ndcg@10.low"


@pytest.fixture
def run_on(shared_data: Path, vector_cache: Path, tmp_path: Path):
    """Run the pipeline on files of the shared data."""

    def run(events: str, **settings: object) -> uic.Run:
        files = {"events": [str(shared_data / events)], "out": str(tmp_path / "run")}
        if "items" in settings:
            files["items"] = [str(shared_data / str(settings.pop("items")))]
        return uic.run({**settings, **files})

    return run


def holds_the_contract(run: uic.Run) -> bool:
    users = run.users["user_id"]
    pairs = run.interactions.select("user_id", "item_id")
    seen = run.recommendations.join(pairs, on=["user_id", "item_id"], how="semi")
    return (
        run.complete
        and users.n_unique() == len(users) == run.interactions["user_id"].n_unique()
        and bool((run.users["cluster"] >= 0).all())
        and bool(np.isfinite(run.interest_vectors).all())
        and seen.height == 0
    )


def test_movielens(run_on) -> None:
    run = run_on("movielens-latest-small/ratings.csv", items="movielens-latest-small/movies.csv")
    assert holds_the_contract(run)
    assert (run.users.height, run.items.height, run.rejected.height) == (671, 9125, 0)
    assert run.metrics[ABOVE_POPULARITY] > 0


def test_online_retail_with_its_dirt(run_on) -> None:
    run = run_on("online-retail-II-2009-2010/online_retail_II_2009_2010.parquet", item_pattern="^[0-9]{5}")
    assert holds_the_contract(run)
    reasons = dict(run.rejected["reason"].value_counts().iter_rows())
    assert reasons["missing user"] == 107_927
    assert {"return", "returned", "duplicate"} <= set(reasons)
    assert run.items.filter(pl.col("item_id") == "POST").height == 0
    assert run.metrics["evaluation.split"] == "time"
    assert run.metrics[ABOVE_POPULARITY] > 0


def test_chinese_titles_get_the_multilingual_encoder(run_on) -> None:
    run = run_on(
        "anime-zh/ratings.csv.gz", items="anime-zh/items_zh.csv", text_columns=["zh"], category_column="genre_zh"
    )
    assert holds_the_contract(run)
    assert run.facts("encode")["model"] == "multilingual"
    assert run.metrics["evaluation.split"] == "user-random"
    assert run.metrics[ABOVE_POPULARITY] > 0


def test_nested_json_lines_and_known_groups(run_on) -> None:
    run = run_on("amazon2023-30x23", user_column=["user_id", "category"], label_column="category", k=23)
    assert holds_the_contract(run)
    assert (run.users.height, run.facts("clean")["events_kept"]) == (691, 3455)
    assert run.metrics["cluster.nmi"] > 0.85
