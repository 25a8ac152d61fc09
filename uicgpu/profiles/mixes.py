"""How does a cluster's mix differ from everybody's? Shares, base shares and lifts of categories and of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.profiles.counts import Groups
from uicgpu.profiles.privacy import MINIMUM_CLUSTER_SIZE

CATEGORY_SEPARATOR = "|"
LONGEST_MIX = 8
MOST_VALUES = 100
"""An attribute with more distinct values is an identifier or free text and is not published."""


@dataclass(frozen=True)
class Share:
    """One entry of a mix."""

    value: str
    share: float
    base_share: float

    @property
    def lift(self) -> float | None:
        """Share over base share; None where nobody has the value."""
        return self.share / self.base_share if self.base_share > 0 else None


def category_matrix(categories: Sequence[str | None]) -> tuple[tuple[str, ...], sparse.csr_array]:
    """Split category values and return them sorted with a sparse items x values matrix.

    An item with several values counts for each in equal parts, so that the shares of a mix add up to 1.
    """
    split = [
        sorted({value.strip() for value in (entry or "").split(CATEGORY_SEPARATOR)} - {""}) for entry in categories
    ]
    values = tuple(sorted({value for entry in split for value in entry}))
    column = {value: number for number, value in enumerate(values)}
    indices = np.array([column[value] for entry in split for value in entry], np.int64)
    lengths = np.array([len(entry) for entry in split], np.int64)
    data = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return values, sparse.csr_array((data, indices, indptr), shape=(len(split), len(values)))


def category_mixes(
    values: Sequence[str],
    matrix: sparse.csr_array,
    weights: sparse.csr_array,
    holders: NDArray[np.int64],
    *,
    number: int | None = None,
    minimum_users: int = MINIMUM_CLUSTER_SIZE,
) -> list[list[Share]]:
    """Return each group's categories by share (the first ``number``), those of too few users left out.

    Parameters
    ----------
    matrix
        Sparse items x values from :func:`category_matrix`.
    weights
        Sparse groups x items.
    holders
        int64 [groups, values], users of the group who hold an item of the category.
    """
    amounts = (weights @ matrix).toarray() if len(values) else np.zeros((weights.shape[0], 0))
    totals = amounts.sum(axis=1)
    shares = amounts / np.where(totals > 0, totals, 1.0)[:, None]
    everything = amounts.sum(axis=0)
    base = everything / (everything.sum() or 1.0)
    result = []
    for group in range(amounts.shape[0]):
        published = np.flatnonzero((holders[group] >= minimum_users) & (shares[group] > 0))
        order = published[np.argsort(-shares[group][published], kind="stable")][:number]
        result.append([Share(values[column], float(shares[group, column]), float(base[column])) for column in order])
    return result


def telling(
    shares: Sequence[Share], *, least_share: float = 0.03, least_lift: float = 1.05, least_part: float = 0.1
) -> list[Share]:
    """Entries that set a cluster apart, by their part of the divergence ``share * log(share / base)``, largest first.

    Entries with less than ``least_part`` of the largest part are left out.
    """
    parts = [
        (entry.share * float(np.log(entry.share / entry.base_share)), entry)
        for entry in shares
        if entry.lift is not None and entry.share >= least_share and entry.lift >= least_lift
    ]
    largest = max((part for part, _ in parts), default=0.0)
    kept = [(part, entry) for part, entry in parts if part >= least_part * largest]
    return [entry for _, entry in sorted(kept, key=lambda pair: (-pair[0], pair[1].value))]


def value_mix(
    column: pl.Series, groups: Groups, *, number: int = LONGEST_MIX, minimum_users: int = MINIMUM_CLUSTER_SIZE
) -> list[list[Share]]:
    """Mix of one categorical column (one row per user) in each group; unknown values are left out of the shares."""
    text = column.cast(pl.String)
    values = tuple(text.drop_nulls().unique().sort().to_list())
    codes = text.cast(pl.Enum(values)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    known = codes >= 0
    counts = np.zeros((len(groups), len(values)), np.int64)
    np.add.at(counts, (groups.codes[known], codes[known]), 1)
    everything = counts.sum(axis=0)
    base = everything / max(int(everything.sum()), 1)
    result = []
    for row in counts:
        total = max(int(row.sum()), 1)
        published = np.flatnonzero(row >= minimum_users)
        order = published[np.argsort(-row[published], kind="stable")][:number]
        result.append([Share(values[code], float(row[code] / total), float(base[code])) for code in order])
    return result


def share_columns(
    frame: pl.DataFrame, columns: Sequence[str], names: Sequence[str], groups: Groups
) -> list[list[Share]]:
    """Mix over several share columns (each user's shares add up to 1): the mean of each column per group."""
    means = np.stack([group_means(frame[column].to_numpy().astype(np.float64), groups) for column in columns], axis=1)
    overall = np.array([_mean(frame[column].to_numpy().astype(np.float64)) for column in columns])
    return [
        [
            Share(names[column], float(row[column]), float(overall[column]))
            for column in np.argsort(-np.nan_to_num(row), kind="stable")
            if np.isfinite(row[column]) and row[column] > 0
        ][:LONGEST_MIX]
        for row in means
    ]


def group_means(values: NDArray[np.float64], groups: Groups) -> NDArray[np.float64]:
    """Mean of the known values of each group, NaN where none is known."""
    known = np.isfinite(values)
    sums = np.bincount(groups.codes[known], weights=values[known], minlength=len(groups))
    counts = np.bincount(groups.codes[known], minlength=len(groups))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def group_medians(values: NDArray[np.float64], groups: Groups) -> NDArray[np.float64]:
    """Median of the known values of each group, NaN where none is known."""
    order = np.lexsort((values, groups.codes))
    ends = np.cumsum(groups.sizes)
    medians = np.full(len(groups), np.nan)
    for group, (end, size) in enumerate(zip(ends.tolist(), groups.sizes.tolist(), strict=True)):
        part = values[order[end - size : end]]
        part = part[np.isfinite(part)]
        if part.size:
            medians[group] = np.median(part)
    return medians


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
