"""The list of arms: what each is called, which settings are tried, and under which split it may be used.

An arm scores every item for a block of users. Which arms may join the blend depends on the split, because a split per
user leaves other users' later events in the training part: whatever looks at "lately" would then know the future.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import product
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import SettingsError
from uicgpu.recommend.ease import Ease, RecentEase
from uicgpu.recommend.ease_text import RecentTextEase, TextEase
from uicgpu.recommend.event_neighbours import EventNeighbours
from uicgpu.recommend.factors import ImplicitFactors
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.item_item import ItemItem
from uicgpu.recommend.neighbours import UserNeighbours
from uicgpu.recommend.popularity import Popularity, RecentPopularity
from uicgpu.recommend.repeat import RepeatItems
from uicgpu.recommend.sequential import SequentialItems
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


ArmSettings = dict[str, Any]

METHODS: Final = (
    "popularity",
    "recent_popularity",
    "item_item",
    "sequential",
    "user_neighbours",
    "user_neighbours_events",
    "ials",
    "ease",
    "ease_recent",
    "ease_text",
    "ease_text_recent",
    "text",
    "text_closest",
    "repeat",
)
"""Arms in the order in which they are fitted, added up and shown."""

SEEDED: Final = frozenset({"ials"})
"""Arms that begin at random."""

Grid = tuple[ArmSettings, ...]


def _cross(**values: tuple[Any, ...]) -> Grid:
    return tuple(dict(zip(values, choice, strict=True)) for choice in product(*values.values()))


_IALS: Final[Grid] = tuple(
    {"factors": factors, "regularization": ridge, "alpha": alpha}
    for factors, ridge, alpha in (
        (32, 5.0, 1.0),
        (64, 1.0, 1.0),
        (64, 5.0, 1.0),
        (64, 20.0, 1.0),
        (64, 20.0, 5.0),
        (128, 20.0, 5.0),
        (32, 1.0, 1.0),
        (32, 5.0, 5.0),
        (32, 20.0, 10.0),
        (64, 5.0, 5.0),
        (128, 5.0, 1.0),
        (128, 20.0, 1.0),
    )
)

_QUICK: Final[Mapping[str, Grid]] = {
    "popularity": ({},),
    "recent_popularity": _cross(half_life=(3.0, 7.0, 14.0, 30.0, 90.0, 250.0)),
    "item_item": _cross(exponent=(0.3, 0.5, 0.7), neighbours=(50, 400)),
    "sequential": _cross(half_life=(0.5, 1.0, 3.0), exponent=(0.2, 0.5)),
    "user_neighbours": _cross(neighbours=(60, 150), power=(2.0, 4.0, 8.0)),
    "user_neighbours_events": _cross(neighbours=(50, 150, 400), power=(1.0, 3.0)),
    "ials": _IALS[:6],
    "ease": (
        *_cross(penalty=(100.0, 200.0, 500.0, 1500.0), dropout=(0.0,)),
        *_cross(penalty=(200.0,), dropout=(0.2, 0.4)),
    ),
    "ease_recent": (
        *_cross(unit=("event",), half_life=(2.0, 5.0, 20.0)),
        *_cross(unit=("basket",), half_life=(1.0, 3.0, 10.0)),
    ),
    "ease_text": _cross(strength=(0.03, 0.1, 0.3), neighbours=(20, 50)),
    "ease_text_recent": _cross(strength=(0.03, 0.1, 0.3), neighbours=(20, 50)),
    "text": ({},),
    "text_closest": _cross(closest=(1, 3, 5), neighbours=(30, 100)),
    "repeat": _cross(half_life=(7.0, 14.0, 30.0, 90.0, 365.0, 3650.0)),
}
_FULL: Final[Mapping[str, Grid]] = {
    "popularity": ({},),
    "recent_popularity": _cross(half_life=(1.0, 3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 60.0, 90.0, 150.0, 250.0, 400.0)),
    "item_item": _cross(exponent=(0.2, 0.35, 0.5), neighbours=(50, 200, 1000, 3000)),
    "sequential": _cross(half_life=(0.5, 1.0, 3.0, 10.0), exponent=(0.2, 0.5, 0.7)),
    "user_neighbours": _cross(neighbours=(30, 60, 120, 300), power=(2.0, 4.0, 8.0)),
    "user_neighbours_events": _cross(neighbours=(50, 150, 400), power=(1.0, 3.0), idf=(0.0, 1.0)),
    "ials": _IALS,
    "ease": (
        *_cross(penalty=(50.0, 100.0, 200.0, 400.0, 800.0, 1600.0), dropout=(0.0,)),
        *_cross(penalty=(50.0, 200.0), dropout=(0.2, 0.4, 0.6)),
    ),
    "ease_recent": _cross(unit=("event", "basket"), half_life=(2.0, 5.0, 10.0, 20.0, 50.0, 150.0)),
    "ease_text": _cross(strength=(0.03, 0.1, 0.2, 0.4), neighbours=(20, 50, 150)),
    "ease_text_recent": _cross(strength=(0.05, 0.15, 0.3), neighbours=(20, 80), stretch=(1.0, 2.0)),
    "text": ({},),
    "text_closest": _cross(closest=(1, 2, 3, 5), neighbours=(30, 60, 100)),
    "repeat": _cross(half_life=(3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 60.0, 90.0, 180.0, 365.0, 1000.0, 3650.0)),
}

DEFAULT_SETTINGS: Final[Mapping[str, ArmSettings]] = {
    "popularity": {},
    "recent_popularity": {"half_life": 30.0},
    "item_item": {"exponent": 0.5, "neighbours": 200},
    "sequential": {"half_life": 1.0, "exponent": 0.5},
    "user_neighbours": {"neighbours": 60, "power": 4.0},
    "user_neighbours_events": {"neighbours": 50, "power": 1.0},
    "ials": {"factors": 64, "regularization": 5.0, "alpha": 1.0},
    "ease": {"penalty": 200.0, "dropout": 0.0},
    "ease_recent": {"unit": "event", "half_life": 20.0},
    "ease_text": {"strength": 0.1, "neighbours": 50},
    "ease_text_recent": {"strength": 0.05, "neighbours": 80, "unit": "event", "half_life": 20.0},
    "text": {},
    "text_closest": {"closest": 3, "neighbours": 100},
    "repeat": {"half_life": 90.0},
}
"""Settings without an evaluation to learn them from."""

GRIDS: Final[Mapping[str, Mapping[str, Grid]]] = {
    "quick": _QUICK,
    "full": _FULL,
    "off": {name: (settings,) for name, settings in DEFAULT_SETTINGS.items()},
}
"""Settings tried on validation per level of tuning: one (off), six (quick), twelve (full) for each arm that has any."""


def grid(name: str, level: str, chosen: Mapping[str, ArmSettings]) -> Grid:
    """Settings of an arm to try.

    ``chosen`` holds the settings of the arms before it: ``ease_text_recent`` looks back as far as ``ease_recent`` does,
    or ``stretch`` times as far.
    """
    entries = GRIDS[level][name]
    if name != "ease_text_recent" or level == "off":
        return entries
    recent = chosen.get("ease_recent", DEFAULT_SETTINGS["ease_recent"])
    return tuple(
        {
            "strength": entry["strength"],
            "neighbours": entry["neighbours"],
            "unit": recent["unit"],
            "half_life": recent["half_life"] * entry.get("stretch", 1.0),
        }
        for entry in entries
    )


_TIMED: Final = frozenset({"recent_popularity", "sequential", "ease_recent", "ease_text_recent"})
_TEXTUAL: Final = frozenset({"user_neighbours", "ease_text", "ease_text_recent", "text", "text_closest"})
_ON_EASE: Final = frozenset({"ease_recent", "ease_text", "ease_text_recent"})
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


def arms_shown(split: str) -> tuple[str, ...]:
    """Arms that are evaluated under ``split``: those of the blend, and recent popularity as an honest baseline.

    A random split has no order, so nothing recent can be shown there.
    """
    extra = {"recent_popularity"} if split in _BASELINE_ONLY else set[str]()
    return tuple(name for name in METHODS if name in extra or name in arms_in_blend(split))


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
        "sequential": lambda **given: SequentialItems(**given).fit(part),
        "user_neighbours": lambda **given: UserNeighbours(seed=seed, **given).fit(part),
        "user_neighbours_events": lambda **given: EventNeighbours(seed=seed, **given).fit(part),
        "ials": lambda **given: ImplicitFactors(seed=seed, **given).fit(part),
        "ease": lambda **given: Ease(**given).fit(part),
        "ease_recent": lambda **given: RecentEase(_ease_of(fitted, part), **given),
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
