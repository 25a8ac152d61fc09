"""The list of arms: what each is called, how it is fitted, and under which split it may be used.

An arm scores every item for a block of users. Which arms may join the blend depends on the split, because a split per
user leaves other users' later events in the training part: whatever looks at "lately" would then know the future.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import SettingsError
from uicgpu.recommend.ease import Ease, RecentEase
from uicgpu.recommend.ease_rows import TextRowsEase
from uicgpu.recommend.ease_text import RecentTextEase, TextEase
from uicgpu.recommend.event_neighbours import EventNeighbours
from uicgpu.recommend.factors import ImplicitFactors
from uicgpu.recommend.graph_filter import GraphFilter
from uicgpu.recommend.grids import DEFAULT_SETTINGS, ArmSettings
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.item_item import ItemItem
from uicgpu.recommend.neighbours import UserNeighbours
from uicgpu.recommend.popularity import Popularity, RecentPopularity
from uicgpu.recommend.random_walk import RandomWalk
from uicgpu.recommend.repeat import RepeatItems
from uicgpu.recommend.sequential import SequentialItems
from uicgpu.recommend.soft_clusters import SoftClusterPopularity
from uicgpu.recommend.text import TextSimilarity
from uicgpu.recommend.text_closest import ClosestTexts


class Arm(Protocol):
    """One way to score items; fitted."""

    name: ClassVar[str]
    judges_unknown: ClassVar[bool]
    """Whether its score means something for items without events."""

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return finite scores, float32 [b, items]; larger is better, seen items included."""
        ...


METHODS: Final = (
    "popularity",
    "recent_popularity",
    "cluster_popularity_soft",
    "item_item",
    "random_walk",
    "graph_filter",
    "sequential",
    "user_neighbours",
    "user_neighbours_events",
    "ials",
    "ease",
    "ease_recent",
    "ease_text_rows",
    "ease_text",
    "ease_text_recent",
    "text",
    "text_closest",
    "repeat",
)
"""Arms in the order in which they are fitted, added up and shown."""

FULL_ONLY: Final = frozenset({"cluster_popularity_soft", "random_walk", "ease_text_rows"})
"""Arms that only ``--tune full`` tries, because the default recipe is held to a few minutes."""

SEEDED: Final = frozenset({"ials"})
"""Arms that begin at random."""

_TIMED: Final = frozenset({"recent_popularity", "sequential", "ease_recent", "ease_text_recent"})
_TEXTUAL: Final = frozenset(
    {
        "cluster_popularity_soft",
        "user_neighbours",
        "ease_text_rows",
        "ease_text",
        "ease_text_recent",
        "text",
        "text_closest",
    }
)
_ON_EASE: Final = frozenset({"ease_recent", "ease_text_rows", "ease_text", "ease_text_recent"})
_NOT_IN_BLEND: Final[Mapping[str, frozenset[str]]] = {
    "time": frozenset(),
    "user-time": frozenset({"recent_popularity"}),
    "leave-one-out": frozenset({"recent_popularity"}),
    "user-random": _TIMED,
    "none": _TIMED,
}
_BASELINE_ONLY: Final = frozenset({"user-time", "leave-one-out"})


def arms_in_blend(split: str) -> tuple[str, ...]:
    """Arms that may join the blend under ``split`` without knowing the future."""
    return tuple(name for name in METHODS if name not in _NOT_IN_BLEND[split])


def arms_shown(split: str, level: str = "full") -> tuple[str, ...]:
    """Arms that are evaluated under ``split``: those of the blend, and recent popularity as an honest baseline.

    ``level`` is that of the tuning; what only ``full`` tries is left out below it.

    A random split has no order, so nothing recent can be shown there.
    """
    extra = {"recent_popularity"} if split in _BASELINE_ONLY else set[str]()
    left_out = set[str]() if level == "full" else FULL_ONLY
    return tuple(name for name in METHODS if name in extra or name in set(arms_in_blend(split)) - left_out)


def usable(name: str, part: TrainingPart, allow_repeat: bool = False) -> bool:
    """Whether the part has what the arm lives on: times, texts; repeats are an arm only where they are allowed."""
    if name == "repeat":
        return allow_repeat
    if name in _TIMED and not part.events.timed:
        return False
    return name not in _TEXTUAL or bool(part.has_text.any())


def needed(names: Collection[str]) -> set[str]:
    """Return ``names`` and the arms whose weights they share."""
    return {*names, *({"ease"} if _ON_EASE & set(names) else ())}


def fit_arm(
    name: str,
    settings: ArmSettings,
    part: TrainingPart,
    *,
    per_user: bool = False,
    fitted: Mapping[str, Arm] | None = None,
    seed: int = 0,
) -> Arm:
    """Fit one arm.

    Parameters
    ----------
    settings
        One entry of its grid; keys that are missing take the arm's defaults.
    per_user
        Recent popularity looks from each user's own last event (a split per user).
    fitted
        Arms that are fitted already; the variants of EASE share the weights of ``ease``.

    Raises
    ------
    SettingsError
        For an unknown arm or setting.
    """
    fitted = fitted or {}
    makers: dict[str, Callable[..., Arm]] = {
        "popularity": lambda: Popularity().fit(part),
        "recent_popularity": lambda **given: RecentPopularity(per_user=per_user, **given).fit(part),
        "item_item": lambda **given: ItemItem(**given).fit(part),
        "cluster_popularity_soft": lambda **given: SoftClusterPopularity(seed=seed, **given).fit(part),
        "random_walk": lambda **given: RandomWalk(**given).fit(part),
        "graph_filter": lambda **given: GraphFilter(**given).fit(part),
        "sequential": lambda **given: SequentialItems(**given).fit(part),
        "user_neighbours": lambda **given: UserNeighbours(seed=seed, **given).fit(part),
        "user_neighbours_events": lambda **given: EventNeighbours(seed=seed, **given).fit(part),
        "ials": lambda **given: ImplicitFactors(seed=seed, **given).fit(part),
        "ease": lambda **given: Ease(**given).fit(part),
        "ease_recent": lambda **given: RecentEase(_ease_of(fitted, part), **given),
        "ease_text_rows": lambda **given: TextRowsEase(_ease_of(fitted, part), **given).fit(part),
        "ease_text": lambda **given: TextEase(_ease_of(fitted, part), **given).fit(part),
        "ease_text_recent": lambda **given: RecentTextEase(_ease_of(fitted, part), **given).fit(part),
        "repeat": lambda **given: RepeatItems(**given).fit(part),
        "text": lambda: TextSimilarity().fit(part),
        "text_closest": lambda **given: ClosestTexts(**given).fit(part),
    }
    if name not in makers:
        raise SettingsError(f"unknown arm {name!r}", where="recommend", fix=f"use one of {', '.join(METHODS)}")
    try:
        return makers[name](**settings)
    except TypeError as error:
        raise SettingsError(
            f"the arm {name!r} has no such settings: {settings}", where="recommend", fix=f"use {DEFAULT_SETTINGS[name]}"
        ) from error


def _ease_of(fitted: Mapping[str, Arm], part: TrainingPart) -> Ease:
    ease = fitted.get("ease")
    return ease if isinstance(ease, Ease) else Ease(**DEFAULT_SETTINGS["ease"]).fit(part)
