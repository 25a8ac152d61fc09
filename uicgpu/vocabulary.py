"""The words of the product, once: column names, artefact names, exit codes, stage names.

No other module spells these strings out. The meaning of each word is in ``docs/architecture.md``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

FORMAT_VERSION: Final = 1
"""Version of the run folder's layout; a breaking change raises it and ships a migration."""


class Column:
    """Names of table columns, in artefacts and in memory."""

    USER: Final = "user_id"
    ITEM: Final = "item_id"
    TIME: Final = "time"
    KIND: Final = "kind"
    VALUE: Final = "value"
    WEIGHT: Final = "weight"
    EVENTS: Final = "events"
    FIRST_TIME: Final = "first_time"
    LAST_TIME: Final = "last_time"
    TITLE: Final = "title"
    """What a person calls the item: its first text column."""
    TEXT: Final = "text"
    """What is encoded: title, other text columns, categories."""
    CATEGORY: Final = "category"
    ROW: Final = "row"
    SOURCE: Final = "source"
    REASON: Final = "reason"
    SAMPLE: Final = "sample"
    CLUSTER: Final = "cluster"
    SECOND_CLUSTER: Final = "second_cluster"
    CONFIDENCE: Final = "confidence"
    NAME: Final = "name"
    SIZE: Final = "size"
    SHARE: Final = "share"
    TERMS: Final = "terms"
    EXEMPLAR_ITEMS: Final = "exemplar_items"
    SILHOUETTE: Final = "silhouette"
    RANK: Final = "rank"
    SCORE: Final = "score"
    USER_CODE: Final = "user"
    """int32 position of the user in the sorted list of user ids."""
    ITEM_CODE: Final = "item"
    """int32 row of the item in ``items.parquet``."""


class Artefact:
    """Files of a run folder. Those under ``stages/`` are internal; the rest is the contract."""

    MANIFEST: Final = "manifest.json"
    LOCK: Final = ".lock"
    INTERACTIONS: Final = "interactions.parquet"
    REJECTED: Final = "rejected.parquet"
    ITEMS: Final = "items.parquet"
    ITEM_VECTORS: Final = "item_vectors.npy"
    USERS: Final = "users.parquet"
    INTEREST_VECTORS: Final = "interest_vectors.npy"
    CLUSTERS: Final = "clusters.parquet"
    CENTROIDS: Final = "centroids.npy"
    PROFILES: Final = "profiles.json"
    RECOMMENDATIONS: Final = "recommendations.parquet"
    METRICS: Final = "metrics.json"
    REPORT: Final = "report.html"

    EVENTS: Final = "stages/events.parquet"
    """Clean events with int32 codes, sorted by user, time, item."""
    EVENT_ITEMS: Final = "stages/event_items.parquet"
    """Item ids seen in events, with the text and category that the events carry."""
    EVENT_REJECTS: Final = "stages/event_rejects.parquet"
    BEHAVIOUR: Final = "stages/behaviour.parquet"
    """Numeric behaviour features, one row per user."""
    ATTRIBUTES: Final = "stages/attributes.parquet"
    """User attributes of the ``--users`` table, one row per user."""
    POOLING: Final = "stages/pooling.safetensors"
    """What pooling learned: centre, idf, feature means and scales."""
    USER_INTERESTS: Final = "stages/user_interests.parquet"
    """Several interests per user: medoids of the user's own items, with importance and recency."""
    TRAINING: Final = "stages/training.json"
    """What ``train`` found, or that nothing was trained."""
    CLUSTERING: Final = "stages/clustering.parquet"
    """Labels, second labels and confidence, one row per user."""
    DENSITY: Final = "stages/density.safetensors"
    """What places later users where HDBSCAN or DBSCAN would have; no arrays for the other algorithms."""
    CLUSTER_FACTS: Final = "stages/cluster_facts.json"
    LABELS: Final = "stages/labels.parquet"
    """Known group per user, where ``--label-column`` names a column of the events."""
    EVALUATION: Final = "stages/evaluation.json"
    """What evaluation learned for the recommender: settings of arms and blend weights."""
    RANKER: Final = "stages/ranker.txt"
    """The ranker as LightGBM writes it; empty where validation wanted none."""


class StageName:
    """Stages in the order of the data flow."""

    CLEAN: Final = "clean"
    ITEMS: Final = "items"
    TRAIN: Final = "train"
    ENCODE: Final = "encode"
    INTERESTS: Final = "interests"
    CLUSTER: Final = "cluster"
    PROFILES: Final = "profiles"
    EVALUATE: Final = "evaluate"
    RECOMMEND: Final = "recommend"
    METRICS: Final = "metrics"
    REPORT: Final = "report"


class Exported:
    """Files that ``uicgpu export`` writes and others read again."""

    DESCRIPTION: Final = "export.json"
    USERS: Final = "users.csv"


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BAD_INPUT = 3
    MISSING_DEVICE = 4
    OUT_OF_RESOURCES = 5
    INTERRUPTED = 130


NOISE: Final = -1
"""Cluster label of a user that a density algorithm left out (only with ``--noise keep``)."""
