"""``uicgpu export``: a folder that may be handed on."""

from __future__ import annotations

from pathlib import Path

import click

from uicgpu.cli.options import output_options
from uicgpu.cli.output import print_result


@click.command("export", short_help="A folder to hand on: pseudonyms, rounded counts, no small groups.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--out", "out_folder", type=click.Path(path_type=Path), metavar="DIR", required=True, help="A new folder."
)
@click.option("--raw-ids", is_flag=True, help="Write user ids as they are.")
@click.option("--epsilon", type=float, help="Also release centres and counts under differential privacy.")
@click.option("--delta", type=float, default=1e-6, show_default=True, help="Delta of differential privacy.")
@output_options
def command(
    run_path: Path,
    out_folder: Path,
    raw_ids: bool,
    epsilon: float | None,
    delta: float,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Write report, profiles, metrics, clusters.csv and users.csv of a finished run for others to read.

    \b
    Examples:
      uicgpu export run --out shared
      uicgpu export run --out shared --epsilon 1

    Users appear under pseudonyms: HMAC-SHA-256 with the key in ~/.config/uicgpu/pseudonyms.key, or in the file that
    UICGPU_KEY names. Who has the key can find the users again; keep it, and keep it apart.
    """
    from uicgpu.pipeline.export import export_run

    print_result(export_run(run_path, out_folder, raw_ids=raw_ids, epsilon=epsilon, delta=delta), as_json=as_json)
