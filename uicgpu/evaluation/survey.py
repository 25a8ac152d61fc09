"""What users say: survey scores by cluster and by group of an experiment, each with n, interval and what n can show.

A survey is joined to the users of a run. A user counts once per question (the mean of repeated answers), and groups of
fewer than :data:`uicgpu.privacy.anonymity.K_ANONYMITY` respondents are not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError
from uicgpu.evaluation.significance import DETECTABLE_ERRORS, bootstrap
from uicgpu.privacy.anonymity import K_ANONYMITY
from uicgpu.vocabulary import Column

QUESTION: Final = "question"
GROUP: Final = "group"
USER_NAMES: Final = (Column.USER, "user", "userid", "customer_id", "customer")
SCORE_NAMES: Final = (Column.SCORE, "rating", "answer", "satisfaction", "csat", "nps")
QUESTION_NAMES: Final = (QUESTION, "item", "topic")
GROUP_NAMES: Final = (GROUP, "exposure", "variant", "arm", "bucket")

Figures = dict[str, float | int | str | None]


def tidy_survey(table: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return ``user_id, score, question, group`` from a table that names them in a usual way.

    Raises
    ------
    InputError
        Without a column of users or of scores.
    """
    names = {name.strip().lower().replace(" ", "_"): name for name in table.columns}

    def find(usual: Sequence[str], what: str | None) -> str | None:
        found = next((names[name] for name in usual if name in names), None)
        if found is None and what:
            raise InputError(
                f"the survey has no column of {what}; its columns are {', '.join(table.columns)}",
                where=source,
                fix=f"name it {usual[0]}",
            )
        return found

    user, score = find(USER_NAMES, "users"), find(SCORE_NAMES, "scores")
    question, group = find(QUESTION_NAMES, None), find(GROUP_NAMES, None)
    return table.select(
        pl.col(str(user)).cast(pl.String).alias(Column.USER),
        pl.col(str(score)).cast(pl.Float64, strict=False).alias(Column.SCORE),
        (pl.col(question).cast(pl.String).fill_null("") if question else pl.lit("")).alias(QUESTION),
        (pl.col(group).cast(pl.String) if group else pl.lit(None, pl.String)).alias(GROUP),
    )


def check_survey(survey: pl.DataFrame, users: pl.DataFrame, source: str, run: str) -> None:
    """Refuse a survey that says nothing about the users of a run.

    Raises
    ------
    InputError
        When no score is a number, or no user of the survey is in the run.
    """
    if not survey[Column.SCORE].is_finite().any():
        raise InputError(
            f"none of the {survey.height:,} scores of the survey is a number",
            where=source,
            fix=f"name the column of numbers {Column.SCORE}",
        )
    if survey.join(users, on=Column.USER, how="semi").is_empty():
        raise InputError(
            f"none of the {survey[Column.USER].n_unique():,} users of the survey is in the run {run}",
            where=source,
            fix="use the user ids of the events that the run was made from, spelt the same way",
        )


def survey_figures(survey: pl.DataFrame, users: pl.DataFrame, resamples: int, seed: int) -> Figures:
    """Join a survey to clusters and groups.

    Parameters
    ----------
    survey
        ``user_id, score, question, group``; see :func:`tidy_survey`. ``group`` says what a user was exposed to.
    users
        ``user_id, cluster`` of the run; with ``group`` where the survey itself has none.

    Returns
    -------
    dict
        ``survey.answers``, ``survey.unknown_users``, ``survey.unreadable_scores``; per question ``survey.<question>.…``
        (``all`` where there is one question): ``n``, ``mean`` with ``.low`` and ``.high``; ``cluster.<c>.…`` with
        ``detectable``, the smallest difference from the other clusters that n can show; ``group.<g>.…`` and
        ``<g>-<first group>`` with interval.
    """
    readable = survey.filter(pl.col(Column.SCORE).is_finite())
    joined = readable.join(users, on=Column.USER, how="inner", suffix="_run")
    if "group_run" in joined.columns:
        joined = joined.with_columns(pl.coalesce(GROUP, "group_run").alias(GROUP))
    figures: Figures = {
        "survey.answers": joined.height,
        "survey.respondents": joined[Column.USER].n_unique(),
        "survey.unreadable_scores": survey.height - readable.height,
        "survey.unknown_users": readable.join(users, on=Column.USER, how="anti")[Column.USER].n_unique(),
    }
    each = (
        joined.group_by(QUESTION, Column.USER)
        .agg(pl.col(Column.SCORE).mean(), pl.col(Column.CLUSTER).first(), pl.col(GROUP).drop_nulls().first())
        .sort(QUESTION, Column.USER)
    )
    for (question,), own in each.group_by(QUESTION, maintain_order=True):
        name = f"survey.{str(question).replace('.', '_') or 'all'}"
        figures |= _question(name, own, resamples, seed)
    return figures


