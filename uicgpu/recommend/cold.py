"""The ladder for users with little or no history: which weights serve whom.

The first rung that applies: the learned blend from four known items on; the blend pulled towards popularity with one
to three, where its evidence is thin; the text of the history where all its items are new; what is popular lately for a
user without any history. How strongly short histories are pulled is learned on validation histories cut short.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.recommend.blend import FLOOR
from uicgpu.recommend.inputs import TrainingPart, UserBlock

FEWEST_FOR_BLEND: Final = 4
"""Known items in the history from which on the blend serves."""


class Rung(IntEnum):
    """Rungs of the ladder, best first."""

    BLEND = 0
    SHORT_HISTORY = 1
    TEXT_ONLY = 2
    NO_HISTORY = 3


PULLS: Final = (0.0, 0.2, 0.4, 0.8)
"""Weights of popularity for short histories that are tried, as shares of the blend's total weight."""
DEFAULT_PULL: Final = 0.2
TEXT_ONLY_WEIGHTS: Final[Mapping[str, float]] = {"text": 1.0}


def short_history_weights(blend: Mapping[str, float], popular: str, pull: float) -> dict[str, float]:
    """The blend plus ``pull`` times its total weight on the arm ``popular``."""
    weights = dict(blend)
    weights[popular] = round(weights.get(popular, 0.0) + pull * sum(blend.values()), 6)
    return {name: weight for name, weight in weights.items() if weight > 0}


def rungs(block: UserBlock, part: TrainingPart) -> NDArray[np.int8]:
    """Rung of each user of the block, judged by the items known to ``part``; int8 [b]."""
    known = np.concatenate(([0], np.cumsum(part.known[block.items])))
    counts = known[block.offsets[1:]] - known[block.offsets[:-1]]
    has_vector = block.part.user_vectors[block.users].any(axis=1)
    rung = np.where(counts >= FEWEST_FOR_BLEND, Rung.BLEND, Rung.SHORT_HISTORY)
    rung = np.where(counts == 0, np.where(has_vector, Rung.TEXT_ONLY, Rung.NO_HISTORY), rung)
    return rung.astype(np.int8)


def ladder_weights(
    blend: Mapping[str, float], short_history: Mapping[str, float], arms: Collection[str]
) -> dict[str, NDArray[np.float64]]:
    """Weights of each arm, float64 [4]: one per rung.

    Arms that are not there weigh nothing. Popularity lies below every rung with a small weight, so that items which
    nothing else tells apart come in a sensible order.
    """
    lately = "recent_popularity" if "recent_popularity" in arms else "popularity"
    # A cluster's popularity is smoothed by everybody's already; what is new lately still counts.
    no_history = {"cluster_popularity": 1.0, lately: 0.4} if "cluster_popularity" in arms else {lately: 1.0}
    rungs = {
        Rung.BLEND: blend,
        Rung.SHORT_HISTORY: short_history,
        Rung.TEXT_ONLY: TEXT_ONLY_WEIGHTS,
        Rung.NO_HISTORY: no_history,
    }
    table = {name: np.array([rungs[rung].get(name, 0.0) for rung in Rung], np.float64) for name in arms}
    if "popularity" in table:
        table["popularity"] += FLOOR
    return table
