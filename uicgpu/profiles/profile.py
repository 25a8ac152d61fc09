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
from uicgpu.events.interactions import EventTable, Interactions
from uicgpu.privacy.anonymity import ROUNDING, plan_publication, rounded_count
from uicgpu.privacy.text import snippet
from uicgpu.profiles.apart import contrast, cosine, nearest_clusters
from uicgpu.profiles.behaviour import describe_attributes, describe_behaviour, share_entries
from uicgpu.profiles.counts import Groups, group_items, group_users
from uicgpu.profiles.description import Counted, name_groups, name_materials, super_clusters
from uicgpu.profiles.exemplars import Exemplar, choose_exemplars, item_titles
from uicgpu.profiles.mixes import LONGEST_MIX, group_means
from uicgpu.profiles.names import NameMaterial
from uicgpu.profiles.rhythm import describe_rhythm
from uicgpu.settings import Settings
from uicgpu.vocabulary import NOISE, Column

SIGNIFICANT_DIGITS: Final = 3
FEW_USERS: Final = 1000
"""Shares of fewer users have two digits: more would give the count away."""
Figures = NDArray[np.floating] | Sequence[float | None]


@dataclass(frozen=True)
class Profiles:
    """Profiles of all clusters, fit for publication.

    Attributes
    ----------
    profiles
        One JSON-able mapping per cluster, in the order of ``clusters``; floats rounded to three significant digits,
        None where a figure is not known.
    clusters
        ``cluster`` int32, ``name``, ``size`` int64, ``share`` float64, ``terms`` list[str], ``exemplar_items``
        list[str], ``silhouette`` float64 (nullable), ``row`` int32 into the centroids (null for -1). Sizes are exact:
        the table is the operator's own.
    publication
        How many clusters and users were merged or withheld.
    naming
        How many names a language model gave, where one was asked.
    """

    profiles: list[dict[str, Any]]
    clusters: pl.DataFrame
    publication: dict[str, Any]
    naming: str | None = None

    @property
    def notes(self) -> list[str]:
        """What became of small clusters, and whose the names are, for the terminal and the manifest."""
        told = [self.naming] if self.naming else []
        if self.publication["merged_clusters"]:
            told.append(
                "{merged_clusters} small clusters with {merged_users} users are published as part of the nearest "
                "cluster (k-anonymity {k})".format(**self.publication)
            )
        if self.publication["withheld_clusters"]:
            told.append(
                "{withheld_clusters} small clusters with {withheld_users} users are published without details "
                "(k-anonymity {k})".format(**self.publication)
            )
        return told


def build_profiles(
    labels: NDArray[np.int32],
    interactions: Interactions,
    items: pl.DataFrame,
    behaviour: pl.DataFrame | None = None,
    attributes: pl.DataFrame | None = None,
    confidence: NDArray[np.float32] | None = None,
    silhouettes: Figures | None = None,
    centroids: NDArray[np.float32] | None = None,
    settings: Settings | None = None,
    item_vectors: NDArray[np.float32] | None = None,
    events: EventTable | None = None,
    stabilities: Figures | None = None,
) -> Profiles:
    """Describe every cluster by terms, exemplar items, mixes against the base rate, activity and its neighbour.

    Parameters
    ----------
    labels
        int32 [users], cluster of each user, -1 for none.
    interactions
        Interactions of the same users.
    items
        ``item_id``, ``title``, ``text``, ``category`` (joined by ``|``); the first ``interactions.n_items`` rows
        are the items that interactions name.
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
    events
        Clean events of the same users; needed for weekdays, hours and trends.
    stabilities
        One figure per cluster: how well it comes back on resampled users.

    Returns
    -------
    Profiles
        What fewer than ``settings.k_anonymity`` users of a cluster share is left out; counts of users are multiples of
        five. A smaller cluster has ``suppressed`` true and no details; ``merged_into`` names the cluster that it is
        published with.

    Raises
    ------
    InputError
        If the parts are not of the same users or items.
    """
    settings = settings or Settings()
    _check(labels, interactions, items, behaviour, attributes)
    k = settings.k_anonymity
    clusters = _cluster_count(labels, centroids)
    own = group_users(labels, clusters)
    publication = plan_publication(own.sizes[:clusters], centroids, k, settings.small_clusters)
    groups = group_users(publication.labels(labels), clusters)
    known_items = items.head(interactions.n_items)
    titles = item_titles(known_items)
    counted = Counted(interactions, known_items)
    told = counted.describe(groups, k)
    exemplars = choose_exemplars(group_items(groups, interactions), groups, centroids, item_vectors, minimum_users=k)
    behaviours = describe_behaviour(behaviour, interactions, groups, k)
    rhythms = describe_rhythm(events, groups, k)
    attribute_mixes = describe_attributes(attributes, groups, k)

    shown = groups.sizes >= max(k, 1)
    materials = name_materials(groups, shown, told, settings.unnamed_words)
    names, note = name_groups(groups, shown, materials, settings.language), None
    if settings.llm_url:
        names, note = _names_by_model(names, materials, settings)
    coarse = super_clusters(groups, shown, centroids, counted, materials, k, settings.language, settings.unnamed_words)
    neighbours = _neighbours(groups, shown, centroids)
    confidences = None if confidence is None else group_means(np.asarray(confidence, np.float64), groups)
    users = int(groups.sizes.sum())
    profiles: list[dict[str, Any]] = []
    for group, cluster in enumerate(groups.labels):
        size = rounded_count(int(groups.sizes[group]), min(ROUNDING, k)) if shown[group] else None
        host = int(publication.host[cluster]) if cluster != NOISE else cluster
        profile: dict[str, Any] = {
            "cluster": cluster,
            "name": names[host] if host not in (cluster, NOISE) else names[group],
            "size": size,
            "share": None if size is None else size / max(users, 1),
            "suppressed": not bool(shown[group]),
            "merged_into": host if host not in (cluster, NOISE) else None,
        }
        if shown[group]:
            other = neighbours[group]
            profile |= {
                "super_cluster": coarse.get(cluster),
                "confidence": None if confidences is None else float(confidences[group]),
                "silhouette": _figure_of(silhouettes, cluster),
                "stability": _figure_of(stabilities, cluster),
                "terms": [
                    asdict(term) | {"users": rounded_count(term.users, min(ROUNDING, k))} for term in told.terms[group]
                ],
                "exemplar_items": [_exemplar(entry, known_items, titles, users) for entry in exemplars[group]],
                "categories": share_entries("category", told.mixes[group][:LONGEST_MIX]),
                **behaviours[group],
                **rhythms[group],
                "attributes": attribute_mixes[group],
                "nearest": None
                if other is None
                else {
                    "cluster": groups.labels[other],
                    "name": names[other],
                    "similarity": None if centroids is None else cosine(centroids[group], centroids[other]),
                    **contrast(told.terms[group], told.terms[other], told.mixes[group], told.mixes[other]),
                },
            }
        profiles.append(rounded(profile))
    return Profiles(profiles, _clusters_table(profiles, own, silhouettes), publication.facts() | {"k": k}, note)


