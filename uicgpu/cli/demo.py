"""``uicgpu demo``: the pipeline on data that arrives as a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import output_options, setting_options, shared_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.summary import summarise
from uicgpu.settings import resolve_settings


@click.command("demo", short_help="The pipeline on package-borne data; prints where the report is.")
@setting_options(("out", "language"))
@shared_options
@output_options
def command(settings_file: Path | None, as_json: bool, quiet: bool, verbose: int, **flags: Any) -> None:
    """Run the pipeline on a year of simulated grocery shopping by 2,469 households.

    \b
    Examples:
      uicgpu demo --out demo-run
      uicgpu demo --out demo-run --language zh
    """
    from uicgpu.pipeline.demo import prepare_demo
    from uicgpu.pipeline.execute import run_pipeline
    from uicgpu.runs.folder import cache_folder

    progress = TerminalProgress(verbosity(quiet, verbose))
    inputs = prepare_demo(cache_folder() / "demo")
    columns = {
        "item_column": "product_type",
        "item_id_column": "product_type",
        "text_columns": ("title",),
        "category_column": "category",
        "value_column": "quantity",
        "user_column": ("household_id",),
        "user_id_column": "household_id",
    }
    given = {**inputs, **columns, **flags, "out": flags.get("out") or "demo-run"}
    resolved = resolve_settings(given, settings_file)
    run, outcome = run_pipeline(resolved, command="demo", progress=progress)
    if not outcome.ran:
        progress.say("nothing to do: every stage is up to date")
    print_result(summarise(run), as_json=as_json)
