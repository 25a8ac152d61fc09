"""Which cells would a spreadsheet run? Text that begins like a formula gets a leading apostrophe (CWE-1236)."""

from __future__ import annotations

import polars as pl


def defuse_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Prefix text cells that begin with ``= + - @``, tab, line feed or carriage return by ``'``.

    Columns that are not text stay as they are, and so does every other cell.

    >>> defuse_formulas(pl.DataFrame({"a": ["=1+1", "b-c"], "n": [-1, 2]})).rows()
    [("'=1+1", -1), ('b-c', 2)]
    """
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(r"^[=+\-@\t\r\n＝＋－＠]"))
        .then(pl.concat_str(pl.lit("'"), pl.col(name)))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )
