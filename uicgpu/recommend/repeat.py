"""What the user chooses again and again: for shops where the next purchase is often an old one."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from uicgpu.events.interactions import DAY_US, NO_TIME
from uicgpu.recommend.inputs import TrainingPart, UserBlock


class RepeatItems:
    """``score = log(1 + times chosen) x .5 ^ (days back / half_life)``, 0 for what the user never chose.

    Days are counted back from the user's own last event, so that a split per user does not tell the future.

    Parameters
    ----------
    half_life
        Days; without times only the counts speak.
    """

    name: ClassVar[str] = "repeat"
    judges_unknown: ClassVar[bool] = False

    def __init__(self, half_life: float = 90.0) -> None:
        self.half_life = half_life

    def fit(self, part: TrainingPart) -> Self:
        """Nothing to learn: the user's own history says it all."""
        return self

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return the decayed counts, float32 [b, items]."""
        pairs = block.part.interactions
        rows = np.repeat(np.arange(len(block)), block.lengths)
        latest = block.part.last_times[block.users][rows]
        own = pairs.last_times[block.rows]
        timed = (own != NO_TIME) & (latest != NO_TIME)
        days = np.where(timed, (latest - np.where(timed, own, latest)) / DAY_US, 0.0)
        out = np.zeros((len(block), pairs.n_items), np.float32)
        out[rows, block.items] = np.log1p(pairs.events[block.rows]) * np.exp2(-days / self.half_life)
        return out
