"""Where tables come from: files, folders and globs, opened as one table whose cells a lazy plan can scan.

Parquet files are scanned in place. Text tables (CSV, TSV, JSON lines, plain or compressed) are staged once into
Parquet, so that every plan above reads Parquet only. :mod:`uicgpu.items` reads its tables through this door as well.
"""

from __future__ import annotations

import difflib
import errno
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from uicgpu.errors import InputError, OutOfResourcesError
from uicgpu.events.delimited import MOST_COLUMNS, stage_delimited
from uicgpu.events.forms import first_line
from uicgpu.events.json_lines import stage_json_lines
from uicgpu.events.plain_text import plain_text
from uicgpu.events.staging import POSITION_COLUMN, ROW_COLUMN, Staged, rejected_frame

PARQUET = frozenset({".parquet", ".pq"})
DELIMITED = frozenset({".csv", ".tsv"})
DELIMITED_BY_NAME = frozenset({".txt", ".dat", ".tab", ".psv", ".inter", ".item", ".user"})
"""Read as delimited text when named one by one; a folder may hold such files for other reasons."""
JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})
COMPRESSED = frozenset({".gz", ".zst"})
FORMATS = "Parquet (.parquet), CSV (.csv), TSV (.tsv), JSON lines (.jsonl, .ndjson); text also as .gz or .zst"


@dataclass(frozen=True)
class TableFile:
    """One source file of a table.

    Attributes
    ----------
    source
        Name that messages and rejected rows use: the file's name, with folders where names repeat.
    parts
        Parquet files that hold its rows: the file itself, or what was staged.
    schema
        Column names and types; all text when staged.
    rows
        Rows in the parts.
    source_rows
        Rows of the source, refused ones included.
    """

    path: Path
    source: str
    parts: tuple[Path, ...]
    schema: dict[str, pl.DataType]
    rows: int
    source_rows: int
    staged: bool

    def scan(self) -> pl.LazyFrame:
        """Return all rows with their row number and their position (see :mod:`uicgpu.events.staging`)."""
        if not self.staged:
            frame = pl.scan_parquet(list(self.parts), row_index_name=POSITION_COLUMN, glob=False)
            return frame.with_columns((pl.col(POSITION_COLUMN).cast(pl.Int64) + 1).alias(ROW_COLUMN))
        # Parts written early may lack columns that appeared later.
        frame = pl.scan_parquet(
            list(self.parts),
            row_index_name=POSITION_COLUMN,
            missing_columns="insert",
            schema={**self.schema, ROW_COLUMN: pl.read_parquet_schema(self.parts[0])[ROW_COLUMN]},
            glob=False,
        )
        return frame.with_columns(pl.col(ROW_COLUMN).cast(pl.Int64))


@dataclass(frozen=True)
class Table:
    """Source files that together are one table, and the lines that could not be read."""

    files: tuple[TableFile, ...]
    rejected: pl.DataFrame

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of all files, in the order of their first occurrence."""
        return tuple(dict.fromkeys(name for file in self.files for name in file.schema))

    @property
    def source_rows(self) -> int:
        """Rows of all sources, refused ones included."""
        return sum(file.source_rows for file in self.files)


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files that paths, folders and globs name: sorted, each once.

    A folder gives the tables inside it, at any depth; files whose name starts with ``.`` or ``_`` are left out.

    Raises
    ------
    InputError
        When a pattern names nothing, or a file of an unknown format.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        for path in sorted(_matching(pattern), key=str):
            if not path.is_dir() and _format(path) is None:
                raise InputError(f"unknown file format: {path.name}", where=pattern, fix=f"formats: {FORMATS}")
            resolved = path.resolve()
            found[resolved] = min(path, found.get(resolved, path), key=str)
    return sorted(found.values(), key=str)


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        inside = [
            file
            for file in path.rglob("*")
            if file.is_file()
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
            and _format(file, named=False) is not None
        ]
        if not inside:
            raise InputError(f"no table in the folder {pattern}", fix=f"put files there; formats: {FORMATS}")
        return inside
    if path.is_file():
        return [path]
    if glob.has_magic(pattern):
        matches = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns)
        files = [match for match in matches if match.is_file()]
        if not files:
            raise InputError(
                f"no file matches {pattern}", fix="check the pattern; quote it so that the shell leaves it alone"
            )
        return files
    if path.exists():
        raise InputError(f"not a regular file: {pattern}", fix="give a file, a folder or a glob")
    raise InputError(f"file not found: {pattern}", fix=_nearest_file(path))


def _nearest_file(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"the folder {parent} does not exist; check the path"
    near = difflib.get_close_matches(path.name, sorted(os.listdir(parent)), n=1, cutoff=0.5)  # noqa: PTH208
    return f"did you mean {parent / near[0]}?" if near else f"check the path; {parent} holds no such file"


def _format(path: Path, *, named: bool = True) -> str | None:
    """Return parquet, delimited, json or None, by suffix."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in COMPRESSED
    suffix = (suffixes[-2] if len(suffixes) > 1 else "") if packed else (suffixes[-1] if suffixes else "")
    if suffix in PARQUET and not packed:
        return "parquet"
    if suffix in DELIMITED or (named and suffix in DELIMITED_BY_NAME):
        return "delimited"
    return "json" if suffix in JSON_LINES else None


