"""``uicgpu encode``: item texts to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import ENCODING, output_options, setting_options, shared_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.tables import check_suffix
from uicgpu.errors import SettingsError
from uicgpu.settings import resolve_settings


@click.command("encode", short_help="Item texts to vectors, with the ids beside them.")
@setting_options(("items", "item_id_column", "text_columns", "category_column"))
@setting_options((*ENCODING, "vectors_dtype", "cache_limit"))
@click.option("--out", "out_file", type=click.Path(path_type=Path), required=True, metavar="VECTORS.npy")
@shared_options
@output_options
def command(out_file: Path, settings_file: Path | None, as_json: bool, quiet: bool, verbose: int, **flags: Any) -> None:
    """Encode item texts; writes VECTORS.npy [items, dim] and VECTORS.ids.parquet (row, item_id, text length).

    \b
    Examples:
      uicgpu encode --items movies.csv --out movies.npy
      uicgpu encode --items 'catalogue/*.jsonl' --text-columns title,description --model multilingual --out items.npy
    """
    check_suffix(out_file, (".npy",))
    resolved = resolve_settings(flags, settings_file)
    if not resolved.settings.items:
        raise SettingsError("no items given", fix="add --items PATH (a file, a folder or a glob)")
    from uicgpu.pipeline.parts import encode_items

    progress = TerminalProgress(verbosity(quiet, verbose))
    print_result(encode_items(resolved.settings, out_file, progress), as_json=as_json)
