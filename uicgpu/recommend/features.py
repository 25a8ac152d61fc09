"""What the ranker sees of a user and a candidate item, and which of it may be seen under which split.

A split per user leaves other users' later events in the training part. There the age of an item, its recent counts and
the days since the user's last event tell the future, so these features exist only under one cut in time for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.backends.workers import one_blas_thread
from uicgpu.events.interactions import DAY_US, NO_TIME
from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.inputs import TrainingPart, UserBlock

DEEPEST_RANK: Final = 500
"""Ranks are told apart up to here; all worse ones are one."""
OLDEST_DAYS: Final = 400.0
LAST_EVENTS: Final = 3.0
"""Half-life, in events, of the mean text of the last events."""
SHORT_DAYS: Final = 7.0
LONG_DAYS: Final = 45.0

BASE: Final = ("item_popularity", "history_length", "history_popularity", "popularity_difference")
TIME: Final = ("item_age", "recent_7", "recent_45", "trend", "user_idle")
TEXT: Final = ("text_closest", "text_user", "text_density")
TEXT_TIMED: Final = ("text_last",)
CATEGORY: Final = ("category_lift", "category_share")

_TIME_SPLITS: Final = frozenset({"time"})
_ORDERED_SPLITS: Final = frozenset({"time", "user-time", "leave-one-out"})


def feature_groups(split: str, part: TrainingPart) -> tuple[list[str], list[str]]:
    """Groups of features that may be used under ``split`` with this part's data, and those that are off."""
    usable = {
        "base": True,
        "time": split in _TIME_SPLITS and part.events.timed,
        "text": bool(part.has_text.any()),
        "text_timed": split in _ORDERED_SPLITS and part.events.timed and bool(part.has_text.any()),
        "category": bool(part.catalogue.categories) and any(part.catalogue.categories or ()),
    }
    return [name for name, there in usable.items() if there], [name for name, there in usable.items() if not there]