def read_table(patterns: Sequence[str], scratch: Path, role: str) -> Table:
    """Open files, folders and globs as one table; text tables are staged under ``scratch``.

    Parameters
    ----------
    role
        Prefix of the staged files: ``events``, ``items``, ``users``.

    Raises
    ------
    InputError
        A file is missing, empty, damaged, of an unknown format, or mostly unreadable.
    OutOfResourcesError
        The scratch folder's disk is full.
    """
    paths = find_files(patterns)
    names = source_names(paths)
    files: list[TableFile] = []
    rejected = [rejected_frame()]
    for number, (path, source) in enumerate(zip(paths, names, strict=True)):
        try:
            file, refused = _open_file(path, source, scratch / f"{role}-{number:05d}")
        except OSError as error:
            raise _unreadable(error, source, scratch) from error
        files.append(file)
        rejected.append(refused)
    return Table(tuple(files), pl.concat(rejected))


def _unreadable(error: OSError, source: str, scratch: Path) -> InputError | OutOfResourcesError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfResourcesError(
            "the disk is full while staging a text table",
            where=f"{source} -> {scratch}",
            fix="free space there, or give the table as Parquet, which is read in place",
        )
    return InputError(f"the file cannot be read: {error.strerror or error}", where=source, fix="check its permissions")


def source_names(paths: Sequence[Path]) -> list[str]:
    """Return the file names; where two are equal, the paths below the folder that all files share."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    resolved = [path.resolve() for path in paths]
    shared = Path(os.path.commonpath([path.parent for path in resolved]))
    return [path.relative_to(shared).as_posix() for path in resolved]


def _open_file(path: Path, source: str, out: Path) -> tuple[TableFile, pl.DataFrame]:
    kind = _format(path)
    if kind == "parquet":
        return _open_parquet(path, source), rejected_frame()
    copy = out.with_name(f"{out.name}.txt")
    plain = plain_text(path, source, copy)
    try:
        staged: Staged = (stage_delimited if kind == "delimited" else stage_json_lines)(plain, out)
    finally:
        if plain.copied:
            copy.unlink(missing_ok=True)
    schema: dict[str, pl.DataType] = {name: pl.String() for name in staged.columns}
    file = TableFile(path, source, staged.parts, schema, staged.rows, staged.source_rows, staged=True)
    return file, staged.rejected


def _open_parquet(path: Path, source: str) -> TableFile:
    if path.stat().st_size == 0:
        raise InputError("the file is empty", where=source, fix="give a file with rows, or leave it out")
    try:
        schema = dict(pl.read_parquet_schema(path))
        rows = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    except pl.exceptions.PolarsError as error:
        raise damaged_parquet(source, error) from error
    if rows == 0:
        raise InputError("the file has columns and no rows", where=source, fix="give a file with rows")
    if len(schema) > MOST_COLUMNS:
        raise InputError(f"{len(schema)} columns; at most {MOST_COLUMNS} are read", where=source)
    return TableFile(path, source, (path,), schema, rows, rows, staged=False)


def damaged_parquet(source: str, error: Exception) -> InputError:
    """Return the error for a Parquet file that is cut off or damaged."""
    return InputError(
        f"the Parquet file is damaged or cut off ({first_line(error)})",
        where=source,
        fix="copy or export the file again",
    )
