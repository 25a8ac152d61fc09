"""What staging a text table leaves behind: Parquet parts with text columns, and the lines that were refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from uicgpu.errors import InputError
from uicgpu.events.forms import form_of
from uicgpu.vocabulary import Column

ROW_COLUMN: Final = "uicgpu.row"
"""Data row in the source file as a person counts: 1-based, the header and blank lines not counted."""
POSITION_COLUMN: Final = "uicgpu.position"
"""Position among the rows that were read, 0-based: unique where one source row yields several events."""

REJECTED_SCHEMA: Final = {
    Column.SOURCE: pl.String,
    Column.ROW: pl.Int64,
    Column.REASON: pl.String,
    Column.SAMPLE: pl.String,
}
PART_ROWS = 100_000
PART_CHARACTERS = 64_000_000
LONGEST_LINE = 64_000_000
"""Characters of one line or record of a text table; a longer one is refused."""
SAMPLE_CHARACTERS = 160
BAD_LINES_BEFORE_GIVING_UP = 10_000
_SURROGATES = {code: None for code in range(0xD800, 0xE000)} | {0: None}


@dataclass(frozen=True)
class Staged:
    """One source file, staged.

    Attributes
    ----------
    rows
        Rows read into the parts.
    source_rows
        Rows of the source, refused ones included (one JSON line with several events counts once).
    """

    parts: tuple[Path, ...]
    columns: tuple[str, ...]
    rows: int
    source_rows: int
    rejected: pl.DataFrame


def rejected_frame(rows: Sequence[tuple[str, int, str, str]] = ()) -> pl.DataFrame:
    """Return refused rows (source, row, reason, sample) as a frame."""
    return pl.DataFrame(list(rows), schema=REJECTED_SCHEMA, orient="row")


def speakable(text: str) -> str:
    """Drop what no text column can hold: NUL and lone surrogates."""
    return text if text.isprintable() else text.translate(_SURROGATES)


@dataclass
class PartWriter:
    """Collects rows of text cells and writes them in bounded parts; columns may appear late."""

    out: Path
    source: str
    names: dict[str, None] = field(default_factory=dict)
    parts: list[Path] = field(default_factory=list)
    refused: list[tuple[str, int, str, str]] = field(default_factory=list)
    rows: int = 0
    source_rows: int = 0
    first_bad: str = ""
    _cells: dict[str, list[str | None]] = field(default_factory=dict)
    _numbers: list[int] = field(default_factory=list)
    _characters: int = 0

    def add(self, row: int, cells: dict[str, str | None]) -> None:
        """Add one row; a name not seen before becomes a column."""
        filled = len(self._numbers)
        for name, cell in cells.items():
            column = self._cells.get(name)
            if column is None:
                self.names.setdefault(name)
                column = self._cells[name] = [None] * filled
            elif len(column) < filled:
                column.extend([None] * (filled - len(column)))
            column.append(cell or None)
            self._characters += len(cell) if cell else 0
        self._numbers.append(row)
        self.rows += 1
        if len(self._numbers) >= PART_ROWS or self._characters >= PART_CHARACTERS:
            self.flush()

    def refuse(self, row: int, reason: str, sample: str, line: int) -> None:
        """Record a refused line; give up when most of a long file is refused."""
        shown = f"line {line}: {sample[:SAMPLE_CHARACTERS].strip()}"
        # The error may be logged, so it tells what the line looks like; rejected.parquet is the operator's.
        self.first_bad = self.first_bad or f"line {line}, like {form_of(sample.strip())!r}"
        self.refused.append((self.source, row, reason, speakable(shown)))
        if len(self.refused) >= BAD_LINES_BEFORE_GIVING_UP and len(self.refused) > self.source_rows / 2:
            self.check()

    def flush(self) -> None:
        """Write the rows collected so far as one part."""
        if not self._numbers:
            return
        height = len(self._numbers)
        data = {name: cells + [None] * (height - len(cells)) for name, cells in self._cells.items()}
        frame = pl.DataFrame(data, schema=dict.fromkeys(data, pl.String)).with_columns(
            pl.Series(ROW_COLUMN, self._numbers, pl.Int64)
        )
        part = self.out.with_name(f"{self.out.name}-{len(self.parts):05d}.parquet")
        part.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(part, compression="lz4")
        self.parts.append(part)
        self._cells, self._numbers, self._characters = {}, [], 0

    def check(self) -> None:
        """Refuse the whole file when more than half of its lines are bad."""
        if self.refused and 2 * len(self.refused) > self.source_rows:
            reason = self.refused[0][2]
            raise InputError(
                f"{len(self.refused)} of {self.source_rows} lines cannot be read ({reason}); first: {self.first_bad}",
                where=self.source,
                fix="check that the file's format fits its name: .csv, .tsv, .jsonl or .parquet",
            )

    def finish(self) -> Staged:
        """Write the last part and return what was staged."""
        self.check()
        self.flush()
        return Staged(tuple(self.parts), tuple(self.names), self.rows, self.source_rows, rejected_frame(self.refused))
