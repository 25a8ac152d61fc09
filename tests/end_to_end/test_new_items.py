"""An item that nobody has chosen yet reaches the users whom its text fits, from the files to the list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

import uicgpu as uic
from uicgpu.cli.main import call


def test_new_items_are_recommended_by_their_text(
    generate_shop: Callable[..., Any], embedded_model: str, vector_cache: Path, tmp_path: Path
) -> None:
    shop = generate_shop(tmp_path / "shop")
    new = pl.DataFrame(
        {
            "item_id": ["new-grinder", "new-shears", "new-pump", "new-telescope"],
            "title": [
                "silent coffee grinder",
                "pruning shears for roses",
                "small bicycle pump",
                "refractor telescope kit",
            ],
            "category": ["coffee", "garden", "cycling", "astronomy"],
        }
    )
    pl.concat([pl.read_csv(shop.items), new]).write_csv(shop.items)
    out = tmp_path / "run"
    arguments = ["run", *shop.options(), "--model", embedded_model, "-k", "4", "--bootstrap", "100", "--raw-ids"]
    assert call([*arguments, "--tune", "off", "--out", str(out), "--quiet"]) == 0
    assert not uic.open_run(out).recommendations["item_id"].str.starts_with("new-").any()
    assert call(["recommend", str(out), "--new-items", "2", "--out", str(tmp_path / "lists.csv"), "--quiet"]) == 0
    lists = pl.read_csv(tmp_path / "lists.csv")
    served = lists.filter(pl.col("item_id").str.starts_with("new-"))
    assert served.equals(lists.filter(pl.col("source") == "new_item")) and served["item_id"].n_unique() == 4
    assert served["rank"].min() >= 9 and served["reason"].str.starts_with("its text is close to").mean() > 0.9
    groups = pl.read_csv(shop.users).select("user_id", topic="group")
    topics = new.select("item_id", own="category")
    joined = served.join(groups, on="user_id").join(topics, on="item_id")
    assert joined.height == served.height > 100
    assert (joined["topic"] == joined["own"]).mean() > 0.8, "one in four would be chance"
