"""``uicgpu assign``: new users into the clusters of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import MACHINE, output_options, setting_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.tables import check_suffix, write_table
from uicgpu.errors import SettingsError


@click.command("assign", short_help="New users into the clusters of a run, without a refit.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@setting_options(("events", "items"))
@click.option("--out", "out_file", type=click.Path(path_type=Path), required=True, metavar="FILE")
@setting_options(("user_column", "item_column", "time_column", "kind_column", "value_column", "item_id_column"))
@setting_options(MACHINE)
@output_options
def command(run_path: Path, out_file: Path, as_json: bool, quiet: bool, verbose: int, **flags: Any) -> None:
    """Place the users of new events in the clusters of a finished run.

    FILE (.parquet, .csv, .tsv or .jsonl) gets user_id, cluster, name, confidence, second_cluster, events. New events of
    users that the run knows are added to their old ones.

    \b
    Examples:
      uicgpu assign run --events today.jsonl.gz --out today-clusters.csv
      uicgpu assign run --events today.csv --items new-items.csv --out today.parquet
    """
    check_suffix(out_file)
    events = flags.pop("events")
    if not events:
        raise SettingsError("no events given", fix="add --events PATH (a file, a folder or a glob)")
    from uicgpu.pipeline.placing import assign_users

    progress = TerminalProgress(verbosity(quiet, verbose))
    frame = assign_users(run_path, events, flags, progress)
    write_table(out_file, frame)
    print_result(
        {"users": frame.height, "clusters": frame["cluster"].n_unique(), "out": str(out_file.resolve())},
        as_json=as_json,
    )
