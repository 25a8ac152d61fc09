"""Run Polars plans on the CPU's streaming engine."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def collect(plans: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
    """Run the plans together, shared sub-plans once. Rows come in no particular order unless a plan sorts them."""
    return pl.collect_all(list(plans), engine="streaming")
