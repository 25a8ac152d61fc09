"""Weighted co-occurrence of items, of which each target keeps its largest weights: the table behind several arms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.inputs import TrainingPart

LONGEST_HISTORY = 1000
"""Items of one user that count for co-occurrence, the latest first: the work grows with the square of a history."""
ITEMS_PER_PART = 256


def nearest_items(
    part: TrainingPart,
    user_weights: NDArray[np.float64],
    source_scale: NDArray[np.float64],
    target_scale: NDArray[np.float64],
    neighbours: int,
) -> sparse.csr_array:
    """Return ``W_ij = source_scale_i target_scale_j x sum over the users of both of user_weights_u``, without diagonal.

    Of each target j only the ``neighbours`` largest ``W_ij`` are kept, ties by lower item. Never more than one dense
    row is held per thread; of a user the latest ``LONGEST_HISTORY`` items count.

    Parameters
    ----------
    user_weights
        float64 [users], above 0.
    source_scale, target_scale
        float64 [items].

    Returns
    -------
    scipy.sparse.csr_array
        float32 [items, items], row = history item i, column = target j.
    """
    offsets, items = _latest(part)
    n_items = part.events.n_items
    by_user = sparse.csr_array((np.ones(items.size, np.float32), items, offsets), shape=(offsets.size - 1, n_items))
    by_item = by_user.tocsc()
    keep = min(neighbours, max(n_items - 1, 1))
    item_offsets, item_users = by_item.indptr.astype(np.int64), by_item.indices.astype(np.int32)

    def find(start: int) -> tuple[Any, Any]:
        stop = min(start + ITEMS_PER_PART, n_items)
        return _nearest_items(  # type: ignore[no-any-return]
            start, stop, item_offsets, item_users, offsets, items, user_weights, source_scale, target_scale, keep
        )

    found = part.backend.map(find, range(0, n_items, ITEMS_PER_PART))
    near = np.concatenate([near for near, _ in found]) if found else np.empty((0, keep), np.int32)
    values = np.concatenate([values for _, values in found]) if found else np.empty((0, keep), np.float32)
    kept = near >= 0
    targets = np.repeat(np.arange(n_items, dtype=np.int32), kept.sum(axis=1))
    table = sparse.coo_array((values[kept], (near[kept], targets)), shape=(n_items, n_items)).tocsr()
    table.sort_indices()
    return table


def _latest(part: TrainingPart) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Histories cut to the latest ``LONGEST_HISTORY`` items, in CSR order."""
    pairs = part.interactions
    if part.interactions.user_counts.max(initial=0) <= LONGEST_HISTORY:
        return pairs.offsets, pairs.items
    users = pairs.users
    order = np.lexsort((pairs.items, -pairs.last_times.astype(np.float64), users))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size) - pairs.offsets[users[order]]
    kept = place < LONGEST_HISTORY
    offsets = np.zeros(pairs.n_users + 1, np.int64)
    np.cumsum(np.bincount(users[kept], minlength=pairs.n_users), out=offsets[1:])
    return offsets, pairs.items[kept]


@compiled
def _nearest_items(
    first: int,
    last: int,
    item_offsets: Any,
    item_users: Any,
    user_offsets: Any,
    user_items: Any,
    user_weights: Any,
    source_scale: Any,
    target_scale: Any,
    keep: int,
) -> Any:
    """For targets ``first .. last - 1``: the ``keep`` items with the largest weights, ids ascending, padded with -1."""
    near = np.full((last - first, keep), -1, np.int32)
    values = np.zeros((last - first, keep), np.float32)
    sums = np.zeros(source_scale.size, np.float64)
    touched = np.empty(source_scale.size, np.int32)
    position = np.empty(source_scale.size, np.int32)
    ties = np.empty(source_scale.size, np.int32)
    chosen = np.empty(max(keep, source_scale.size), np.int32)
    weights = np.empty(source_scale.size, np.float64)
    for target in range(first, last):
        number = 0
        for place in range(item_offsets[target], item_offsets[target + 1]):
            user = item_users[place]
            for entry in range(user_offsets[user], user_offsets[user + 1]):
                item = user_items[entry]
                if item == target:
                    continue
                if sums[item] == 0.0:
                    touched[number] = item
                    number += 1
                sums[item] += user_weights[user]
        for place in range(number):
            item = touched[place]
            weights[place] = sums[item] * source_scale[item] * target_scale[target]
            sums[item] = 0.0
        held = 0
        if number <= keep:
            chosen[:number] = touched[:number]
            held = number
        else:
            least = np.partition(weights[:number], number - keep)[number - keep]
            equal = 0
            for place in range(number):
                if weights[place] > least:
                    chosen[held] = touched[place]
                    held += 1
                elif weights[place] == least:
                    ties[equal] = touched[place]
                    equal += 1
            chosen[held:keep] = np.sort(ties[:equal])[: keep - held]
            held = keep
        for place, item in enumerate(np.sort(chosen[:held])):
            near[target - first, place] = item
        for place in range(number):
            position[touched[place]] = place
        for place in range(held):
            values[target - first, place] = weights[position[near[target - first, place]]]
    return near, values