def _question(name: str, own: pl.DataFrame, resamples: int, seed: int) -> Figures:
    scores = own[Column.SCORE].to_numpy()
    figures = _mean(name, scores, resamples, seed)
    clusters = own[Column.CLUSTER].to_numpy()
    for cluster in np.unique(clusters):
        inside = clusters == cluster
        key = f"{name}.cluster.{int(cluster)}"
        figures |= _mean(key, scores[inside], resamples, seed)
        if inside.sum() >= K_ANONYMITY and (~inside).sum() >= K_ANONYMITY:
            figures[f"{key}.detectable"] = _detectable(scores[inside], scores[~inside])
    groups = sorted(own[GROUP].drop_nulls().unique().to_list())
    parts = {group: own.filter(pl.col(GROUP) == group)[Column.SCORE].to_numpy() for group in groups}
    for group, part in parts.items():
        figures |= _mean(f"{name}.group.{group}", part, resamples, seed)
    for group in groups[1:]:
        first, second = parts[groups[0]], parts[group]
        if min(first.size, second.size) >= K_ANONYMITY:
            figures |= _difference(f"{name}.{group}-{groups[0]}", second, first, resamples, seed)
    return figures


def _mean(key: str, scores: NDArray[np.float64], resamples: int, seed: int) -> Figures:
    if scores.size < K_ANONYMITY:
        return {f"{key}.n": None, f"{key}.mean": None}
    interval = bootstrap({key: scores}, resamples, seed, key)[key]
    told = {f"{key}.n": int(scores.size), f"{key}.mean": interval.mean}
    return {**told, f"{key}.mean.low": interval.low, f"{key}.mean.high": interval.high}


def _difference(
    key: str, first: NDArray[np.float64], second: NDArray[np.float64], resamples: int, seed: int
) -> Figures:
    """Difference of two means over different users: each group is resampled on its own."""
    from uicgpu.randomness import generator

    random = generator(seed, key)
    means = [
        values[random.integers(0, values.size, (resamples, values.size))].mean(axis=1) for values in (first, second)
    ]
    low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
    return {
        key: float(first.mean() - second.mean()),
        f"{key}.low": float(low),
        f"{key}.high": float(high),
        f"{key}.detectable": _detectable(first, second),
    }


def _detectable(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Smallest difference shown with a power of 80 % at 5 %: 2.8 standard errors of the difference."""
    error = np.sqrt(first.var(ddof=1) / first.size + second.var(ddof=1) / second.size)
    return float(DETECTABLE_ERRORS * error)


def balance(groups: pl.DataFrame) -> dict[str, Any]:
    """Users per group, and the largest gap in the share of a cluster between two groups."""
    counts = groups.group_by(GROUP).len().sort(GROUP)
    shares = groups.group_by(GROUP, Column.CLUSTER).len().join(counts, on=GROUP, suffix="_all")
    wide = shares.with_columns((pl.col("len") / pl.col("len_all")).alias("share")).pivot(
        GROUP, index=Column.CLUSTER, values="share"
    )
    table = wide.drop(Column.CLUSTER).fill_null(0).to_numpy()
    gap = float((table.max(axis=1) - table.min(axis=1)).max()) if table.size else 0.0
    return {
        "users": dict(zip(counts[GROUP].to_list(), counts["len"].to_list(), strict=True)),
        "largest gap in a cluster's share": round(gap, 4),
    }
