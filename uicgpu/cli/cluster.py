"""``uicgpu cluster``: clusters of any vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import CLUSTERING, output_options, setting_options, shared_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.settings import resolve_settings


@click.command("cluster", short_help="Clusters of any vectors.")
@click.argument("vectors", metavar="VECTORS.npy", type=click.Path(path_type=Path))
@click.option("--out", "out_folder", type=click.Path(path_type=Path), required=True, metavar="DIR")
@setting_options(CLUSTERING)
@shared_options
@output_options
def command(
    vectors: Path,
    out_folder: Path,
    settings_file: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **flags: Any,
) -> None:
    """Cluster the rows of a float array; writes labels.parquet, centroids.npy and metrics.json into DIR.

    hdbscan and dbscan also write density.safetensors, by which later points can be placed.

    \b
    Examples:
      uicgpu cluster movies.npy --out clusters -k 20
      uicgpu cluster users.npy --out clusters --algorithm hdbscan --min-cluster-size 50 --noise keep
      uicgpu cluster users.npy --out clusters --algorithm hdbscan --reduce umap
    """
    resolved = resolve_settings(flags, settings_file)
    from uicgpu.pipeline.parts import cluster_file

    progress = TerminalProgress(verbosity(quiet, verbose))
    print_result(cluster_file(vectors, out_folder, resolved.settings, progress), as_json=as_json)