def feature_names(arms: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Names of the columns, in order."""
    told = {"base": BASE, "time": TIME, "text": TEXT, "text_timed": TEXT_TIMED, "category": CATEGORY}
    names = [f"{kind}_{arm}" for arm in arms for kind in ("z", "rank")]
    for group, columns in told.items():
        names += columns if group in groups else ()
    return names


def monotone(names: Sequence[str]) -> list[int]:
    """+1 for every arm's z-score, -1 for every arm's rank, 0 elsewhere."""
    return [1 if name.startswith("z_") else -1 if name.startswith("rank_") else 0 for name in names]


class Features:
    """Features of pairs (user, candidate) for arms fitted on one part.

    Parameters
    ----------
    part
        What the arms were fitted on; everything here is counted on it and on nothing else.
    arms
        Arms whose z-scores and ranks are features.
    groups
        See :func:`feature_groups`.
    """

    def __init__(self, part: TrainingPart, arms: Sequence[str], groups: Sequence[str]) -> None:
        self.part, self.arms, self.groups = part, tuple(arms), tuple(groups)
        self.names = feature_names(arms, groups)
        self.popularity = np.log1p(part.item_counts.astype(np.float64))
        if "time" in groups:
            self.times = _item_times(part)
        if "text" in groups:
            mean = part.catalogue.item_vectors[part.known].mean(axis=0, dtype=np.float64)
            mean /= max(float(np.linalg.norm(mean)), 1e-12)
            self.density = (part.catalogue.item_vectors * mean.astype(np.float32)).sum(axis=1)
            self.importance = np.where(part.known, 1.0 / np.log(2.0 + part.item_counts), 0.0)
        if "category" in groups:
            self.categories, self.shares = _categories(part)

    def table(
        self,
        block: UserBlock,
        z: Mapping[str, NDArray[np.float32]],
        ranks: Mapping[str, NDArray[np.float32]],
        items: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Return the features of the pairs where ``items`` [b, width] is not -1, row by row; float32 [pairs, features].

        Parameters
        ----------
        z
            Per arm float32 [b, items].
        ranks
            Per arm float32 [b, width], :func:`candidate_ranks`.
        """
        rows, places = np.nonzero(items >= 0)
        picked = items[rows, places]
        columns: list[NDArray[Any]] = []
        for name in self.arms:
            columns += [z[name][rows, picked], np.log1p(ranks[name][rows, places])]
        columns += self._base(block, rows, picked)
        if "time" in self.groups:
            last = block.part.last_times[block.users]
            idle = np.where(last == NO_TIME, OLDEST_DAYS, (self.part.now - last) / DAY_US)
            columns += [*(column[picked] for column in self.times), idle[rows]]
        if "text" in self.groups:
            columns += self._text(block, items)
        if "category" in self.groups:
            told = self.categories
            lift, share = _category_features(
                block.offsets, block.items, told.indptr, told.indices, self.shares, rows, picked
            )
            columns += [lift, share]
        return np.stack([column.astype(np.float32) for column in columns], axis=1)

    def _base(self, block: UserBlock, rows: NDArray[np.int64], picked: NDArray[np.int32]) -> list[NDArray[np.float64]]:
        entry_rows = np.repeat(np.arange(len(block)), block.lengths)
        total = np.bincount(entry_rows, self.popularity[block.items], minlength=len(block))
        mean = total / np.maximum(block.lengths, 1)
        popularity = self.popularity[picked]
        return [popularity, np.log1p(block.lengths)[rows], mean[rows], popularity - mean[rows]]

    def _text(self, block: UserBlock, items: NDArray[np.int32]) -> list[NDArray[np.float32]]:
        directions = self.part.directions
        vectors = block.part.user_vectors[block.users]
        events_back, _ = block.part.steps_back
        timed = "text_timed" in self.groups
        closest, user, last = [], [], []
        with one_blas_thread():
            for row in range(len(block)):
                own = items[row][items[row] >= 0]
                entries = slice(block.offsets[row], block.offsets[row + 1])
                history = block.items[entries]
                candidates = directions[own]
                near = directions[history] @ candidates.T if history.size else np.zeros((1, own.size), np.float32)
                closest.append(near.max(axis=0))
                user.append(candidates @ vectors[row])
                if timed:
                    weight = self.importance[history] * np.exp2(-events_back[block.rows[entries]] / LAST_EVENTS)
                    mean = (weight[:, None] * directions[history]).sum(axis=0)
                    mean /= max(float(np.linalg.norm(mean)), 1e-12)
                    last.append(candidates @ mean.astype(np.float32))
        told = [np.concatenate([*closest, np.empty(0, np.float32)]), np.concatenate([*user, np.empty(0, np.float32)])]
        told.append(self.density[items[items >= 0]])
        return [*told, np.concatenate([*last, np.empty(0, np.float32)])] if timed else told


def candidate_ranks(scores: NDArray[np.float32], items: NDArray[np.int32]) -> NDArray[np.float32]:
    """Rank of each candidate among the finite scores of its row, 1 = best, equal scores share the best rank.

    Ranks beyond 500 are 501. ``scores`` [b, items] with minus infinity for what is no candidate; ``items`` [b, width],
    -1 for none; returns float32 [b, width].
    """
    out: NDArray[np.float32] = _ranks(scores, items, DEEPEST_RANK)
    return out


def unite(best: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Union of the arms' best items per row: int32 [b, width], ascending, padded with -1."""
    stacked = np.sort(np.concatenate(list(best), axis=1), axis=1)
    fresh = np.ones(stacked.shape, np.bool_)
    fresh[:, 1:] = stacked[:, 1:] != stacked[:, :-1]
    fresh &= stacked >= 0
    width = int(fresh.sum(axis=1).max(initial=0))
    items = np.full((stacked.shape[0], width), -1, np.int32)
    row, _ = np.nonzero(fresh)
    items[row, fresh.cumsum(axis=1)[fresh] - 1] = stacked[fresh]
    return items


def _item_times(part: TrainingPart) -> list[NDArray[np.float64]]:
    """Per item: days since its first event, decayed counts (two half-lives, log), and their difference."""
    pairs = part.interactions
    first = np.full(pairs.n_items, part.now, np.int64)
    np.minimum.at(first, pairs.items, pairs.first_times)
    age = np.minimum((part.now - first) / DAY_US, OLDEST_DAYS)
    days = (part.now - pairs.last_times) / DAY_US
    counts = [
        np.log1p(np.bincount(pairs.items, np.exp2(-days / half_life), minlength=pairs.n_items))
        for half_life in (SHORT_DAYS, LONG_DAYS)
    ]
    return [age, *counts, counts[0] - counts[1]]


def _categories(part: TrainingPart) -> tuple[sparse.csr_array, NDArray[np.float64]]:
    """Items x categories, and each category's share of the part's pairs."""
    categories = part.catalogue.categories or []
    names = {name: code for code, name in enumerate(sorted({name for own in categories for name in own}))}
    lengths = [len(set(own)) for own in categories]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    codes = np.array([names[name] for own in categories for name in sorted(set(own))], np.int32)
    table = sparse.csr_array((np.ones(codes.size, np.float32), codes, offsets), shape=(len(categories), len(names)))
    counts = np.bincount(codes, np.repeat(part.item_counts, lengths).astype(np.float64), minlength=len(names))
    return table, counts / max(counts.sum(), 1.0)


@compiled
def _ranks(scores: Any, items: Any, deepest: int) -> Any:
    rows, columns = scores.shape
    out = np.zeros(items.shape, np.float32)
    values = np.empty(columns, scores.dtype)
    for row in range(rows):
        number = 0
        for item in range(columns):
            if scores[row, item] > -np.inf:
                values[number] = scores[row, item]
                number += 1
        kept = min(number, deepest)
        if kept == 0:
            continue
        best = np.sort(np.partition(values[:number], number - kept)[number - kept :])
        for place in range(items.shape[1]):
            if items[row, place] < 0:
                break
            # How many of the best are larger: those after the last one that is not.
            above = kept - np.searchsorted(best, scores[row, items[row, place]], side="right")
            out[row, place] = min(above, deepest) + 1
    return out


@compiled
def _category_features(
    offsets: Any, items: Any, item_offsets: Any, item_codes: Any, shares: Any, rows: Any, picked: Any
) -> Any:
    """Mean log lift of the item's categories in the history over everybody's, and their mean share."""
    lift = np.zeros(rows.size, np.float64)
    share = np.zeros(rows.size, np.float64)
    own = np.zeros(shares.size, np.float64)
    current = -1
    total = 0.0
    for pair in range(rows.size):
        row = rows[pair]
        if row != current:
            if current >= 0:
                for entry in range(offsets[current], offsets[current + 1]):
                    for place in range(item_offsets[items[entry]], item_offsets[items[entry] + 1]):
                        own[item_codes[place]] = 0.0
            current = row
            total = 0.0
            for entry in range(offsets[row], offsets[row + 1]):
                for place in range(item_offsets[items[entry]], item_offsets[items[entry] + 1]):
                    own[item_codes[place]] += 1.0
                    total += 1.0
            total = max(total, 1.0)
        first, last = item_offsets[picked[pair]], item_offsets[picked[pair] + 1]
        for place in range(first, last):
            mine, all_users = own[item_codes[place]] / total, shares[item_codes[place]]
            lift[pair] += np.log((mine + 0.02 * all_users + 1e-6) / (all_users + 1e-6))
            share[pair] += mine
        if last > first:
            lift[pair] /= last - first
            share[pair] /= last - first
    return lift, share
