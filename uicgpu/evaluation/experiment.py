"""Groups for an A/B test: stable, the same on every machine, and spread evenly over the clusters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import polars as pl

from uicgpu.errors import SettingsError
from uicgpu.vocabulary import Column

BUCKETS: Final = 1000
"""A user's bucket is a hash of salt and id, so it never changes, whoever else comes or goes."""


def bucket(user_id: str, salt: str) -> int:
    """0 to 999, by SHA-256 of salt and user id.

    >>> bucket("u1", "spring") == bucket("u1", "spring")
    True
    """
    digest = hashlib.sha256(f"{salt}\x1f{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def assign_groups(users: pl.DataFrame, salt: str, names: Sequence[str] = ("A", "B")) -> pl.DataFrame:
    """Give each user of a run a group: ``user_id, cluster, bucket, group``, in the order of ``users``.

    Each cluster is its own stratum: the cluster's number enters the hash, so that the draws of two clusters are
    independent, and every cluster is split in equal shares up to chance.

    Parameters
    ----------
    users
        ``user_id, cluster``.
    salt
        Name of the experiment; another name draws anew.

    Raises
    ------
    SettingsError
        For fewer than two groups or repeated names.
    """
    if len(names) < 2 or len(set(names)) != len(names):
        raise SettingsError(f"an experiment needs two or more different groups, got {', '.join(names) or 'none'}")
    pairs = zip(users[Column.USER].to_list(), users[Column.CLUSTER].to_list(), strict=True)
    drawn = [bucket(user, f"{salt}\x1f{cluster}") for user, cluster in pairs]
    return users.select(Column.USER, Column.CLUSTER).with_columns(
        pl.Series("bucket", drawn, pl.Int32),
        pl.Series("group", [names[value * len(names) // BUCKETS] for value in drawn], pl.String),
    )
