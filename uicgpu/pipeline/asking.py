"""Asking the users of a finished run: groups for an A/B test, and what a survey says by cluster and group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from uicgpu.pipeline.finished import settings_of
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.vocabulary import Column


def survey(
    run: Run | str | Path,
    files: Sequence[str],
    experiment: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Join survey answers (user, score, optional question and group) to the clusters of a finished run.

    Parameters
    ----------
    files
        Tables in any format that events may have.
    experiment
        Name of an experiment of :func:`experiment_groups`: users are compared by their group in it.

    Returns
    -------
    dict
        Flat figures; see :func:`uicgpu.evaluation.survey.survey_figures`.

    Raises
    ------
    InputError
        Without a column of users or of scores; when no user of the survey is in the run, or no score is a number.
    """
    from uicgpu.evaluation.survey import check_survey, survey_figures, tidy_survey
    from uicgpu.events.read import read_table

    run = run if isinstance(run, Run) else open_run(run)
    settings = settings_of(run, overrides)
    with TemporaryDirectory() as scratch:
        table = read_table(files, Path(scratch), "survey")
        parts = [tidy_survey(file.scan().collect(), file.source) for file in table.files]
    users = run.users.select(Column.USER, Column.CLUSTER)
    answers = pl.concat(parts)
    check_survey(answers, users, ", ".join(file.source for file in table.files), str(run.path))
    if experiment is not None:
        users = experiment_groups(run, experiment).select(Column.USER, Column.CLUSTER, "group")
    return survey_figures(answers, users, settings.bootstrap, settings.seed)


def experiment_groups(run: Run | str | Path, experiment: str, names: Sequence[str] = ("A", "B")) -> pl.DataFrame:
    """Groups for an A/B test of a run's users: ``user_id, cluster, bucket, group``, stratified by cluster.

    The same experiment gives a user the same group whoever else is in the run, as long as the user's cluster stays.
    """
    from uicgpu.evaluation.experiment import assign_groups

    run = run if isinstance(run, Run) else open_run(run)
    return assign_groups(run.users.select(Column.USER, Column.CLUSTER), experiment, names)
