"""Who are the users of each cluster? One profile per cluster, and the clusters table of the run folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.events.interactions import Interactions
from uicgpu.profiles.apart import contrast, cosine, nearest_clusters
from uicgpu.profiles.behaviour import describe_attributes, describe_behaviour, share_entries
from uicgpu.profiles.counts import Groups, even_weights, group_items, group_users, users_holding
from uicgpu.profiles.exemplars import Exemplar, choose_exemplars
from uicgpu.profiles.mixes import (
    LONGEST_MIX,
    Share,
    category_matrix,
    category_mixes,
    group_means,
    telling,
)
from uicgpu.profiles.names import NameMaterial, choose_names, plain_name
from uicgpu.profiles.privacy import MINIMUM_CLUSTER_SIZE, snippet
from uicgpu.profiles.terms import Term, choose_terms, count_terms
from uicgpu.profiles.words import phrases
from uicgpu.settings import Settings
from uicgpu.vocabulary import NOISE, Column

SIGNIFICANT_DIGITS: Final = 6
Silhouettes = NDArray[np.floating] | Sequence[float | None]


@dataclass(frozen=True)
class Profiles:
    """Profiles of all clusters.

    Attributes
    ----------
    profiles
        One JSON-able mapping per cluster, in the order of ``clusters``; floats rounded to six significant digits,
        None where a figure is not known.
    clusters
        ``cluster`` int32, ``name``, ``size`` int64, ``share`` float64, ``terms`` list[str], ``exemplar_items``
        list[str], ``silhouette`` float64 (nullable), ``row`` int32 into the centroids (null for -1).
    """

    profiles: list[dict[str, Any]]
    clusters: pl.DataFrame


def build_profiles(
    labels: NDArray[np.int32],
    interactions: Interactions,
    items: pl.DataFrame,
    behaviour: pl.DataFrame | None = None,
    attributes: pl.DataFrame | None = None,
    confidence: NDArray[np.float32] | None = None,
    silhouettes: Silhouettes | None = None,
    centroids: NDArray[np.float32] | None = None,
    settings: Settings | None = None,
    item_vectors: NDArray[np.float32] | None = None,
) -> Profiles:
    """Describe every cluster by terms, exemplar items, mixes against the base rate, activity and its neighbour.

    Parameters
    ----------
    labels
        int32 [users], cluster of each user, -1 for none.
    interactions
        Interactions of the same users.
    items
        ``item_id``, ``text``, ``category`` (values joined by ``|``); the first ``interactions.n_items`` rows are the
        items that interactions name.
    behaviour, attributes
        One row per user in the order of ``labels``, with ``user_id``. Behaviour columns that share a prefix before a
        dot are a mix (``kind_share.view``); the rest are numbers.
    confidence
        float32 [users].
    silhouettes
        One figure per cluster; NaN or None where unknown.
    centroids
        float32 [clusters, dim (+ features)].
    item_vectors
        float32 [items, dim]; needed for the exemplars nearest to the centre.

    Returns
    -------
    Profiles
        Clusters of fewer than ``MINIMUM_CLUSTER_SIZE`` users have ``suppressed`` true and nothing but name, size and
        share. Terms, categories, exemplars and attribute values held by fewer users of the cluster are left out.

    Raises
    ------
    InputError
        If the parts are not of the same users or items.
    """
    settings = settings or Settings()
    _check(labels, interactions, items, behaviour, attributes)
    groups = group_users(labels, None if centroids is None else int(centroids.shape[0]))
    known_items = items.head(interactions.n_items)
    texts = known_items[Column.TEXT].fill_null("").to_list()
    weights = group_items(groups, interactions, even_weights(interactions))
    holders = group_items(groups, interactions)

    item_weights = np.asarray(weights.sum(axis=0)).ravel()
    terms = choose_terms(count_terms(texts, item_weights), weights, groups, interactions)
    exemplars = choose_exemplars(holders, groups, centroids, item_vectors)
    mixes = _category_mixes(known_items, weights, groups, interactions)
    behaviours = describe_behaviour(behaviour, interactions, groups)
    attribute_mixes = describe_attributes(attributes, groups)

    shown = groups.sizes >= MINIMUM_CLUSTER_SIZE
    names = _names(groups, shown, terms, mixes, settings.language)
    neighbours = _neighbours(groups, shown, centroids)
    confidences = None if confidence is None else group_means(np.asarray(confidence, np.float64), groups)
    users = int(groups.sizes.sum())
    profiles: list[dict[str, Any]] = []
    for group, cluster in enumerate(groups.labels):
        profile: dict[str, Any] = {
            "cluster": cluster,
            "name": names[group],
            "size": int(groups.sizes[group]),
            "share": float(groups.sizes[group]) / max(users, 1),
            "suppressed": not bool(shown[group]),
        }
        if shown[group]:
            other = neighbours[group]
            profile |= {
                "confidence": None if confidences is None else float(confidences[group]),
                "silhouette": _silhouette(silhouettes, cluster),
                "terms": [asdict(term) for term in terms[group]],
                "exemplar_items": [_exemplar(exemplar, known_items, texts) for exemplar in exemplars[group]],
                "categories": share_entries("category", mixes[group][:LONGEST_MIX]),
                **behaviours[group],
                "attributes": attribute_mixes[group],
                "nearest": None
                if other is None
                else {
                    "cluster": groups.labels[other],
                    "name": names[other],
                    "similarity": None if centroids is None else cosine(centroids[group], centroids[other]),
                    **contrast(terms[group], terms[other], mixes[group], mixes[other]),
                },
            }
        profiles.append(rounded(profile))
    return Profiles(profiles, _clusters_table(profiles, groups, silhouettes))


def rounded(value: Any) -> Any:
    """Return ``value`` with sorted keys, floats of six significant digits, and None for NaN and infinity.

    >>> rounded({"b": 0.123456789, "a": [float("nan")]})
    {'a': [None], 'b': 0.123457}
    """
    if isinstance(value, dict):
        return {key: rounded(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _check(
    labels: NDArray[np.int32],
    interactions: Interactions,
    items: pl.DataFrame,
    behaviour: pl.DataFrame | None,
    attributes: pl.DataFrame | None,
) -> None:
    seen = {"labels": len(labels), "interactions": interactions.n_users}
    seen |= {} if behaviour is None else {"behaviour": behaviour.height}
    seen |= {} if attributes is None else {"attributes": attributes.height}
    if len(set(seen.values())) > 1:
        raise InputError(f"profiles need one row per user in every table: got {seen}", fix="pass parts of one run")
    if items.height < interactions.n_items:
        raise InputError(
            f"interactions name {interactions.n_items} items, the items table has {items.height}",
            fix="pass parts of one run",
        )


def _category_mixes(items: pl.DataFrame, weights: Any, groups: Groups, interactions: Interactions) -> list[list[Share]]:
    if Column.CATEGORY not in items.columns or not items[Column.CATEGORY].drop_nulls().len():
        return [[] for _ in groups.labels]
    values, matrix = category_matrix(items[Column.CATEGORY].cast(pl.String).to_list())
    return category_mixes(values, matrix, weights, users_holding(groups, interactions, matrix))


def _names(
    groups: Groups, shown: NDArray[np.bool_], terms: list[list[Term]], mixes: list[list[Share]], language: str
) -> list[str]:
    categories = {word for mix in mixes for entry in mix for run in phrases(entry.value) for word in run}
    materials = []
    for group, cluster in enumerate(groups.labels):
        if not shown[group] or cluster == NOISE:
            materials.append(NameMaterial())
            continue
        # A term that merely repeats a category was already judged as a category, with its base rate.
        own = [term.term for term in _most_unlike(terms[group]) if not _only_words_of(term.term, categories)]
        told = [entry.value for entry in telling(mixes[group])]
        fallback = [entry.value for entry in mixes[group][:2]] if not told and not own else []
        materials.append(NameMaterial(told or fallback, own or [term.term for term in terms[group]]))
    names = choose_names(groups.labels, materials, language)
    return [
        name if shown[group] or cluster == NOISE else plain_name(cluster, language)
        for group, (name, cluster) in enumerate(zip(names, groups.labels, strict=True))
    ]


def _most_unlike(terms: Sequence[Term]) -> list[Term]:
    """Terms by weight times the root of log lift: a name asks for what is unlike the others a little more."""
    return sorted(terms, key=lambda term: (-term.weight * math.sqrt(math.log(max(term.lift, 1.0))), term.term))


def _only_words_of(term: str, words: set[str]) -> bool:
    return all(word in words for run in phrases(term) for word in run)


def _neighbours(groups: Groups, shown: NDArray[np.bool_], centroids: NDArray[np.float32] | None) -> list[int | None]:
    result: list[int | None] = [None] * len(groups)
    if centroids is None:
        return result
    k = min(int(centroids.shape[0]), len(groups))
    for group, other in enumerate(nearest_clusters(centroids[:k], shown[:k]).tolist()):
        result[group] = None if other < 0 or groups.labels[group] == NOISE else other
    return result


def _silhouette(silhouettes: Silhouettes | None, cluster: int) -> float | None:
    if silhouettes is None or not 0 <= cluster < len(silhouettes):
        return None
    value = silhouettes[cluster]
    return float(value) if value is not None and math.isfinite(value) else None


def _exemplar(exemplar: Exemplar, items: pl.DataFrame, texts: Sequence[str]) -> dict[str, Any]:
    item = str(items[Column.ITEM][exemplar.item])
    told = {key: value for key, value in asdict(exemplar).items() if key != "item"}
    return {**told, "item_id": item, "text": snippet(texts[exemplar.item]) or item}


def _clusters_table(profiles: list[dict[str, Any]], groups: Groups, silhouettes: Silhouettes | None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            Column.CLUSTER: list(groups.labels),
            Column.NAME: [profile["name"] for profile in profiles],
            Column.SIZE: groups.sizes.tolist(),
            Column.SHARE: [profile["share"] for profile in profiles],
            Column.TERMS: [[term["term"] for term in profile.get("terms", [])] for profile in profiles],
            Column.EXEMPLAR_ITEMS: [
                [item["item_id"] for item in profile.get("exemplar_items", [])] for profile in profiles
            ],
            Column.SILHOUETTE: [_silhouette(silhouettes, cluster) for cluster in groups.labels],
            Column.ROW: [cluster if cluster != NOISE else None for cluster in groups.labels],
        },
        schema={
            Column.CLUSTER: pl.Int32,
            Column.NAME: pl.String,
            Column.SIZE: pl.Int64,
            Column.SHARE: pl.Float64,
            Column.TERMS: pl.List(pl.String),
            Column.EXEMPLAR_ITEMS: pl.List(pl.String),
            Column.SILHOUETTE: pl.Float64,
            Column.ROW: pl.Int32,
        },
    )
