"""CSV and its relatives, staged into Parquet: every cell stays text.

The fast path is one Polars scan. Polars fills short lines silently and refuses a whole file for one bad line, so the
fast path is checked by counting delimiters, and a file that does not add up is read again line by line, which keeps
every good row and names every bad one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events.forms import form_of
from uicgpu.events.plain_text import DELIMITERS, PlainText
from uicgpu.events.staging import LONGEST_LINE, ROW_COLUMN, PartWriter, Staged, rejected_frame, speakable

HEAD_CHARACTERS = 1 << 16
SNIFFED_RECORDS = 200
MOST_COLUMNS = 5_000
RECORD_LINES = 1_000
"""Lines that one quoted record may span; beyond, its opening quote counts as a mistake."""
_SHOWN = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}


@dataclass(frozen=True)
class Dialect:
    """Delimiter and column names of a file, as its first lines show them."""

    delimiter: str
    names: tuple[str, ...]
    raw_header: tuple[str, ...]
    blank_start: bool = False
    """Whether blank lines stand before the header."""


def stage_delimited(plain: PlainText, out: Path) -> Staged:
    """Stage a delimited file into Parquet parts named after ``out``.

    Lines with another number of fields than the header, and lines that open a quote which never closes, are refused
    with their line number.

    Raises
    ------
    InputError
        One single column, no header, no data rows, or more bad lines than good ones.
    """
    dialect = sniff(plain)
    staged = (None if dialect.blank_start else _fast(plain, dialect, out)) or _slow(plain, dialect, out)
    if staged.source_rows == 0:
        raise InputError(
            "the file has a header and no rows",
            where=plain.source,
            fix="give a file with rows, or leave it out",
        )
    return staged


def sniff(plain: PlainText) -> Dialect:
    """Find the delimiter under which most lines have as many fields as the header."""
    with plain.path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(HEAD_CHARACTERS)
        cut = bool(file.read(1))
    best: tuple[float, int] = (0.0, 1)
    found = ""
    for delimiter in DELIMITERS:
        records = _records_of(head, delimiter, cut)
        if not records or len(records[0]) < 2:
            continue
        width = len(records[0])
        fitting = sum(len(record) == width for record in records) / len(records)
        if (fitting, width) > best:
            best, found = (fitting, width), delimiter
    first_line = head.lstrip("\r\n").splitlines()[0] if head.strip() else ""
    if not first_line:
        raise InputError("the file is empty: only blank lines", where=plain.source, fix="give a file with a header")
    if not found:
        raise InputError(
            f"only one column found; the first line looks like {form_of(first_line)!r}",
            where=f"{plain.source}, line 1",
            fix="separate columns by comma, tab, semicolon or vertical bar, and name them in the first line",
        )
    header = _records_of(head, found, cut)[0]
    if len(header) > MOST_COLUMNS:
        raise InputError(f"{len(header)} columns; at most {MOST_COLUMNS} are read", where=plain.source)
    if not any(character.isalpha() for name in header for character in name):
        raise InputError(
            f"the first line holds data, not column names: it looks like {form_of(first_line)!r}",
            where=f"{plain.source}, line 1",
            fix=f"add a first line with column names, such as user_id{found}item_id{found}rating{found}timestamp",
        )
    return Dialect(found, _unique_names(header), tuple(header), blank_start=head.startswith(("\n", "\r")))


def _records_of(head: str, delimiter: str, cut: bool) -> list[list[str]]:
    records: list[list[str]] = []
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    try:
        for record in reader:
            if record:
                records.append(record)
            if len(records) > SNIFFED_RECORDS:
                return records
    except csv.Error:
        return records
    # The last record may have been cut by the window, unless it is the only one.
    return records[:-1] if cut and len(records) > 1 else records


def _unique_names(header: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for number, raw in enumerate(header, start=1):
        name = " ".join(speakable(raw).replace("\ufeff", "").split()) or f"column_{number}"
        candidate, copy = name, 1
        while candidate in names:
            copy += 1
            candidate = f"{name}_{copy}"
        names.append(candidate)
    return tuple(names)


def _fast(plain: PlainText, dialect: Dialect, out: Path) -> Staged | None:
    """Stage with one Polars scan; None when the file does not add up."""
    names = dialect.names
    raw = out.with_name(f"{out.name}-raw.parquet")
    raw.parent.mkdir(parents=True, exist_ok=True)
    try:
        pl.scan_csv(
            plain.path, separator=dialect.delimiter, schema=dict.fromkeys(names, pl.String), encoding="utf8"
        ).with_row_index(ROW_COLUMN, offset=1).sink_parquet(raw, compression="lz4")
    except pl.exceptions.PolarsError:
        raw.unlink(missing_ok=True)
        return None
    rows = pl.scan_parquet(raw)
    counts = rows.select(
        pl.len().alias("uicgpu.len"), pl.all_horizontal(pl.col(names).is_null()).sum().alias("uicgpu.blank")
    ).collect()
    height, blank = counts.row(0)
    last_null = rows.select(pl.col(names[-1]).null_count()).collect().item()
    if last_null:
        # A short line looks like a line whose last cells are empty; only the number of delimiters tells them apart.
        inner = rows.select(
            pl.sum_horizontal(pl.col(name).str.count_matches(dialect.delimiter, literal=True).sum() for name in names)
        )
        between = len(names) - 1
        in_header = between + sum(name.count(dialect.delimiter) for name in dialect.raw_header)
        found = plain.delimiters[dialect.delimiter] - in_header - int(inner.collect().item() or 0)
        if found == (height - blank) * between and blank:
            part = out.with_name(f"{out.name}-00000.parquet")
            kept = rows.drop(ROW_COLUMN).filter(~pl.all_horizontal(pl.all().is_null()))
            kept.with_row_index(ROW_COLUMN, offset=1).sink_parquet(part, compression="lz4")
            raw.unlink()
            return Staged((part,), names, height - blank, height - blank, rejected_frame())
        if found != height * between:
            raw.unlink()
            return None
    return Staged((raw,), names, height, height, rejected_frame())


def _slow(plain: PlainText, dialect: Dialect, out: Path) -> Staged:
    writer = PartWriter(out, plain.source, names=dict.fromkeys(dialect.names))
    width = len(dialect.names)
    limit = csv.field_size_limit(2 * LONGEST_LINE)
    try:
        with plain.path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line, fields, reason, sample in _records(file, dialect.delimiter, width):
                if number == 0:
                    continue
                writer.source_rows = number
                if reason:
                    writer.refuse(number, reason, sample, line)
                else:
                    writer.add(number, dict(zip(dialect.names, fields, strict=True)))
    finally:
        csv.field_size_limit(limit)
    return writer.finish()


@dataclass
class _Lines(Iterator[str]):
    """Physical lines with push-back; remembers the lines that the current record has used."""

    file: TextIO
    number: int = 0
    used: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Lines to read again, the next one last."""
    ended: bool = False

    def __next__(self) -> str:
        if len(self.used) >= RECORD_LINES or sum(map(len, self.used)) > LONGEST_LINE:
            raise _RunawayQuoteError
        if self.waiting:
            line = self.waiting.pop()
        else:
            line = self.file.readline(LONGEST_LINE + 1)
            if not line:
                self.ended = True
                raise StopIteration
            if len(line) > LONGEST_LINE:
                while (rest := self.file.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                    pass
        self.number += 1
        self.used.append(line)
        return line

    def keep_first_only(self) -> None:
        """Give back every line of the record but its first."""
        self.waiting.extend(reversed(self.used[1:]))
        self.number -= len(self.used) - 1
        self.used = self.used[:1]
        self.ended = False


class _RunawayQuoteError(Exception):
    pass


def _records(file: TextIO, delimiter: str, width: int) -> Iterator[tuple[int, int, list[str], str, str]]:
    """Yield (data row, line, fields, reason if refused, sample); data row 0 is the header."""
    lines = _Lines(file)
    number = -1
    while not lines.ended:
        lines.used = []
        line = lines.number + 1
        fields: list[str] = []
        reason = ""
        try:
            fields = next(csv.reader(lines, delimiter=delimiter))
        except StopIteration:
            return
        except _RunawayQuoteError:
            reason = "unclosed quote"
        except csv.Error:
            reason = "not a table row"
        if not reason and not fields:
            continue
        number += 1
        if not reason and number > 0:
            reason = _fault(lines, fields, delimiter, width)
        sample = lines.used[0] if reason else ""
        if reason and len(lines.used) > 1:
            lines.keep_first_only()
        yield number, line, fields, reason, sample


def _fault(lines: _Lines, fields: list[str], delimiter: str, width: int) -> str:
    if len(lines.used[0]) > LONGEST_LINE:
        return "line too long"
    if len(lines.used) > 1 and lines.ended:
        try:
            list(csv.reader(lines.used, delimiter=delimiter, strict=True))
        except csv.Error:
            return "unclosed quote"
    if len(fields) != width:
        return "unclosed quote" if len(lines.used) > 1 else "wrong number of fields"
    return ""
