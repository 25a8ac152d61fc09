"""Bytes of a text table as plain UTF-8: decompressed, decoded, without NUL, checked once from start to end.

A file that is plain already is used in place. Anything else (gzip, Zstandard, UTF-16, NUL bytes, lone carriage returns)
is written once to a copy in the scratch folder, so that every later reader sees one kind of file.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uicgpu.errors import InputError

CHUNK_BYTES = 1 << 20
DELIMITERS = (",", "\t", ";", "|")
"""Delimiters that are understood, in the order that settles a tie."""
BOMB_BYTES = 1 << 30
BOMB_RATIO = 500
"""A compressed file that grows past BOMB_BYTES by more than this factor is refused."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FOREIGN = {
    b"PAR1": ("a Parquet file", "rename it to end in .parquet"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"%PDF": ("a PDF", "give the table as CSV, JSON lines or Parquet"),
    b"SQLi": ("a SQLite database", "export the table as CSV, JSON lines or Parquet"),
}
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class PlainText:
    """A checked UTF-8 text file.

    Attributes
    ----------
    path
        The file itself, or its plain copy.
    source
        Name that messages and rejected rows use.
    delimiters
        How often each of :data:`DELIMITERS` occurs, quoted or not.
    """

    path: Path
    source: str
    delimiters: dict[str, int]
    copied: bool


def plain_text(path: Path, source: str, copy: Path) -> PlainText:
    """Check a text file and return it, or its plain copy at ``copy``.

    Raises
    ------
    InputError
        Empty, of a foreign format, truncated, a decompression bomb, or not UTF-8 (names byte and line).
    """
    head = _head(path)
    if not head:
        raise InputError("the file is empty", where=source, fix="give a file with a header and rows, or leave it out")
    for magic, (what, fix) in _FOREIGN.items():
        if head.startswith(magic):
            raise InputError(f"the file is {what}, not a text table", where=source, fix=fix)
    packed = head.startswith((_GZIP, _ZSTD))
    first = next(_chunks(path, source), b"")
    if not first:
        raise InputError("the file is empty once decompressed", where=source, fix="compress the table again")
    encoding = _encoding(first)
    if not packed and encoding in ("utf-8", "utf-8-sig"):
        counted = _Counter()
        for text in _decoded(path, source, encoding):
            counted.add(text)
        if counted.nuls == 0 and (counted.newlines or not counted.returns):
            return PlainText(path, source, counted.delimiters, copied=False)
    counted = _Counter()
    copy.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("w", encoding="utf-8", newline="") as out:
        old_line_ends = b"\r" in first and b"\n" not in first
        for text in _decoded(path, source, encoding):
            cleaned = text.replace("\0", "")
            if old_line_ends:
                cleaned = cleaned.replace("\r", "\n")
            counted.add(cleaned)
            out.write(cleaned)
    return PlainText(copy, source, counted.delimiters, copied=True)


class _Counter:
    def __init__(self) -> None:
        self.delimiters = dict.fromkeys(DELIMITERS, 0)
        self.nuls = self.newlines = self.returns = 0

    def add(self, text: str) -> None:
        for delimiter in DELIMITERS:
            self.delimiters[delimiter] += text.count(delimiter)
        self.nuls += text.count("\0")
        self.newlines += text.count("\n")
        self.returns += text.count("\r")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _encoding(first: bytes) -> str:
    for bom, encoding in _BOMS:
        if first.startswith(bom):
            return encoding
    # UTF-16 without a mark: mostly ASCII text then has a NUL in every second byte.
    sample = first[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if len(sample) >= 8 and odd > 0.6 * half and even < 0.05 * half:
        return "utf-16-le"
    if len(sample) >= 8 and even > 0.6 * half and odd < 0.05 * half:
        return "utf-16-be"
    return "utf-8"


def _chunks(path: Path, source: str) -> Iterator[bytes]:
    """Yield the decompressed bytes; the format is told by its first bytes, not by the name."""
    head = _head(path)
    try:
        if head.startswith(_GZIP):
            yield from _guarded(_gzip_chunks(path), path, source)
        elif head.startswith(_ZSTD):
            yield from _guarded(_zstd_chunks(path, source), path, source)
        else:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the compressed file is damaged or cut off: {error}", where=source, fix="copy or compress it again"
        ) from error


def _gzip_chunks(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _zstd_chunks(path: Path, source: str) -> Iterator[bytes]:
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    unfinished = True
    try:
        with path.open("rb") as file:
            while packed := file.read(CHUNK_BYTES // 8):
                while packed:
                    chunk = frame.decompress(packed)
                    unfinished = not frame.eof
                    packed = frame.unused_data if frame.eof else b""
                    if frame.eof:
                        frame = zstandard.ZstdDecompressor().decompressobj()
                    for start in range(0, len(chunk), CHUNK_BYTES):
                        yield chunk[start : start + CHUNK_BYTES]
    except zstandard.ZstdError as error:
        raise InputError(
            f"the compressed file is damaged: {error}", where=source, fix="copy or compress it again"
        ) from error
    if unfinished:
        raise InputError("the compressed file is cut off", where=source, fix="copy or compress it again")


def _guarded(chunks: Iterator[bytes], path: Path, source: str) -> Iterator[bytes]:
    packed, total = max(1, path.stat().st_size), 0
    for chunk in chunks:
        total += len(chunk)
        if total > BOMB_BYTES and total > BOMB_RATIO * packed:
            raise InputError(
                f"the file grows more than {BOMB_RATIO} times when decompressed ({packed} bytes to over {total})",
                where=source,
                fix="decompress it yourself if this is right, and give the plain file",
            )
        yield chunk


def _decoded(path: Path, source: str, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    seen = lines = 0
    for chunk in _chunks(path, source):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise _not_text(source, encoding, error, seen - pending, lines) from error
        seen += len(chunk)
        lines += text.count("\n")
        if text:
            yield text
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_text(source, encoding, error, seen - len(error.object), lines) from error


def _not_text(source: str, encoding: str, error: UnicodeDecodeError, before: int, lines: int) -> InputError:
    line = 1 + lines + error.object[: error.start].count(b"\n")
    value = error.object[error.start : error.start + 1].hex()
    name = encoding.removesuffix("-sig").upper()
    return InputError(
        f"the file is not {name}: byte 0x{value} at position {before + error.start}",
        where=f"{source}, line {line}",
        fix=f"convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 {source} > utf8-{source.rsplit('/', 1)[-1]}",
    )
