"""``uicgpu report``: build the report of a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import output_options
from uicgpu.cli.output import print_result
from uicgpu.cli.summary import summarise_cost
from uicgpu.errors import SettingsError


@click.command("report", short_help="(Re)build report.html of a run.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(["en", "zh"]), help="Language; default: that of the run.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "png"]),
    default="html",
    show_default=True,
    help="The page, Markdown for pull requests, or a picture for slides (needs Chromium).",
)
@click.option(
    "--out", "out_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="For md and png."
)
@click.option("--measured", is_flag=True, help="Put seconds and peak memory of every stage into the page.")
@click.option("--mlflow", "mlflow_uri", metavar="URI", help="Also log settings, figures and the page to this MLflow.")
@output_options
def command(
    run_path: Path,
    language: str | None,
    form: str,
    out_file: Path | None,
    measured: bool,
    mlflow_uri: str | None,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Build report.html of a finished run again, tell what the run cost, or write it in another form.

    \b
    Examples:
      uicgpu report run
      uicgpu report run --language zh
      uicgpu report run --measured
      uicgpu report run --format md --out summary.md
      uicgpu report run --mlflow http://localhost:5000
    """
    told: dict[str, Any] = {}
    if form == "md" or form == "png":
        if measured:
            fix = "leave --measured away; uicgpu report RUN prints the cost"
            raise SettingsError("--measured is for the page: the other forms have no cost section", fix=fix)
        from uicgpu.pipeline.formats import write_report

        written = write_report(run_path, "md" if form == "md" else "png", out_file, language)
    else:
        from uicgpu.pipeline.finished import rebuild_report
        from uicgpu.runs.artefacts import open_run

        if out_file:
            fix = "leave --out away"
            raise SettingsError("--out is for --format md and png: report.html belongs to the run", fix=fix)
        written = rebuild_report(run_path, language, measured=measured)
        cost = summarise_cost(open_run(run_path))
        told = cost if as_json else _told(cost)
    if mlflow_uri:
        from uicgpu.pipeline.formats import log_to_mlflow

        told = {"MLflow run": log_to_mlflow(run_path, uri=mlflow_uri), **told}
    print_result({"report": str(written.resolve()), **told}, as_json=as_json)


def _told(cost: dict[str, Any]) -> dict[str, str]:
    slowest = [f"{name} {seconds:,.1f}" for name, seconds in cost["seconds by stage"].items() if seconds >= 0.1]
    shown = {**cost, "seconds by stage": ", ".join(slowest)}
    return {name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in shown.items() if value}
