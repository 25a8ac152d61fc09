"""What is told of groups of users, at either granularity: terms, category mixes, names, and super-clusters."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.events.interactions import Interactions
from uicgpu.privacy.anonymity import ROUNDING, rounded_count
from uicgpu.profiles.counts import Groups, even_weights, group_items, group_users, users_holding
from uicgpu.profiles.hierarchy import FEWEST_CLUSTERS, group_clusters
from uicgpu.profiles.mixes import Share, category_matrix, category_mixes, share_errors, telling
from uicgpu.profiles.names import NameMaterial, choose_names, plain_name
from uicgpu.profiles.terms import Term, choose_terms, count_terms
from uicgpu.profiles.words import phrases
from uicgpu.vocabulary import NOISE, Column

PACKAGING: Final = frozenset(
    "set sets pack packs box piece pieces pair bundle kit assorted various size large small medium mini count inch "
    "inches ounce ounces oz lb pound ml color colour new edition version vol volume series part".split()
)
"""Words of how a thing comes; they make a name only where nothing says what it is."""
BROAD: Final = 0.6
"""A super-cluster with a larger share of the users differs too little from all users to be named by its difference."""


@dataclass(frozen=True)
class Told:
    """Terms and category mixes of some groups."""

    terms: list[list[Term]]
    mixes: list[list[Share]]


class Counted:
    """The catalogue, counted once; described for the clusters and again for the super-clusters."""

    def __init__(self, interactions: Interactions, items: pl.DataFrame) -> None:
        self.interactions = interactions
        self.pair_weights = even_weights(interactions)
        item_weights = np.zeros(interactions.n_items)
        np.add.at(item_weights, interactions.items, self.pair_weights)
        self.table = count_terms(items[Column.TEXT].fill_null("").to_list(), item_weights)
        self.categories: tuple[tuple[str, ...], Any] | None = None
        if Column.CATEGORY in items.columns and items[Column.CATEGORY].drop_nulls().len():
            self.categories = category_matrix(items[Column.CATEGORY].cast(pl.String).to_list())

    def describe(self, groups: Groups, k: int) -> Told:
        """Terms and mixes of ``groups``, whatever fewer than ``k`` of their users hold left out."""
        weights = group_items(groups, self.interactions, self.pair_weights)
        terms = choose_terms(self.table, weights, groups, self.interactions, minimum_users=k)
        if self.categories is None:
            return Told(terms, [[] for _ in groups.labels])
        values, matrix = self.categories
        holders = users_holding(groups, self.interactions, matrix)
        errors = share_errors(groups, self.interactions, self.pair_weights, matrix)
        return Told(terms, category_mixes(values, matrix, weights, holders, minimum_users=k, errors=errors))


def name_groups(
    groups: Groups, shown: NDArray[np.bool_], materials: Sequence[NameMaterial], language: str
) -> list[str]:
    """Name each group that is ``shown``; the others stay anonymous."""
    names = choose_names(groups.labels, materials, language)
    return [
        name if shown[group] or cluster == NOISE else plain_name(cluster, language)
        for group, (name, cluster) in enumerate(zip(names, groups.labels, strict=True))
    ]


def name_materials(
    groups: Groups, shown: NDArray[np.bool_], described: Told, unnamed: Collection[str] = ()
) -> list[NameMaterial]:
    """What each group's name may be made of: no ``unnamed`` words, and nothing for groups that are not ``shown``."""
    barred = {text.casefold() for text in unnamed}
    terms = [[term for term in own if not _barred(term.term, barred)] for own in described.terms]
    mixes = [[entry for entry in mix if not _barred(entry.value, barred)] for mix in described.mixes]
    categories = {word for mix in mixes for entry in mix for run in phrases(entry.value) for word in run}
    materials = []
    for group, cluster in enumerate(groups.labels):
        if not shown[group] or cluster == NOISE:
            materials.append(NameMaterial())
            continue
        # A term that merely repeats a category was already judged as a category, with its base rate.
        own = [term.term for term in _most_unlike(terms[group]) if not _only_words_of(term.term, categories)]
        every = [term.term for term in terms[group]]
        told = [entry.value for entry in telling(mixes[group])]
        if told:
            materials.append(NameMaterial(told, _things(own) or _things(every)))
            continue
        fallback = [] if own else [entry.value for entry in mixes[group][:2]]
        materials.append(NameMaterial(fallback, _things(own) or own or every))
    return materials


def _things(terms: Sequence[str]) -> list[str]:
    """Terms that say what a thing is, not how it comes."""
    return [term for term in terms if not _only_words_of(term, PACKAGING)]


def _most_unlike(terms: Sequence[Term]) -> list[Term]:
    """Terms by weight times the root of log lift: a name asks for what is unlike the others a little more."""
    return sorted(terms, key=lambda term: (-term.weight * math.sqrt(math.log(max(term.lift, 1.0))), term.term))


def _barred(text: str, barred: Collection[str]) -> bool:
    return text.casefold() in barred or any(word in barred for run in phrases(text) for word in run)


def _only_words_of(term: str, words: Collection[str]) -> bool:
    return all(word in words for run in phrases(term) for word in run)


def super_clusters(
    groups: Groups,
    shown: NDArray[np.bool_],
    centroids: NDArray[np.float32] | None,
    counted: Counted,
    materials: Sequence[NameMaterial],
    k: int,
    language: str,
    unnamed: Collection[str] = (),
) -> dict[int, dict[str, Any]]:
    """Super-cluster of each published cluster: id, name, size, share, members; empty where clusters are few."""
    members = np.array([c for c, seen in zip(groups.labels, shown, strict=True) if seen and c != NOISE], np.int64)
    if centroids is None or members.size < FEWEST_CLUSTERS or members.max() >= centroids.shape[0]:
        return {}
    coarse = group_clusters(centroids[members], groups.sizes[members])
    number = np.full(len(groups), NOISE, np.int64)
    number[members] = coarse
    outer = group_users(number[groups.codes].astype(np.int32), int(coarse.max()) + 1)
    named = np.array([label != NOISE for label in outer.labels])
    own = name_materials(outer, named, counted.describe(outer, k), unnamed)
    users = max(int(groups.sizes.sum()), 1)
    for group in range(len(outer)):
        inside = [materials[cluster] for cluster in members[coarse == group].tolist()] if named[group] else []
        if len(inside) == 1:
            own[group] = inside[0]
        elif outer.sizes[group] > BROAD * users:
            leads = [next(iter([*material.categories, *material.terms]), "") for material in inside[:2]]
            own[group] = NameMaterial([lead for lead in leads if lead], own[group].terms)
    names = name_groups(outer, named, own, language)
    result = {}
    for cluster, group in zip(members.tolist(), coarse.tolist(), strict=True):
        size = rounded_count(int(outer.sizes[group]), min(ROUNDING, k))
        inside = members[coarse == group].tolist()
        result[cluster] = {"id": group, "name": names[group], "size": size, "share": size / users, "clusters": inside}
    return result
