"""Every knob of a run, typed, with unit and default; and where each value came from.

Precedence: command-line flag > ``UICGPU_*`` environment variable > settings file (TOML) > default. An unknown key is an
error that names the nearest right one.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uicgpu.errors import SettingsError
from uicgpu.settings_text import Clusters, Names, Size, Weights

ENVIRONMENT_PREFIX = "UICGPU_"
NOT_SETTINGS = frozenset({"UICGPU_TEST_DATA", "UICGPU_CACHE", "UICGPU_DEBUG", "UICGPU_KEY", "UICGPU_LLM_KEY"})
"""Variables with our prefix that are not settings: the tests' data folder, the cache folder, tracebacks."""


class Settings(BaseModel):
    """The settings of a run. Each is a flag (``half_life`` is ``--half-life``) and a key of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    events: Names = ()
    """Event files, folders or globs."""
    items: Names = ()
    """Item files; without them an item text column of the events serves."""
    users: Names = ()
    """Files with user attributes (optional)."""

    out: str | None = None
    """The run folder."""

    previous: str | None = None
    """A former run of the same users, or an export of one: clusters that are found again keep their ids."""

    user_column: Names = ()
    """Column(s) of the user id; several are joined with ``|``. Default: found by its usual names."""
    item_column: str | None = None
    """Column of the item id in the events."""
    time_column: str | None = None
    """Column of the event's time: ISO text or epoch seconds, milliseconds, microseconds."""
    kind_column: str | None = None
    """Column of the event's kind: view, purchase, comment …"""
    value_column: str | None = None
    """Column of the event's value: a rating, a quantity …"""
    item_id_column: str | None = None
    """Column of the item id in the item files."""
    text_columns: Names = ()
    """Columns that make up the item's text, in this order."""
    category_column: str | None = None
    """Column of the item's category; several values may be separated by ``|``, ``;`` or ``、`` (or by commas)."""
    user_id_column: str | None = None
    """Column of the user id in the ``users`` files."""
    label_column: str | None = None
    """Column of the ``users`` files (or the events) that clusters are compared with by NMI and ARI."""

    kind_weights: Weights = Field(default_factory=dict)
    """Weight of each kind of event; kinds that are not named weigh 1; weight 0 drops the kind."""
    half_life: float | None = Field(default=None, gt=0)
    """Half-life of an event's weight, days. Default: no decay."""
    min_value: float | None = None
    """Events with a smaller value are rejected (for example 3.5 for ratings)."""
    item_pattern: str | None = None
    """Regular expression that item ids must match; others are rejected (for example ``^[0-9]{5}``)."""
    numeric_weight: float = Field(default=0.0, ge=0)
    """Weight of standardised behaviour features fused into the interest vectors; 0 leaves them out."""

    model: str = "auto"
    """Encoder: auto, minilm, multilingual, a folder, or a hub id."""
    batch_tokens: int | None = Field(default=None, ge=64)
    """Tokens per encoder batch. Default: 1024 on a CPU, 65536 on a GPU."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Tokens per text. Default: the model's own limit."""
    long_texts: Literal["cut", "chunk"] = "cut"
    """Texts longer than ``max_tokens``: cut, or encoded in chunks whose vectors are averaged."""
    prompt: str | None = None
    """Text put before every item text. Default: the model's own prompt."""
    dim: int | None = Field(default=None, ge=1)
    """Dimensions kept of each item vector, for models trained for it. Default: all."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Number format of the encoder's weights. ``auto``: float32 on a CPU, half precision on a GPU."""
    vectors_dtype: Literal["fp32", "fp16"] = "fp32"
    """Number format of the vectors that ``uicgpu encode`` writes; fp16 is half the size."""

    train: bool = False
    """Fine-tune the encoder on the training part of the events first."""
    recipe: Literal["auto", "whiten", "head", "full", "lora"] = "auto"
    """What ``train`` trains. ``auto``: all weights; adapters (lora) for decoder models."""
    objective: Literal["block", "pairs", "history", "masked"] = "block"
    """Loss of the encoder's training. ``block``: leave one out over a user's items; ``pairs``: two items of a user
    within a window; ``history``: what came after the latest items; ``masked``: hidden words of the texts, no events."""

    algorithm: Literal["kmeans", "hdbscan", "dbscan", "hierarchical"] = "kmeans"
    """Clustering algorithm."""
    metric: Literal["euclidean", "cosine"] = "euclidean"
    """What clusters are formed by: distances, or (``cosine``) directions: every user's vector counts with length 1, and
    centres of KMeans are directions too. Users without any vector join the largest cluster."""
    k: Clusters = "auto"
    """Number of clusters for kmeans and hierarchical, or ``auto``."""
    init: Literal["k-means++", "k-means||"] = "k-means++"
    """How KMeans starts: from a sample of the users, or (``k-means||``) in a few passes over all of them, which also
    finds a group too small for the sample."""
    consensus: int = Field(default=0, ge=0, le=1000)
    """KMeans fits on resamples of the users whose centres are merged into the clusters (for example 20): steadier
    clusters, more work. 0: none."""
    reduce: Literal["pca", "umap", "none"] = "pca"
    """What brings vectors to 15 dimensions before HDBSCAN and DBSCAN measure density: principal axes, UMAP (an extra:
    ``pip install 'uicgpu[umap]'``), or nothing (all dimensions count)."""
    min_cluster_size: int | None = Field(default=None, ge=2)
    """Smallest cluster of HDBSCAN. Default: 1 % of the users, at least 5."""
    min_samples: int | None = Field(default=None, ge=2)
    """Neighbourhood size of HDBSCAN and DBSCAN, the point itself included."""
    eps: float | None = Field(default=None, gt=0)
    """Radius of DBSCAN. Default: read off the data's k-distance curve."""
    linkage: Literal["ward", "average", "complete", "single"] = "ward"
    """Linkage of hierarchical clustering."""
    noise: Literal["assign", "keep"] = "assign"
    """Users that a density algorithm leaves out: assign to the cluster that fits best, or keep as -1."""
    stability_runs: int = Field(default=5, ge=0)
    """Bootstrap repetitions behind the stability figure; 0 leaves it out."""

    top: int = Field(default=10, ge=1)
    """Recommendations per user."""
    allow_repeat: bool = False
    """Recommend items that the user already acted on."""

    split: Literal["auto", "time", "user-time", "leave-one-out", "none"] = "auto"
    """Evaluation split. ``auto``: one cut in time; per user where that leaves too few warm test users."""
    tune: Literal["quick", "full", "off"] = "quick"
    """How much is tried on validation: 6 settings per method, 12, or none (default settings, no ranker)."""
    evaluate_users: int = Field(default=5000, ge=50)
    """At most so many users are scored in the evaluation (sampled by seed)."""
    bootstrap: int = Field(default=1000, ge=100)
    """Resamples behind every confidence interval."""

    raw_ids: bool = False
    """Show single users under their own ids in the report and in exports; by default nobody is shown, and exports have
    pseudonyms."""
    k_anonymity: int = Field(default=20, ge=1)
    """Fewest users of whom anything is published: of a cluster, and of a term, category, item or value in it."""
    small_clusters: Literal["merge", "suppress"] = "merge"
    """Clusters of fewer than ``k_anonymity`` users: published as a part of the nearest one, or without details."""
    unnamed_words: Names = ("卖肉", "工口", "色情", "情色", "十八禁", "ecchi", "hentai", "porn", "nsfw", "r18")
    """Categories and terms that make no name of a cluster; they stay where the profile lists them."""
    llm_url: str | None = None
    """Base URL of an OpenAI-compatible service that names clusters (``http://localhost:11434/v1``); it gets terms and
    categories of the published clusters, and the key in ``UICGPU_LLM_KEY``, if set. Default: names without a model."""
    llm_model: str = "default"
    """Model that ``llm_url`` is asked for."""
    language: Literal["en", "zh"] = "en"
    """Language of the report."""

    seed: int = Field(default=0, ge=0)
    """Seed of the run."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")
    """auto, cpu, cuda or cuda:N."""
    threads: int = Field(default_factory=lambda: max(1, len(os.sched_getaffinity(0))), ge=1)
    """Worker threads. The result does not depend on it."""
    memory: Size = Field(default=4 * 2**30, ge=64 * 2**20)
    """Memory budget of a stage, bytes (for example 8GiB)."""
    cache_limit: Size | None = Field(default=None, ge=0)
    """Size that the cache of item vectors may reach (for example 2GiB); the oldest go first. Default: no limit."""

    @model_validator(mode="after")
    def _weights_are_finite(self) -> Settings:
        bad = {kind: weight for kind, weight in self.kind_weights.items() if not 0 <= weight < float("inf")}
        if bad:
            seen = ", ".join(f"{kind}={weight:g}" for kind, weight in bad.items())
            raise ValueError(f"kind_weights: a weight is a finite number, 0 or more; 0 leaves the kind out; got {seen}")
        if self.item_pattern is not None:
            try:
                re.compile(self.item_pattern)
            except re.error as error:
                raise ValueError(f"item_pattern: not a regular expression: {error}") from error
        return self


CLUSTERING_SETTINGS = (
    "algorithm",
    "metric",
    "k",
    "init",
    "consensus",
    "reduce",
    "min_cluster_size",
    "min_samples",
    "eps",
    "linkage",
    "noise",
)
"""Settings that decide which clusters are found: options of the commands that cluster, what the stages depend on."""
MACHINE_SETTINGS = frozenset({"out", "previous", "device", "threads", "memory", "cache_limit"})
"""Settings that say where a run happens, not what it is about; artefacts do not mention them."""


@dataclass(frozen=True)
class ResolvedSettings:
    """Settings together with the source of each value: ``flag``, ``environment``, ``file`` or ``default``."""

    settings: Settings
    sources: dict[str, str]


def resolve_settings(
    flags: Mapping[str, Any], file: Path | None = None, environment: Mapping[str, str] | None = None
) -> ResolvedSettings:
    """Merge flags, environment, file and defaults.

    Parameters
    ----------
    flags
        Values from the command line or the caller; ``None`` and ``()`` mean "not given".
    file
        A TOML file, flat or with tables (table names only group keys).
    environment
        Defaults to ``os.environ``.

    Raises
    ------
    SettingsError
        For an unreadable file, an unknown key (with the nearest right one) or an impossible value.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.model_fields, "default")
    environment = os.environ if environment is None else environment
    layers = [
        (f"file {file}", "file", _read_file(file) if file else {}),
        ("environment", "environment", _read_environment(environment)),
        ("options", "flag", {key: value for key, value in flags.items() if value is not None and value != ()}),
    ]
    for place, source, layer in layers:
        for key, value in layer.items():
            if key not in Settings.model_fields:
                raise SettingsError(f"unknown setting {key!r}", where=place, fix=_suggest(key))
            values[key] = value
            sources[key] = source
    return ResolvedSettings(checked(values, sources, file), sources)


