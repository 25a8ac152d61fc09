"""Can somebody who knows items of a user find that user's point on the published map?

A point has no id; it tells its group and where it lies. The attacker knows items of a victim and their vectors, and is
given more than the page tells: the affine map from mean item vectors to the plane that fits all attacked users best.
They place the victim and pick the nearest point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.events.interactions import Interactions
from uicgpu.privacy.linkage import Attack
from uicgpu.randomness import generator

RIDGE: Final = 0.01
"""Of the mean variance of a dimension; weaker and stronger ones did not find more people on real runs."""


@dataclass(frozen=True)
class PublishedMap:
    """Points as a page tells them: float32 [points, 2] and int32 [points] groups."""

    points: NDArray[np.float32]
    groups: NDArray[np.int32]


def map_attack(
    published: PublishedMap,
    places: NDArray[np.float32],
    labels: NDArray[np.int32],
    users: NDArray[np.int64],
    interactions: Interactions,
    item_vectors: NDArray[np.floating],
    published_places: NDArray[np.float32],
    crowds: NDArray[np.int32],
    *,
    known: int,
    seed: int,
    most: int,
) -> Attack:
    """Attack a sample of the users on the map, each with ``known`` of their items (all, for users with fewer).

    The result's ``group_found`` counts the victims whose group the nearest point tells; ``smallest`` is the smallest
    crowd of points.

    Parameters
    ----------
    published
        What the page tells.
    places, labels
        float32 [users on the map, 2] and int32 [users on the map]: where each of ``users`` truly lies and their
        published group, the truth that is guessed at.
    users
        int64 [users on the map], rows of ``interactions``.
    item_vectors
        float [items, dim].
    published_places, crowds
        float32 [users on the map, 2] and int32 [users on the map]: where each was drawn, and with whom they share the
        chance of having been drawn there.
    """
    from scipy.spatial import KDTree

    active = np.flatnonzero(interactions.user_counts[users] > 0)
    random = generator(seed, f"privacy/map/{known}")
    if active.size > most:
        active = np.sort(random.choice(active, most, replace=False))
    if not active.size or not published.points.size:
        return Attack(known, 0, 0.0, 0.0, 0.0, 0)
    whole, partial = [], []
    for user in users[active].tolist():
        history = interactions.history(user)
        some = np.sort(random.choice(history, min(known, history.size), replace=False))
        whole.append(np.asarray(item_vectors[history], np.float64).mean(axis=0))
        partial.append(np.asarray(item_vectors[some], np.float64).mean(axis=0))
    truth = places[active].astype(np.float64)
    with threadpool_limits(limits=1):
        guesses = _drawing(np.array(whole), truth, np.array(partial))
    nearest = KDTree(published.points.astype(np.float64)).query(guesses)[1]
    sizes = np.bincount(crowds)
    # Members of a crowd have exchangeable places: whichever point is picked, each of them is as likely behind it.
    spots = {spot: crowd for spot, crowd in zip(map(tuple, published_places.tolist()), crowds.tolist(), strict=True)}
    picked = np.array([spots[tuple(spot)] for spot in published.points[nearest].tolist()])
    chance = np.where(picked == crowds[active], 1.0 / sizes[crowds[active]], 0.0)
    told = published.groups[nearest] == labels[active]
    return Attack(
        known, int(active.size), float(told.mean()), float(chance.mean()), float(chance.max()), int(sizes.min())
    )


def _drawing(
    whole: NDArray[np.float64], truth: NDArray[np.float64], partial: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Places of ``partial`` by the affine map from ``whole`` to ``truth``, least squares with a small ridge."""
    middle, centre = whole.mean(axis=0), truth.mean(axis=0)
    left = whole - middle
    gram = left.T @ left
    gram[np.diag_indices_from(gram)] += RIDGE * max(float(np.trace(gram)), 1e-12) / len(gram)
    slopes = np.linalg.solve(gram, left.T @ (truth - centre))
    result: NDArray[np.float64] = centre + (partial - middle) @ slopes
    return result
