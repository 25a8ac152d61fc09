"""The data sets of the fine-tuning benchmark, read the way a run reads them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from uicgpu.backends import choose_backend
from uicgpu.events.clean import clean_events
from uicgpu.events.interactions import EventTable, load_events
from uicgpu.items.read import read_items
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column

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
}
"""Settings per set."""
STEPS: Final = {"films": 80, "retail": 120, "anime": 60}
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
        settings = Settings(**given)
        cleaned = clean_events(settings, choose_backend("cpu", 1, 2**32), Path(scratch) / "events", print)
        column = cleaned.facts["columns"]["item"]
        items = read_items(settings, cleaned.event_items, print, event_item_column=column).items
        table = load_events(
            cleaned.events, n_users=cleaned.facts["users"], n_items=items.height, kind_names=tuple(cleaned.kind_names)
        )
    return table, items[Column.TEXT].to_list()
