"""Users for a set of labelled texts that has none: ``python -m uicgpu.bench.drawn_users TEXTS.csv OUT``.

Each drawn user likes one label: four of five events are texts of that label, the rest any texts. ``OUT`` gets
``events.csv`` and ``items.csv``, from which ``uicgpu run`` makes a run whose groups are known. Figures of such runs say
something of texts, names and privacy checks, and nothing of people.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from uicgpu.randomness import generator

SEED: Final = 11
USERS: Final = 1000
EVENTS: Final = 10
OWN: Final = 0.8
TITLE: Final = 60
"""Characters of a text that stand for it as a title."""


def draw_users(texts: pl.DataFrame, label: str, text: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return events (``user_id``, ``item_id``) and items (``item_id``, ``title``, ``category``).

    Parameters
    ----------
    texts
        One row per text, with the columns ``label`` and ``text``.

    Examples
    --------
    >>> events, items = draw_users(pl.DataFrame({"c": ["a", "b"], "t": ["x", "y"]}), "c", "t")
    >>> events.height, items["category"].to_list()
    (10000, ['a', 'b'])
    """
    random = generator(SEED, "drawn users")
    ids = [f"t{number:06d}" for number in range(texts.height)]
    title = texts[text].cast(pl.String).str.slice(0, TITLE)
    items = pl.DataFrame({"item_id": ids, "title": title, "category": texts[label]})
    groups = [group["row"].to_numpy() for group in texts.with_row_index("row").sort(label, "row").partition_by(label)]
    owners = np.repeat(np.arange(USERS), EVENTS)
    chosen = random.integers(0, texts.height, owners.size)
    for number, group in enumerate(groups):
        own = (owners % len(groups) == number) & (random.random(owners.size) < OWN)
        chosen[own] = random.choice(group, int(own.sum()))
    events = {"user_id": [f"person-{owner:05d}" for owner in owners], "item_id": items["item_id"].gather(chosen)}
    return pl.DataFrame(events), items


def main(arguments: Sequence[str] | None = None) -> None:
    """Read texts, draw users, write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--label", default="cat")
    parser.add_argument("--text", default="review")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    events, items = draw_users(pl.read_csv(given.texts), given.label, given.text)
    events.write_csv(given.out / "events.csv")
    items.write_csv(given.out / "items.csv")


if __name__ == "__main__":
    main()
