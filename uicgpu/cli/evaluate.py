"""``uicgpu evaluate``: figures with intervals, from the data of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import MACHINE, SPLITTING, output_options, setting_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.summary import group_line, ranking_line, survey_lines, survey_warnings
from uicgpu.cli.tables import check_suffix, write_table
from uicgpu.runs.folder import write_json


@click.command("evaluate", short_help="Ranking and cluster quality against baselines, with intervals.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", "out_file", type=click.Path(path_type=Path), required=True, metavar="FILE.json")
@click.option("--survey", "surveys", multiple=True, metavar="FILE", help="Answers: user_id, score, question, group.")
@click.option("--experiment", metavar="NAME", help="Name of an A/B test; survey scores are compared by its groups.")
@click.option("--groups", "groups_file", type=click.Path(path_type=Path), metavar="FILE", help="Write its groups.")
@setting_options(SPLITTING)
@setting_options(("half_life", "allow_repeat", "seed", *MACHINE))
@output_options
def command(
    run_path: Path,
    out_file: Path,
    surveys: tuple[str, ...],
    experiment: str | None,
    groups_file: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **flags: Any,
) -> None:
    """Evaluate the data of a run again, for example with another split, and write the figures as JSON.

    \b
    Examples:
      uicgpu evaluate run --out figures.json
      uicgpu evaluate run --split user-time --seed 1 --out user-time.json
      uicgpu evaluate run --experiment spring --groups groups.csv --out figures.json
      uicgpu evaluate run --experiment spring --survey answers.csv --out figures.json
    """
    check_suffix(out_file, (".json",))
    if groups_file:
        check_suffix(groups_file)
        if not experiment:
            raise click.UsageError("--groups needs --experiment NAME")
    from uicgpu.evaluation.survey import balance
    from uicgpu.pipeline.asking import experiment_groups, survey
    from uicgpu.pipeline.finished import evaluate

    progress = TerminalProgress(verbosity(quiet, verbose))
    lines: dict[str, str] = {}
    if groups_file and experiment:
        groups = experiment_groups(run_path, experiment)
        write_table(groups_file, groups)
        lines["groups"] = group_line(balance(groups))
    # A wrong survey is told before minutes of evaluation.
    told = survey(run_path, surveys, experiment, flags) if surveys else {}
    for sentence in survey_warnings(told):
        progress.say(sentence)
    metrics = {**evaluate(run_path, flags, progress), **told}
    write_json(out_file, metrics)
    if as_json:
        print_result(metrics, as_json=True)
        return
    print_result(
        {
            "split": metrics.get("evaluation.split"),
            "users": metrics.get("evaluation.users"),
            "recommender": ranking_line(metrics),
            **lines,
            **survey_lines(told),
            "out": str(out_file.resolve()),
        },
        as_json=False,
    )
