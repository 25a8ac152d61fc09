"""``uicgpu recommend``: recommendations of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import MACHINE, output_options, setting_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.tables import check_suffix, print_table, write_table


@click.command("recommend", short_help="Recommendations from a finished run.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--user", "users", multiple=True, metavar="ID", help="A user id; may be given several times.")
@click.option("--top", type=click.IntRange(min=1), help="Items per user; default: as many as the run stored.")
@click.option("--out", "out_file", type=click.Path(path_type=Path), metavar="FILE", help="Write instead of print.")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Only items of this category.")
@click.option("--diversity", type=click.FloatRange(0, 1), default=0.0, help="0 to 1: variety of texts for score.")
@click.option("--calibration", type=click.FloatRange(0, 1), default=0.0, help="0 to 1: the user's own category mix.")
@click.option(
    "--new-items", type=click.IntRange(min=0), default=0, help="Places of each list for items without events."
)
@setting_options(MACHINE)
@output_options
def command(
    run_path: Path,
    users: tuple[str, ...],
    top: int | None,
    categories: tuple[str, ...],
    diversity: float,
    calibration: float,
    new_items: int,
    out_file: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **flags: Any,
) -> None:
    """Print or write recommendations: user_id, rank, item_id, score, source, reason.

    \b
    Examples:
      uicgpu recommend run --user 42 --top 5
      uicgpu recommend run --top 50 --out recommendations.csv
      uicgpu recommend run --user 42 --new-items 2
    """
    if out_file:
        check_suffix(out_file)
    from uicgpu.pipeline.finished import recommend_users

    progress = TerminalProgress(verbosity(quiet, verbose))
    options = {"categories": categories, "diversity": diversity, "calibration": calibration, "new_items": new_items}
    frame = recommend_users(run_path, users, top, flags, progress, typed=True, **options)
    if out_file:
        write_table(out_file, frame)
        told = {"users": frame["user_id"].n_unique(), "rows": frame.height, "out": str(out_file.resolve())}
        print_result(told, as_json=as_json)
    else:
        print_table(frame, as_json=as_json)