def checked(values: Mapping[str, Any], sources: Mapping[str, str], file: Path | None = None) -> Settings:
    """Return the settings that ``values`` make.

    Parameters
    ----------
    sources
        Per setting ``file``, ``environment``, ``flag`` or ``default``: where an impossible value came from.
    file
        The settings file.

    Raises
    ------
    SettingsError
        For an impossible value.
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        told = first["msg"].removeprefix("Value error, ")
        key = str(first["loc"][0]) if first["loc"] else ""
        seen = f": got {values[key]!r}" if key in values else ""
        if not key and told.partition(":")[0] in Settings.model_fields:  # a check of ours names the setting itself
            key, _, told = told.partition(": ")
        raise SettingsError(
            f"setting {key or '(several)'}{seen}: {told}",
            where=_place(key, sources.get(key, "default"), file),
            fix="uicgpu settings --help lists every setting",
        ) from error


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SettingsError(f"settings file not found: {file}", fix="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"settings file is not readable TOML: {error}", where=str(file)) from error
    flat: dict[str, Any] = {}
    for key, value in content.items():
        entries = value.items() if isinstance(value, dict) and _key(key) != "kind_weights" else [(key, value)]
        flat.update({_key(inner): inner_value for inner, inner_value in entries})
    return flat


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS
    }


def _place(key: str, source: str, file: Path | None) -> str:
    places = {
        "flag": f"option --{key.replace('_', '-')}",
        "environment": f"environment variable {ENVIRONMENT_PREFIX}{key.upper()}",
        "file": f"{file}, key {key}",
    }
    return places.get(source, "settings")


def _key(name: str) -> str:
    return name.strip().replace("-", "_")


def _suggest(key: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else "uicgpu settings --help lists every setting"
