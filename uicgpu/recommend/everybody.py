"""One call from events to everybody's lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.events.interactions import EventTable
from uicgpu.recommend.inputs import Catalogue
from uicgpu.recommend.recommender import Recommender
from uicgpu.settings import Settings


def recommend_all(
    events: EventTable,
    catalogue: Catalogue,
    learned: Mapping[str, Any] | None,
    settings: Settings,
    backend: Backend,
    cluster_labels: NDArray[np.int32] | None = None,
    users: NDArray[np.int32] | None = None,
    advance: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Fit on all events and rank ``settings.top`` items for ``users`` (default: all); see :class:`Recommender`.

    Items without events are candidates only where text has a weight: they then compete with their text score, and with
    the mean (0) in the place of every other arm.
    """
    recommender = Recommender(
        learned,
        backend,
        allow_repeat=settings.allow_repeat,
        half_life=settings.half_life,
        seed=settings.seed,
        cluster_labels=cluster_labels,
    )
    return recommender.fit(events, catalogue).recommend(users, settings.top, advance)
