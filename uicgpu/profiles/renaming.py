"""Clusters under ids that go on from a former run, in the place of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from uicgpu.profiles.names import plain_name
from uicgpu.profiles.profile import Profiles
from uicgpu.vocabulary import NOISE, Column


def rename_clusters(built: Profiles, ids: Sequence[int], language: str) -> Profiles:
    """Return the profiles with ``ids[row]`` wherever they name the cluster of a row; noise stays -1.

    Names that are a number only follow the new one. The table's ``row`` still leads to the centroid.
    """
    named = {NOISE: NOISE, **dict(enumerate(ids))}
    numbered = {plain_name(row, language): plain_name(ids[row], language) for row in range(len(ids))}

    def renamed(profile: dict[str, Any]) -> dict[str, Any]:
        told = profile | {"cluster": named[profile["cluster"]], "name": numbered.get(profile["name"], profile["name"])}
        if profile["merged_into"] is not None:
            told["merged_into"] = named[profile["merged_into"]]
        near, family = profile.get("nearest"), profile.get("super_cluster")
        if near:
            name = numbered.get(near["name"], near["name"])
            told["nearest"] = near | {"cluster": named[near["cluster"]], "name": name}
        if family:
            told["super_cluster"] = family | {"clusters": [named[row] for row in family["clusters"]]}
        return told

    clusters = built.clusters.with_columns(
        pl.col(Column.CLUSTER).replace_strict(list(named), list(named.values()), return_dtype=pl.Int32),
        pl.col(Column.NAME).replace(numbered),
    )
    return replace(built, profiles=[renamed(profile) for profile in built.profiles], clusters=clusters)
