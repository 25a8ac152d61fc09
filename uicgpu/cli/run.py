"""``uicgpu run``: the whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import (
    CLEANING,
    CLUSTERING,
    COLUMNS,
    ENCODING,
    SPLITTING,
    output_options,
    setting_options,
    shared_options,
    verbosity,
)
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.summary import summarise
from uicgpu.errors import SettingsError
from uicgpu.settings import resolve_settings


@click.command("run", short_help="The whole pipeline, from events to the report.")
@click.argument("settings_argument", metavar="[SETTINGS.toml]", required=False, type=click.Path(path_type=Path))
@setting_options(("events", "items", "users", "out"))
@setting_options(COLUMNS)
@setting_options(CLEANING)
@setting_options(ENCODING)
@setting_options(("train", "recipe", "objective"))
@setting_options(("numeric_weight",))
@setting_options((*CLUSTERING, "previous"))
@setting_options(("top", "allow_repeat"))
@setting_options(SPLITTING)
@setting_options(("raw_ids", "k_anonymity", "small_clusters", "unnamed_words", "llm_url", "llm_model", "language"))
@shared_options
@click.option("--resume/--fresh", "resume", default=True, help="Go on in an existing run (default), or start anew.")
@click.option("--dry-run", is_flag=True, help="Show the plan, sizes and a rough time; write nothing.")
@output_options
def command(
    settings_argument: Path | None,
    settings_file: Path | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **flags: Any,
) -> None:
    """Turn events and items into clusters, profiles, recommendations and a report.

    \b
    Examples:
      uicgpu run --events ratings.csv --items movies.csv --out run
      uicgpu run --events 'logs/*.jsonl.gz' --kind-weights view=1,purchase=4 --half-life 30 --out run
      uicgpu run settings.toml --out run

    The same command again does nothing, goes on after an interruption, or recomputes what a changed setting touches.
    """
    if settings_argument and settings_file:
        raise SettingsError("two settings files given", fix="name the file once")
    resolved = resolve_settings(flags, settings_argument or settings_file)
    if dry_run:
        from uicgpu.pipeline.plan import plan_run

        print_result(plan_run(resolved, fresh=not resume), as_json=as_json)
        return
    from uicgpu.pipeline.execute import run_pipeline

    progress = TerminalProgress(verbosity(quiet, verbose))
    run, outcome = run_pipeline(resolved, command="run", progress=progress, fresh=not resume)
    if not outcome.ran:
        progress.say("nothing to do: every stage is up to date")
    print_result(summarise(run), as_json=as_json)
