"""Counts of the real data sets; those of the raw files were measured independently of this code."""

import polars as pl
import pytest

from uicgpu.events.clean import clean_events
from uicgpu.settings import Settings


@pytest.fixture
def run(shared_data, backend):
    def clean(*names, **settings):
        paths = [str(shared_data / name) for name in names]
        return clean_events(Settings(events=paths, **settings), backend, None, lambda _: None)

    return clean


def test_movielens(run):
    facts = run("movielens-latest-small/ratings.csv").facts
    assert (facts["rows_read"], facts["events_kept"], facts["users"], facts["items"]) == (100_004, 100_004, 671, 9_066)
    assert facts["time_units"] == ["s"]
    assert facts["time_range"] == ["1995-01-09T11:46:49Z", "2016-10-16T17:57:24Z"]
    assert run("movielens-latest-small/ratings.csv", min_value=3.5).facts["events_kept"] == 62_106


def test_online_retail(run, shared_data):
    name = "online-retail-II-2009-2010/online_retail_II_2009_2010.parquet"
    cleaned = run(name)
    rejected = cleaned.facts["rejected"]
    assert cleaned.facts["rows_read"] == 525_461
    assert rejected["missing user"] == 107_927
    assert rejected["return"] == 9_839
    # 407,695 rows have a customer, a description and a positive quantity.
    assert cleaned.facts["events_kept"] + rejected["duplicate"] + rejected["returned"] == 407_695
    raw = pl.read_parquet(shared_data / name).filter(pl.col("Customer ID").is_not_null())
    keys = ["Customer ID", "StockCode", "InvoiceDate", "Quantity"]
    distinct = raw.unique(keys)
    net = distinct.group_by("Customer ID", "StockCode").agg(
        pl.col("Quantity").sum().alias("net"), (pl.col("Quantity") < 0).any().alias("has_return")
    )
    gone = net.filter(pl.col("has_return") & (pl.col("net") <= 0))
    positive = raw.filter(pl.col("Quantity") > 0)
    assert rejected["returned"] == positive.join(gone, on=["Customer ID", "StockCode"], how="semi").height
    left = positive.join(gone, on=["Customer ID", "StockCode"], how="anti").unique(keys)
    assert cleaned.events.height == left.height
    assert cleaned.facts["users"] == left["Customer ID"].n_unique()
    assert cleaned.behaviour["user_id"][0] == "12346"
    texts = dict(cleaned.event_items.select("item_id", "text").rows())
    assert texts["79323P"] == "Pink cherry lights"


def test_anime(run):
    facts = run("anime-zh/history.csv.gz").facts
    assert (facts["events_kept"], facts["users"], facts["items"], facts["time_range"]) == (441_448, 4_993, 3_713, None)


def test_amazon(run):
    cleaned = run("amazon2023-30x23", user_column="user_id,category", label_column="category")
    facts = cleaned.facts
    assert (facts["rows_read"], facts["events_kept"], facts["users"], facts["pairs"]) == (691, 3_455, 691, 3_452)
    assert facts["items"] == 3_228
    assert (facts["time_range"][0][:10], facts["time_range"][1][:10]) == ("2006-12-05", "2023-03-16")
    assert cleaned.labels["label"].n_unique() == 24
    assert run("amazon2023-30x23").facts["users"] == 354
