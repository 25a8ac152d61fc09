"""How does a cluster's mix differ from everybody's? Shares, base shares and lifts of categories and of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.events.interactions import Interactions
from uicgpu.privacy.anonymity import K_ANONYMITY
from uicgpu.profiles.counts import PAIRS_PER_BLOCK, Groups, user_blocks

CATEGORY_SEPARATOR = "|"
LONGEST_MIX = 8
LONGEST_VALUE = 40
"""Characters of a category or value as it is published."""
NORMAL_95 = 1.959964
MOST_VALUES = 100
"""An attribute with more distinct values is an identifier or free text and is not published."""


@dataclass(frozen=True)
class Share:
    """One entry of a mix."""

    value: str
    share: float
    base_share: float
    error: float | None = None
    """Standard error of ``share`` over users, where it is known."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the lift: that of the share, over the base share; None where nothing is known."""
        if self.error is None or self.base_share <= 0:
            return None
        reach = NORMAL_95 * self.error
        return max(self.share - reach, 0.0) / self.base_share, min(self.share + reach, 1.0) / self.base_share

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
    minimum_users: int = K_ANONYMITY,
    errors: NDArray[np.float64] | None = None,
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
    errors
        float64 [groups, values] from :func:`share_errors`.
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
        result.append(
            [
                Share(
                    values[column],
                    float(shares[group, column]),
                    float(base[column]),
                    None if errors is None else float(errors[group, column]),
                )
                for column in order
            ]
        )
    return result


def share_errors(
    groups: Groups, interactions: Interactions, weights: NDArray[np.float64], matrix: sparse.csr_array
) -> NDArray[np.float64]:
    """Standard error of each group's share of each value: a share is the mean of its users' own shares.

    Parameters
    ----------
    weights
        float64 [pairs], 1 in total for each user.
    matrix
        Sparse items x values.

    Returns
    -------
    float64 [groups, values]; zero for groups of fewer than two users with items.
    """
    shape = (len(groups), matrix.shape[1])
    sums, squares, counted = np.zeros(shape), np.zeros(shape), np.zeros(len(groups))
    for first, last in user_blocks(interactions, PAIRS_PER_BLOCK // 8):
        start, end = int(interactions.offsets[first]), int(interactions.offsets[last])
        block = sparse.csr_array(
            (weights[start:end], interactions.items[start:end], interactions.offsets[first : last + 1] - start),
            shape=(last - first, interactions.n_items),
        )
        mixes = (block @ matrix).tocsr()
        totals = np.asarray(mixes.sum(axis=1)).ravel()
        mixes.data /= np.repeat(np.where(totals > 0, totals, 1.0), np.diff(mixes.indptr))
        entries = mixes.tocoo()
        codes = groups.codes[first:last]
        np.add.at(sums, (codes[entries.row], entries.col), entries.data)
        np.add.at(squares, (codes[entries.row], entries.col), entries.data**2)
        counted += np.bincount(codes[totals > 0], minlength=len(groups))
    users = np.maximum(counted, 1.0)[:, None]
    variance = np.maximum(squares / users - (sums / users) ** 2, 0.0) * users / np.maximum(users - 1, 1.0)
    return np.where(counted[:, None] > 1, np.sqrt(variance / users), 0.0)


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
    column: pl.Series, groups: Groups, *, number: int = LONGEST_MIX, minimum_users: int = K_ANONYMITY
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
    frame: pl.DataFrame,
    columns: Sequence[str],
    names: Sequence[str],
    groups: Groups,
    minimum_users: int = K_ANONYMITY,
) -> list[list[Share]]:
    """Mix over several share columns (each user's shares add up to 1): the mean of each column per group.

    A value is left out where fewer than ``minimum_users`` users of the group have any of it.
    """
    held = np.stack(
        [np.bincount(groups.codes[frame[column].to_numpy() > 0], minlength=len(groups)) for column in columns], axis=1
    )
    means = np.stack([group_means(frame[column].to_numpy().astype(np.float64), groups) for column in columns], axis=1)
    overall = np.array([_mean(frame[column].to_numpy().astype(np.float64)) for column in columns])
    return [
        [
            Share(names[column], float(row[column]), float(overall[column]))
            for column in np.argsort(-np.nan_to_num(row), kind="stable")
            if np.isfinite(row[column]) and row[column] > 0 and holders[column] >= minimum_users
        ][:LONGEST_MIX]
        for row, holders in zip(means, held, strict=True)
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
