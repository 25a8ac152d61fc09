"""Cells as ids, numbers and kinds: Polars expressions that the cuDF engine translates as well.

Only operations of that engine's verified list are used: casts, literal replacement, ``contains``, slices,
``strip_chars`` with a given set, ``when``. Whitespace is a fixed set, because the two engines disagree on the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

SPACE: Final = " \t\n\r\x0b\x0c\x00\x85\xa0\u2002\u2003\u2009\u200b\u2028\u2029\u202f\u3000\ufeff"
MISSING: Final = ("", "null", "NULL", "Null", "None", "<NA>", "\\N")
"""Words that stand for an empty cell."""
MISSING_ID: Final = (*MISSING, "nan", "NaN", "NAN", "NaT")
LARGEST_VALUE: Final = 3.0e38
"""Values are kept as float32; beyond this they would be infinite."""


def stripped(cell: pl.Expr) -> pl.Expr:
    """Return a text cell without NUL and outer whitespace."""
    return cell.str.replace_all("\x00", "", literal=True).str.strip_chars(SPACE)


def text_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return any scalar column as stripped text; integral floats are written as integers (``17850.0`` is ``17850``)."""
    cell = pl.col(column)
    if isinstance(dtype, pl.String):
        return stripped(cell)
    if dtype.is_float():
        known = cell.fill_nan(None)
        whole = known.cast(pl.Int64, strict=False)
        integral = whole.cast(pl.Float64) == known.cast(pl.Float64)
        return pl.when(integral).then(whole.cast(pl.String)).otherwise(known.cast(pl.String))
    if dtype.is_decimal():
        return text_of_integral(cell.cast(pl.String))
    return cell.cast(pl.String)


def text_of_integral(cell: pl.Expr) -> pl.Expr:
    """Drop the ``.0`` of a whole number that was written as a float."""
    return (
        pl.when(cell.str.contains(r"^-?[0-9]+\.0$")).then(cell.str.replace_all(".0", "", literal=True)).otherwise(cell)
    )


def id_of(cell: pl.Expr) -> pl.Expr:
    """Return what :func:`text_of` made of a column as ids: whole floats as integers, null where empty."""
    return pl.when(~cell.is_in(MISSING_ID)).then(text_of_integral(cell))


def joined_id(cells: Sequence[pl.Expr]) -> pl.Expr:
    """Return several columns, as :func:`text_of` made them, as one id joined by ``|``; null where a part is missing."""
    parts = [id_of(cell) for cell in cells]
    return parts[0] if len(parts) == 1 else pl.concat_str(parts, separator="|")


def known_text(column: str, dtype: pl.DataType, missing: Sequence[str] = MISSING) -> pl.Expr:
    """Return a column as stripped text, null where empty."""
    cell = text_of(column, dtype)
    return pl.when(cell.is_in(missing)).then(None).otherwise(cell)


def number_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column as float64; null where empty or not a number, NaN where the cell is NaN."""
    if dtype.is_numeric() or isinstance(dtype, pl.Boolean):
        return pl.col(column).cast(pl.Float64)
    return known_text(column, dtype).cast(pl.Float64, strict=False)


def is_usable_number(number: pl.Expr) -> pl.Expr:
    """Whether a number is finite and fits float32; false where it is null."""
    return ((number <= LARGEST_VALUE) & (number >= -LARGEST_VALUE) & number.is_finite()).fill_null(False)
