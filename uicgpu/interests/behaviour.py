"""From numeric behaviour features to columns of an interest vector.

Standardised by the mean and the standard deviation of the users they were fitted on, so that a count, an hour and an
amount of money weigh the same; clipped, so that one wholesaler does not stretch an axis for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.vocabulary import Column

CLIP: Final = 3.0
"""Standardised features are cut at plus and minus this many standard deviations."""


@dataclass(frozen=True)
class Features:
    """Numeric features of users.

    Attributes
    ----------
    names
        One name per column.
    values
        float64 [users, features]; NaN where a feature is unknown for a user.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Users and features."""
        return (self.values.shape[0], self.values.shape[1])

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InputError(
                f"features have shape {self.values.shape} for {len(self.names)} names",
                fix="pass one column per feature name",
            )


def feature_matrix(frame: pl.DataFrame, user_ids: Sequence[str] | None = None) -> Features:
    """Turn the behaviour table into features, one row per user.

    Parameters
    ----------
    frame
        ``user_id`` and numeric columns, as in ``stages/behaviour.parquet``.
    user_ids
        The users and their order; default: the users of the frame, sorted. A user without a row gets NaN features.

    Raises
    ------
    InputError
        If ``user_id`` is missing or repeated, or a column is not numeric.
    """
    if Column.USER not in frame.columns:
        raise InputError(f"behaviour features have no column {Column.USER}", where=f"columns {frame.columns}")
    if frame[Column.USER].is_duplicated().any():
        row = int((~frame[Column.USER].is_first_distinct()).arg_true()[0])
        raise InputError(
            "a user has more than one row of behaviour features",
            where=f"row {row + 1}, column {Column.USER}: the user stands in an earlier row too",
            fix="keep one row per user",
        )
    names = tuple(name for name in frame.columns if name != Column.USER)
    for name in names:
        if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean):
            raise InputError(f"feature {name} has type {frame[name].dtype}", fix="pass numeric columns")
    if user_ids is None:
        ordered = frame.sort(Column.USER)
    else:
        users = pl.DataFrame({Column.USER: pl.Series(list(user_ids), dtype=frame[Column.USER].dtype)})
        ordered = users.join(frame, on=Column.USER, how="left", maintain_order="left")
    columns = [ordered[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]
    values = np.column_stack(columns) if columns else np.empty((ordered.height, 0), np.float64)
    return Features(names, np.where(np.isfinite(values), values, np.nan))


@dataclass(frozen=True)
class FeatureScale:
    """Mean and standard deviation (population) per feature, learned from the users that have the feature.

    A constant feature, or one that nobody has, has scale 0 and standardises to 0.
    """

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, features: Features) -> FeatureScale:
        """Learn mean and scale; NaN values are left out."""
        known = np.isfinite(features.values)
        count = np.maximum(known.sum(axis=0), 1)
        values = np.where(known, features.values, 0.0)
        mean = values.sum(axis=0) / count
        spread = np.where(known, features.values - mean, 0.0)
        scale = np.sqrt((spread**2).sum(axis=0) / count)
        # Rounding leaves a constant column with a spread near 1e-16 of its size: that is still constant.
        constant = scale <= 1e-12 * np.abs(mean)
        return cls(features.names, mean, np.where(constant, 0.0, scale))

    def standardise(self, features: Features) -> NDArray[np.float32]:
        """Return float32 [users, features] in [-3, 3], in the order of the fitted names.

        An unknown value, a constant feature and a feature that ``features`` lacks become 0, the mean.
        """
        result = np.zeros((features.values.shape[0], len(self.names)), np.float32)
        column_of = {name: column for column, name in enumerate(features.names)}
        for column, name in enumerate(self.names):
            if name not in column_of or self.scale[column] == 0:
                continue
            standard = (features.values[:, column_of[name]] - self.mean[column]) / self.scale[column]
            result[:, column] = np.clip(np.nan_to_num(standard, nan=0.0), -CLIP, CLIP)
        return result
