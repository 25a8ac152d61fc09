"""The list of arms: what each is called, which settings are tried, and under which split it may be used.

An arm scores every item for a block of users. Which arms may join the blend depends on the split, because a split per
user leaves other users' later events in the training part: whatever looks at "lately" would then know the future.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import SettingsError
from uicgpu.recommend.ease import Ease, RecentEase
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.item_item import ItemItem
from uicgpu.recommend.neighbours import UserNeighbours
from uicgpu.recommend.popularity import Popularity, RecentPopularity
from uicgpu.recommend.text import TextSimilarity


class Arm(Protocol):
    """One way to score items; fitted."""

    name: ClassVar[str]
    judges_unknown: ClassVar[bool]
    """Whether its score means something for items without events."""

    def score(self, block: UserBlock) -> NDArray[np.float32]:
        """Return finite scores, float32 [b, items]; larger is better, seen items included."""
        ...


ArmSettings = dict[str, Any]

METHODS: Final = ("popularity", "recent_popularity", "item_item", "user_neighbours", "ease", "ease_recent", "text")
"""Arms in the order in which they are fitted, added up and shown."""

GRIDS: Final[Mapping[str, tuple[ArmSettings, ...]]] = {
    "popularity": ({},),
    "recent_popularity": tuple({"half_life": days} for days in (3.0, 7.0, 14.0, 30.0, 90.0, 250.0)),
    "item_item": tuple(
        {"exponent": exponent, "neighbours": neighbours} for exponent in (0.3, 0.5, 0.7) for neighbours in (50, 400)
    ),
    "user_neighbours": tuple(
        {"neighbours": neighbours, "power": power} for neighbours in (60, 150) for power in (2.0, 4.0, 8.0)
    ),
    "ease": (
        {"penalty": 100.0, "dropout": 0.0},
        {"penalty": 200.0, "dropout": 0.0},
        {"penalty": 400.0, "dropout": 0.0},
        {"penalty": 1000.0, "dropout": 0.0},
        {"penalty": 200.0, "dropout": 0.2},
        {"penalty": 200.0, "dropout": 0.4},
    ),
    "ease_recent": (
        *({"unit": "event", "half_life": steps} for steps in (4.0, 10.0, 40.0)),
        *({"unit": "basket", "half_life": steps} for steps in (1.0, 3.0, 10.0)),
    ),
    "text": ({},),
}
"""Settings tried on validation: six for each arm that has any."""

DEFAULT_SETTINGS: Final[Mapping[str, ArmSettings]] = {
    "popularity": {},
    "recent_popularity": {"half_life": 30.0},
    "item_item": {"exponent": 0.5, "neighbours": 200},
    "user_neighbours": {"neighbours": 60, "power": 4.0},
    "ease": {"penalty": 200.0, "dropout": 0.0},
    "ease_recent": {"unit": "event", "half_life": 20.0},
    "text": {},
}
"""Settings without an evaluation to learn them from."""

_NOT_IN_BLEND: Final[Mapping[str, frozenset[str]]] = {
    "time": frozenset(),
    "user-time": frozenset({"recent_popularity"}),
    "leave-one-out": frozenset({"recent_popularity"}),
    "user-random": frozenset({"recent_popularity", "ease_recent"}),
    "none": frozenset({"recent_popularity", "ease_recent"}),
}
_BASELINE_ONLY: Final = frozenset({"user-time", "leave-one-out"})


def arms_in_blend(split: str) -> tuple[str, ...]:
    """Arms that may join the blend under ``split`` without knowing the future."""
    return tuple(name for name in METHODS if name not in _NOT_IN_BLEND[split])


def arms_shown(split: str) -> tuple[str, ...]:
    """Arms that are evaluated under ``split``: those of the blend, and recent popularity as an honest baseline.

    A random split has no order, so nothing recent can be shown there.
    """
    extra = {"recent_popularity"} if split in _BASELINE_ONLY else set[str]()
    return tuple(name for name in METHODS if name in extra or name in arms_in_blend(split))


def usable(name: str, part: TrainingPart) -> bool:
    """Whether the part has what the arm lives on: times, texts."""
    if name in ("recent_popularity", "ease_recent"):
        return part.events.timed
    if name in ("user_neighbours", "text"):
        return bool(part.has_text.any())
    return True


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
        Arms that are fitted already; ``ease_recent`` shares the weights of ``ease``.

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
        "user_neighbours": lambda **given: UserNeighbours(seed=seed, **given).fit(part),
        "ease": lambda **given: Ease(**given).fit(part),
        "ease_recent": lambda **given: RecentEase(_ease_of(fitted, part), **given),
        "text": lambda: TextSimilarity().fit(part),
    }
    if name not in makers:
        raise SettingsError(f"unknown arm {name!r}", where="recommend", fix=f"use one of {', '.join(METHODS)}")
    try:
        return makers[name](**settings)
    except TypeError as error:
        raise SettingsError(
            f"the arm {name!r} has no such settings: {settings}", where="recommend", fix=f"use {GRIDS[name][0]}"
        ) from error


def _ease_of(fitted: Mapping[str, Arm], part: TrainingPart) -> Ease:
    ease = fitted.get("ease")
    return ease if isinstance(ease, Ease) else Ease(**DEFAULT_SETTINGS["ease"]).fit(part)
