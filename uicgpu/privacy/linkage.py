"""Can somebody who knows a few items of a user find that user in what is published?

The attacker has the published profiles and ``m`` items of a victim. Profiles hold no users, so the best that can be
done is to name the group that the items point to, and to pick one of those whom its figures may be about: all users of
the group, or, where a known item is published with its share of the group, the users behind that share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.events.interactions import Interactions
from uicgpu.randomness import generator

KNOWN_ITEMS: Final = (1, 2, 5)
MOST_VICTIMS: Final = 5000


@dataclass(frozen=True)
class Attack:
    """Result of an attack with ``known`` items per victim, on profiles or on the data map.

    Attributes
    ----------
    victims
        Users attacked.
    group_found
        Share of victims whose published group was named: an attribute is learned, not a person.
    success
        Mean probability that the victim is the one picked.
    worst
        The highest such probability of any victim.
    smallest
        Fewest users that anything which the attacker read is about.
    """

    known: int
    victims: int
    group_found: float
    success: float
    worst: float
    smallest: int


def linkage_attack(
    profiles: Sequence[Mapping[str, Any]],
    labels: NDArray[np.int32],
    interactions: Interactions,
    item_ids: Sequence[str],
    categories: Sequence[str | None],
    *,
    known: int,
    seed: int,
    most: int = MOST_VICTIMS,
) -> Attack:
    """Attack a sample of users, each with ``known`` of their items (all, for users with fewer).

    Parameters
    ----------
    profiles
        Published profiles.
    labels
        int32 [users], published group of each user: the truth that the attacker guesses at.
    item_ids, categories
        Of the items that ``interactions`` name.
    """
    groups = {p["cluster"]: p for p in profiles if not p["suppressed"]}
    order = sorted(groups)
    shares, base = _published(groups, order, item_ids)
    mixes, overall = _category_evidence(groups, order)
    prior = {c: math.log(max(float(groups[c]["share"] or 0.0), 1e-9)) for c in order}
    random = generator(seed, f"privacy/linkage/{known}")
    candidates = np.flatnonzero(interactions.user_counts > 0)
    if candidates.size > most:
        candidates = np.sort(random.choice(candidates, most, replace=False))
    members = {c: np.flatnonzero(labels == c) for c in order}
    holders: dict[tuple[int, int], int] = {}
    found, success, worst, smallest = 0, 0.0, 0.0, int(min((m.size for m in members.values()), default=0))
    for user in candidates.tolist():
        history = interactions.history(user)
        items = np.sort(random.choice(history, min(known, history.size), replace=False)).tolist()
        scores = []
        for cluster in order:
            score = prior[cluster]
            for item in items:
                if item in base:
                    score += math.log(shares.get((cluster, item), base[item] * 0.5) / base[item])
                for value in (categories[item] or "").split("|"):
                    if value in overall:
                        score += math.log(max(mixes.get((cluster, value), 0.002), 1e-6) / overall[value])
            scores.append(score)
        if not order:
            continue
        guess = order[int(np.argmax(scores))]
        crowd = members[guess].size
        for item in items:
            if (guess, item) in shares:
                if (guess, item) not in holders:
                    holders[guess, item] = _count_holders(members[guess], item, interactions)
                crowd = min(crowd, holders[guess, item])
        smallest = min(smallest, crowd)
        if labels[user] == guess:
            chance = 1.0 / max(crowd, 1)
            found, success, worst = found + 1, success + chance, max(worst, chance)
    victims = int(candidates.size)
    return Attack(known, victims, found / max(victims, 1), success / max(victims, 1), worst, smallest)


def _published(
    groups: Mapping[int, Mapping[str, Any]], order: Sequence[int], item_ids: Sequence[str]
) -> tuple[dict[tuple[int, int], float], dict[int, float]]:
    """Published share of items in groups, and among all users."""
    rows = {item: row for row, item in enumerate(item_ids)}
    shares, base = {}, {}
    for cluster in order:
        for entry in groups[cluster]["exemplar_items"]:
            row = rows.get(entry["item_id"])
            if row is not None and entry["base_share"]:
                base[row] = float(entry["base_share"])
                if entry["share"]:
                    shares[cluster, row] = float(entry["share"])
    return shares, base


def _category_evidence(
    groups: Mapping[int, Mapping[str, Any]], order: Sequence[int]
) -> tuple[dict[tuple[int, str], float], dict[str, float]]:
    mixes, overall = {}, {}
    for cluster in order:
        for entry in groups[cluster]["categories"]:
            mixes[cluster, entry["category"]] = float(entry["share"])
            overall[entry["category"]] = max(float(entry["base_share"]), 1e-6)
    return mixes, overall


def _count_holders(members: NDArray[np.int64], item: int, interactions: Interactions) -> int:
    owners = interactions.users[interactions.items == item]
    return int(np.isin(owners, members).sum())
