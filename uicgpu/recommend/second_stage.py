"""From arms and blend to the final order: candidates, their features, the ranker's word, and how both are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.recommend.blend import DEPTH
from uicgpu.recommend.features import Features, candidate_ranks, unite
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.ranker import Mode, Ranker, mix, standard
from uicgpu.recommend.rows import best_items, exclude


class SecondStage:
    """Ranks the union of the arms' 100 best items of each user.

    Parameters
    ----------
    mode
        ``mix`` adds the z-scores of ranker and blend, ``alone`` takes the ranker's.
    arms
        Arms that propose candidates and are features.
    groups
        Groups of features beside the arms'.
    ranker
        The trained model; ``None`` while candidates are gathered to train one.
    """

    def __init__(self, mode: Mode, arms: Sequence[str], groups: Sequence[str], ranker: Ranker | None = None) -> None:
        self.mode, self.arms, self.groups, self.ranker = mode, tuple(arms), tuple(groups), ranker

    @classmethod
    def from_learned(cls, learned: Mapping[str, Any] | None) -> SecondStage | None:
        """Read what an evaluation learned; ``None`` where it wants no ranker or the model is not there."""
        if not learned or learned.get("mode", "off") == "off" or not learned.get("model"):
            return None
        return cls(learned["mode"], learned["arms"], learned["groups"], Ranker(learned["model"]))

    def prepare(self, part: TrainingPart) -> Self:
        """Count what the features need on the part that the arms were fitted on."""
        self.part = part
        self.features = Features(part, self.arms, self.groups)
        return self

    def propose(
        self, block: UserBlock, z: Mapping[str, NDArray[np.float32]], keep_seen: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Candidates of each user, int32 [b, width] padded with -1, and their features, float32 [pairs, features]."""
        masked = {}
        for name in self.arms:
            masked[name] = z[name].copy()
            exclude(masked[name], block.offsets, block.items, self.part.known[None], keep_seen)
        items = unite([best_items(scores, min(DEPTH, scores.shape[1])) for scores in masked.values()])
        ranks = {name: candidate_ranks(scores, items) for name, scores in masked.items()}
        return items, self.features.table(block, z, ranks, items)

    def join(
        self,
        ranker: Ranker,
        items: NDArray[np.int32],
        table: NDArray[np.float32],
        blend: NDArray[np.float64],
        users: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Final scores, float64 [b, items]; minus infinity stays where the blend has it.

        Known items that no arm proposed come after the candidates, in the order of the blend. An item without events
        has no features: the blend's z-score stands in for the ranker's.

        Parameters
        ----------
        blend
            The blend's scores, float64 [b, items].
        users
            bool [b]; the others keep the blend's scores.
        """
        inside = items >= 0
        ranked = np.zeros(items.shape, np.float64)
        ranked[inside] = ranker.predict(table)
        rows = np.arange(len(items))[:, None]
        blended = np.where(inside, blend[rows, np.maximum(items, 0)], 0.0)
        final = standard(ranked, inside) if self.mode == "alone" else mix(ranked, blended, inside)
        out = blend.copy()
        for row in np.flatnonzero(users & inside.any(axis=1)):
            own = items[row][inside[row]]
            mean, spread = blended[row][inside[row]].mean(), max(float(blended[row][inside[row]].std()), 1e-9)
            rest = np.isfinite(out[row])
            rest[own] = False
            new = rest & ~self.part.known
            rest &= self.part.known
            if rest.any():
                out[row, rest] -= out[row, rest].max() - final[row][inside[row]].min() + 1.0
            out[row, new] = (out[row, new] - mean) / spread * (1.0 if self.mode == "alone" else 2.0)
            out[row, own] = final[row][inside[row]]
        return out
