"""A weighted sum of z-scores, with weights that grow greedily on validation.

Scores of different arms have different scales, so each arm's scores become z-scores per user: mean and deviation over
the known items that the user has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.recommend.features import unite

STEPS: Final = (0.15, 0.4, 1.0)
"""Weights that a round may add to an arm."""
ROUNDS: Final = 4
SMALLEST_GAIN: Final = 1e-5
"""A round must gain so much NDCG@10, or learning stops."""
DEPTH: Final = 100
"""Items per arm and user that weights are learned on."""
DEFAULT_WEIGHTS: Final[Mapping[str, float]] = {"ease": 1.0, "item_item": 0.4, "user_neighbours": 0.15}
"""Weights without an evaluation to learn them from."""
FLOOR: Final = 1e-3
"""Weight of popularity below every blend: it orders items that the arms cannot tell apart."""


@dataclass(frozen=True)
class Candidates:
    """The union of the arms' best items of each validation user, with every arm's z-scores.

    Attributes
    ----------
    items
        int32 [users, width], ascending per user, padded with -1.
    z
        Per arm float32 [users, width].
    hits
        bool [users, width], whether the user chose the item in validation.
    chosen
        int64 [users], items that the user chose in validation, candidates or not.
    """

    items: NDArray[np.int32]
    z: Mapping[str, NDArray[np.float32]]
    hits: NDArray[np.bool_]
    chosen: NDArray[np.int64]

    def with_arm(self, name: str, z: NDArray[np.float32]) -> Candidates:
        """Return the same candidates with one more arm."""
        return Candidates(self.items, {**self.z, name: z}, self.hits, self.chosen)

    def take(self, rows: NDArray[np.int64]) -> Candidates:
        """Return some of the users, in the order of ``rows``."""
        z = {name: values[rows] for name, values in self.z.items()}
        return Candidates(self.items[rows], z, self.hits[rows], self.chosen[rows])

    def add_up(self, weights: Mapping[str, float]) -> NDArray[np.float64]:
        """Weighted sum of z-scores, float64 [users, width]."""
        total = np.zeros(self.items.shape, np.float64)
        for name, weight in weights.items():
            total += weight * self.z[name]
        return total

    def ndcg(self, weights: Mapping[str, float]) -> float:
        """Mean NDCG@10 of the weighted sum, ties by item id."""
        return self._ndcg(self.add_up(weights))

    def _ndcg(self, total: NDArray[np.float64]) -> float:
        return float(candidate_ndcg(total, self.items, self.hits, self.chosen).mean()) if len(total) else 0.0


def learn_weights(candidates: Candidates, arms: Sequence[str]) -> dict[str, float]:
    """Choose blend weights greedily.

    Start from the best single arm at weight 1. In each of four rounds try to add .15, .4 or 1 to the weight of each arm
    (the starting arm: only 1), keep the best try if it gains more than 1e-5 NDCG@10, else stop. Equal tries: the first
    arm in the order of ``arms``, then the smallest step. Weak arms are tried too: what is poor alone may be what the
    others lack.

    Returns
    -------
    dict
        Weights of the arms that were chosen, in the order of ``arms``. Empty without a validation user.
    """
    if not arms or not len(candidates.items):
        return {}
    alone = [candidates.ndcg({name: 1.0}) for name in arms]
    start = arms[int(np.argmax(alone))]
    weights, best = {start: 1.0}, max(alone)
    total = candidates.z[start].astype(np.float64)
    for _ in range(ROUNDS):
        tries = [(name, step) for name in arms for step in (STEPS if name != start else STEPS[-1:])]
        scores = [candidates._ndcg(total + step * candidates.z[name]) for name, step in tries]
        place = int(np.argmax(scores))
        if scores[place] <= best + SMALLEST_GAIN:
            break
        best = scores[place]
        name, step = tries[place]
        weights[name] = weights.get(name, 0.0) + step
        total += step * candidates.z[name]
    return {name: round(weights[name], 6) for name in arms if name in weights}


def best_single(candidates: Candidates, arms: Sequence[str]) -> str:
    """The arm with the best NDCG@10 on its own; equal ones: the first."""
    return arms[int(np.argmax([candidates.ndcg({name: 1.0}) for name in arms]))]


def gather_candidates(
    best: Sequence[NDArray[np.int32]],
    z: Mapping[str, NDArray[np.float32]],
    truth_offsets: NDArray[np.int64],
    truth_items: NDArray[np.int32],
) -> Candidates:
    """Unite the arms' best items of a block of users and pick their z-scores.

    Parameters
    ----------
    best
        Per arm int32 [b, depth], padded with -1.
    z
        Per arm, also others than those that propose, float32 [b, items].
    truth_offsets, truth_items
        The users' validation items in CSR order, ascending.
    """
    items = unite(best)
    rows = np.arange(items.shape[0])[:, None]
    picked = np.maximum(items, 0)
    picked_z = {name: values[rows, picked] for name, values in z.items()}
    hits = _contained(items, truth_offsets, truth_items)
    return Candidates(items, picked_z, hits, np.diff(truth_offsets))


def join_candidates(parts: Sequence[Candidates]) -> Candidates:
    """Put blocks of users below each other."""
    width = max((part.items.shape[1] for part in parts), default=0)

    def widen(array: NDArray[Any], fill: Any) -> NDArray[Any]:
        wide = np.full((array.shape[0], width), fill, array.dtype)
        wide[:, : array.shape[1]] = array
        return wide

    if not parts:
        return Candidates(np.empty((0, 0), np.int32), {}, np.empty((0, 0), np.bool_), np.empty(0, np.int64))
    return Candidates(
        np.concatenate([widen(part.items, -1) for part in parts]),
        {name: np.concatenate([widen(part.z[name], 0) for part in parts]) for name in parts[0].z},
        np.concatenate([widen(part.hits, False) for part in parts]),
        np.concatenate([part.chosen for part in parts]),
    )


@compiled
def _contained(items: Any, offsets: Any, sorted_items: Any) -> Any:
    out = np.zeros(items.shape, np.bool_)
    for row in range(items.shape[0]):
        own = sorted_items[offsets[row] : offsets[row + 1]]
        for column in range(items.shape[1]):
            place = np.searchsorted(own, items[row, column])
            out[row, column] = place < own.size and own[place] == items[row, column]
    return out


@compiled
def candidate_ndcg(total: Any, items: Any, hits: Any, chosen: Any) -> Any:
    """NDCG@10 per user, float64; an equal score further left (a lower item id) ranks higher."""
    out = np.zeros(total.shape[0], np.float64)
    for row in range(total.shape[0]):
        gain = 0.0
        for column in range(total.shape[1]):
            if not hits[row, column]:
                continue
            above = 0
            for other in range(total.shape[1]):
                if items[row, other] < 0:
                    break
                better = total[row, other] > total[row, column]
                above += better or (total[row, other] == total[row, column] and other < column)
            if above < 10:
                gain += 1.0 / np.log2(above + 2.0)
        ideal = 0.0
        for place in range(min(10, chosen[row])):
            ideal += 1.0 / np.log2(place + 2.0)
        if ideal > 0:
            out[row] = gain / ideal
    return out
