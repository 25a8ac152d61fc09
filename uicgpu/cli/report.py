"""``uicgpu report``: build the report of a finished run again."""

from __future__ import annotations

from pathlib import Path

import click

from uicgpu.cli.options import output_options
from uicgpu.cli.output import print_result


@click.command("report", short_help="(Re)build report.html of a run.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(["en", "zh"]), help="Language; default: that of the run.")
@output_options
def command(run_path: Path, language: str | None, as_json: bool, quiet: bool, verbose: int) -> None:
    """Build report.html of a finished run again.

    \b
    Examples:
      uicgpu report run
      uicgpu report run --language zh
    """
    from uicgpu.pipeline.finished import rebuild_report

    path = rebuild_report(run_path, language)
    print_result({"report": str(path.resolve())}, as_json=as_json)
