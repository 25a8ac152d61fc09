"""Write a table where the user wants it: Parquet, CSV, TSV or JSON lines by suffix, or stdout."""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

from uicgpu.errors import SettingsError
from uicgpu.privacy.formulas import defuse_formulas
from uicgpu.runs.folder import atomic_write, write_parquet

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")


def check_suffix(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Refuse an output file whose format cannot be told from its name, before any work is done."""
    if path.suffix.lower() not in suffixes:
        raise SettingsError(
            f"cannot tell the format of {path.name!r}", where="option --out", fix=f"end it in {' or '.join(suffixes)}"
        )
    if path.is_dir():
        raise SettingsError(f"{path} is a folder", where="option --out", fix="name a file")


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write ``frame`` atomically in the format of the file's suffix.

    In CSV and TSV a text cell that a spreadsheet would take for a formula gets a leading ``'`` (CWE-1236).
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        write_parquet(path, frame)
        return
    with atomic_write(path) as temporary:
        if suffix == ".jsonl":
            frame.write_ndjson(temporary)
        else:
            defuse_formulas(frame).write_csv(temporary, separator="\t" if suffix == ".tsv" else ",")


def print_table(frame: pl.DataFrame, *, as_json: bool) -> None:
    """Print a table on stdout: one JSON object with ``rows``, or tab-separated lines with a header."""
    if as_json:
        click.echo(f'{{"rows": {frame.write_json()}}}')
    else:
        click.echo(defuse_formulas(frame).write_csv(separator="\t"), nl=False)
