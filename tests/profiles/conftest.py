"""Small interactions that a person can check by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from uicgpu.events.interactions import NO_TIME, Interactions


@pytest.fixture
def interactions() -> Callable[..., Interactions]:
    """Build interactions from each user's items; weights e - 1, so that log1p gives 1 for every pair."""

    def build(histories: Sequence[Sequence[int]], n_items: int, weights: float = float(np.e - 1)) -> Interactions:
        ordered = [sorted(history) for history in histories]
        items = np.array([item for history in ordered for item in history], np.int32)
        offsets = np.concatenate([[0], np.cumsum([len(history) for history in ordered])]).astype(np.int64)
        times = np.full(items.size, NO_TIME)
        return Interactions(
            offsets,
            items,
            np.full(items.size, weights, np.float32),
            np.ones(items.size, np.int32),
            times,
            times,
            len(histories),
            n_items,
        )

    return build