def _names_by_model(
    names: list[str], materials: Sequence[NameMaterial], settings: Settings
) -> tuple[list[str], str | None]:
    from uicgpu.profiles.model_names import name_by_model  # the one place that opens a connection, and only if asked

    assert settings.llm_url is not None
    named, used = name_by_model(
        names, materials, url=settings.llm_url, model=settings.llm_model, language=settings.language
    )
    asked = sum(bool(material.terms or material.categories) for material in materials)
    return (
        named,
        f"{used} of {asked} names come from the language model {settings.llm_model}, the others from the terms",
    )


def _cluster_count(labels: NDArray[np.int32], centroids: NDArray[np.float32] | None) -> int:
    found = int(np.asarray(labels).max()) + 1 if len(labels) else 0
    return max(found, 0 if centroids is None else int(centroids.shape[0]))


def rounded(value: Any) -> Any:
    """Return ``value`` with sorted keys, floats of three significant digits, and None for NaN and infinity.

    >>> rounded({"b": 0.123456789, "a": [float("nan")]})
    {'a': [None], 'b': 0.123}
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


def _neighbours(groups: Groups, shown: NDArray[np.bool_], centroids: NDArray[np.float32] | None) -> list[int | None]:
    result: list[int | None] = [None] * len(groups)
    if centroids is None:
        return result
    k = min(int(centroids.shape[0]), len(groups))
    for group, other in enumerate(nearest_clusters(centroids[:k], shown[:k]).tolist()):
        result[group] = None if other < 0 or groups.labels[group] == NOISE else other
    return result


def _figure_of(figures: Figures | None, cluster: int) -> float | None:
    if figures is None or not 0 <= cluster < len(figures):
        return None
    value = figures[cluster]
    return float(value) if value is not None and math.isfinite(value) else None


def _exemplar(exemplar: Exemplar, items: pl.DataFrame, titles: pl.Series, users: int) -> dict[str, Any]:
    item = str(items[Column.ITEM][exemplar.item])
    told = {key: value for key, value in asdict(exemplar).items() if key != "item"}
    digits = 2 if users < FEW_USERS else SIGNIFICANT_DIGITS
    told |= {name: float(f"{told[name]:.{digits}g}") for name in ("share", "base_share") if told[name] is not None}
    return {**told, "item_id": item, "text": snippet(titles[exemplar.item]) or item}


def _clusters_table(profiles: list[dict[str, Any]], own: Groups, silhouettes: Figures | None) -> pl.DataFrame:
    # A merged cluster has the name, terms and exemplars under which its users are published.
    by_cluster = {profile["cluster"]: profile for profile in profiles}
    rows = []
    for cluster, size in zip(own.labels, own.sizes.tolist(), strict=True):
        profile = by_cluster[cluster]
        host = by_cluster[profile["merged_into"]] if profile["merged_into"] is not None else profile
        rows.append(
            {
                Column.CLUSTER: cluster,
                Column.NAME: host["name"],
                Column.SIZE: size,
                Column.SHARE: size / max(int(own.sizes.sum()), 1),
                Column.TERMS: [term["term"] for term in host.get("terms", [])],
                Column.EXEMPLAR_ITEMS: [item["item_id"] for item in host.get("exemplar_items", [])],
                Column.SILHOUETTE: _figure_of(silhouettes, cluster),
                Column.ROW: cluster if cluster != NOISE else None,
            }
        )
    return pl.DataFrame(
        rows,
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
