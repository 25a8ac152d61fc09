"""Settings of the arms: those that are tried on validation, and those that serve where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, Final

ArmSettings = dict[str, Any]
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
    "cluster_popularity_soft": _cross(clusters=(8, 20, 50), softness=(0.05, 0.1)),
    "item_item": _cross(exponent=(0.3, 0.5, 0.7), neighbours=(50, 400)),
    "random_walk": _cross(alpha=(0.8, 1.2), beta=(0.2, 0.4, 0.6)),
    "graph_filter": _cross(factors=(64, 128), strength=(0.3, 1.0, 3.0)),
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
    "ease_text_rows": _cross(strength=(30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)),
    "ease_text": _cross(strength=(0.03, 0.1, 0.3), neighbours=(20, 50)),
    "ease_text_recent": _cross(strength=(0.03, 0.1, 0.3), neighbours=(20, 50)),
    "text": ({},),
    "text_closest": _cross(closest=(1, 3, 5), neighbours=(30, 100)),
    "repeat": _cross(half_life=(7.0, 14.0, 30.0, 90.0, 365.0, 3650.0)),
}
_FULL: Final[Mapping[str, Grid]] = {
    "popularity": ({},),
    "recent_popularity": _cross(half_life=(1.0, 3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 60.0, 90.0, 150.0, 250.0, 400.0)),
    "cluster_popularity_soft": _cross(clusters=(8, 20, 50, 100), softness=(0.05, 0.1, 0.2)),
    "item_item": _cross(exponent=(0.2, 0.35, 0.5), neighbours=(50, 200, 1000, 3000)),
    "random_walk": _cross(alpha=(0.8, 1.2), beta=(0.2, 0.4, 0.6), neighbours=(100, 1000)),
    "graph_filter": _cross(factors=(32, 64, 128, 256), strength=(0.3, 1.0, 3.0)),
    "sequential": _cross(half_life=(0.5, 1.0, 3.0, 10.0), exponent=(0.2, 0.5, 0.7)),
    "user_neighbours": _cross(neighbours=(30, 60, 120, 300), power=(2.0, 4.0, 8.0)),
    "user_neighbours_events": _cross(neighbours=(50, 150, 400), power=(1.0, 3.0), idf=(0.0, 1.0)),
    "ials": _IALS,
    "ease": (
        *_cross(penalty=(50.0, 100.0, 200.0, 400.0, 800.0, 1600.0), dropout=(0.0,)),
        *_cross(penalty=(50.0, 200.0), dropout=(0.2, 0.4, 0.6)),
    ),
    "ease_recent": _cross(unit=("event", "basket"), half_life=(2.0, 5.0, 10.0, 20.0, 50.0, 150.0)),
    "ease_text_rows": _cross(
        strength=(10.0, 30.0, 60.0, 100.0, 200.0, 300.0, 600.0, 1000.0, 2000.0, 3000.0, 6000.0, 10000.0)
    ),
    "ease_text": _cross(strength=(0.03, 0.1, 0.2, 0.4), neighbours=(20, 50, 150)),
    "ease_text_recent": _cross(strength=(0.05, 0.15, 0.3), neighbours=(20, 80), stretch=(1.0, 2.0)),
    "text": ({},),
    "text_closest": _cross(closest=(1, 2, 3, 5), neighbours=(30, 60, 100)),
    "repeat": _cross(half_life=(3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 60.0, 90.0, 180.0, 365.0, 1000.0, 3650.0)),
}

DEFAULT_SETTINGS: Final[Mapping[str, ArmSettings]] = {
    "popularity": {},
    "recent_popularity": {"half_life": 30.0},
    "cluster_popularity_soft": {"clusters": 20, "softness": 0.1},
    "item_item": {"exponent": 0.5, "neighbours": 200},
    "random_walk": {"alpha": 0.8, "beta": 0.4, "neighbours": 200},
    "graph_filter": {"factors": 128, "strength": 1.0},
    "sequential": {"half_life": 1.0, "exponent": 0.5},
    "user_neighbours": {"neighbours": 60, "power": 4.0},
    "user_neighbours_events": {"neighbours": 50, "power": 1.0},
    "ials": {"factors": 64, "regularization": 5.0, "alpha": 1.0},
    "ease": {"penalty": 200.0, "dropout": 0.0},
    "ease_recent": {"unit": "event", "half_life": 20.0},
    "ease_text_rows": {"strength": 100.0},
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
