"""What a text is: cleaned, told apart from others by its hash, sampled without regard to order."""

from __future__ import annotations

import hashlib
import heapq
import math
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError


def clean_text(value: object, row: int = 0) -> str:
    r"""Return a text in NFC without surrounding white space; missing values are empty texts.

    Lone surrogates become U+FFFD, surrogate pairs the character that they spell.

    Raises
    ------
    InputError
        When ``value`` is neither a text nor missing (None, NaN, pandas' NA).

    >>> clean_text("  Cafe\u0301 "), clean_text(None), clean_text(float("nan"))
    ('Café', '', '')
    """
    if isinstance(value, str):
        text = value if value.isascii() else _without_surrogates(value)
        return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()
    if value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType":
        return ""
    raise InputError(
        f"a text is expected, found {value!r} of type {type(value).__name__}",
        where=f"texts, position {row}",
        fix="convert the values to text first",
    )


def _without_surrogates(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def distinct_texts(
    texts: Iterable[object], first_row: int = 0
) -> tuple[list[str], NDArray[np.int64], NDArray[np.void]]:
    """Find the distinct texts after cleaning, in an order that the order of the input does not touch.

    Parameters
    ----------
    texts
        Texts, or missing values.
    first_row
        Position of the first text, for messages.

    Returns
    -------
    distinct
        The distinct texts, sorted by the BLAKE2b-128 hash of their UTF-8 bytes.
    inverse
        int64 [n]: the position in ``distinct`` of each input text.
    keys
        V16 [distinct]: the hashes.

    >>> distinct, inverse, keys = distinct_texts(["b", " a", "b ", "a"])
    >>> [distinct[code] for code in inverse]
    ['b', 'a', 'b', 'a']
    """
    codes: dict[str, int] = {}
    first_seen = np.fromiter(
        (codes.setdefault(clean_text(value, row), len(codes)) for row, value in enumerate(texts, first_row)),
        dtype=np.int64,
    )
    found = list(codes)
    digests = [_digest(text) for text in found]
    order = sorted(range(len(found)), key=digests.__getitem__)
    position = np.empty(len(found), dtype=np.int64)
    position[order] = np.arange(len(found))
    keys = np.frombuffer(b"".join(digests[code] for code in order), dtype="V16")
    return [found[code] for code in order], position[first_seen] if len(found) else first_seen, keys


def sample_texts(texts: Iterable[object], count: int) -> list[str]:
    """Return the ``count`` distinct texts with the smallest hashes: a sample that no order of the texts changes.

    >>> sample_texts(["b", "a", "b"], 5) == distinct_texts(["a", "b"])[0]
    True
    """
    kept: dict[bytes, str] = {}
    largest: list[tuple[int, bytes]] = []  # a heap of negated hashes: its top is the largest one kept
    for row, value in enumerate(texts):
        text = clean_text(value, row)
        digest = _digest(text)
        number = -int.from_bytes(digest)
        if digest in kept or (len(kept) >= count and number <= largest[0][0]):
            continue
        kept[digest] = text
        heapq.heappush(largest, (number, digest))
        if len(kept) > count:
            del kept[heapq.heappop(largest)[1]]
    return [kept[digest] for digest in sorted(kept)]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
