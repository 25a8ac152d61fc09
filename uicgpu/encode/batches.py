"""From texts to packs: clean, tokenise once, sort by length, cut by a token budget.

Everything here depends on the texts and the settings alone, never on threads or free memory, so that the same texts
give the same packs and the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHARACTERS_PER_TOKEN = 16
"""A text is first cut to this many characters per token: tokenising all of a 1 MB text would take a second."""
TOKENISE_AT_ONCE = 512
"""Texts per call of the tokeniser."""
PADDED_MULTIPLE = 8
"""Padded packs round their length up to a multiple of this."""


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


def distinct_texts(texts: Iterable[object]) -> tuple[list[str], NDArray[np.int64], NDArray[np.void]]:
    """Find the distinct texts after cleaning, in an order that the order of the input does not touch.

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
        (codes.setdefault(clean_text(value, row), len(codes)) for row, value in enumerate(texts)), dtype=np.int64
    )
    found = list(codes)
    digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in found]
    order = sorted(range(len(found)), key=digests.__getitem__)
    position = np.empty(len(found), dtype=np.int64)
    position[order] = np.arange(len(found))
    keys = np.frombuffer(b"".join(digests[code] for code in order), dtype="V16")
    return [found[code] for code in order], position[first_seen] if len(found) else first_seen, keys


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, end to end.

    Attributes
    ----------
    ids
        int32 [all tokens], special tokens included.
    offsets
        int64 [texts + 1].
    truncated
        bool [texts]: the text was longer than the limit.
    unknown
        bool [texts]: every token of the text itself is unknown to the tokeniser.
    blank
        bool [texts]: the text has no token of its own (empty, or characters that the tokeniser drops).
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    blank: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per text, int64 [texts]."""
        return np.diff(self.offsets)


class TextTokenizer:
    """A model's tokeniser with its limit and prompt, without padding.

    Parameters
    ----------
    tokenizer
        The backend tokeniser; its own padding and truncation settings are replaced.
    max_tokens
        Limit per text, special tokens and prompt included.
    prompt
        Put before every text.
    lowercase
        Lower-case the texts first.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, prompt: str = "", lowercase: bool = False) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._lowercase = lowercase
        self.max_tokens = max_tokens
        self.unknown_id = unknown_id(tokenizer)
        self.special_tokens = int(tokenizer.num_special_tokens_to_add(False))
        blanks = tokenizer.encode_batch_fast([prompt, prompt.rstrip()])
        self._blank_ids = {tuple(encoding.ids) for encoding in blanks}
        self._blank_length = max(len(ids) for ids in self._blank_ids)
        self._own_tokens_after = min(len(ids) for ids in self._blank_ids)

    def tokenise(self, texts: Sequence[str]) -> Tokens:
        """Tokenise clean texts once.

        A text is cut by characters first. When the cut text does not fill the limit (scripts with few tokens per
        character, long runs of spaces), it is cut again at twice the length: the ids are those of the full text.
        """
        pieces: list[NDArray[np.int32]] = []
        truncated = np.zeros(len(texts), dtype=np.bool_)
        unknown = np.zeros(len(texts), dtype=np.bool_)
        blank = np.zeros(len(texts), dtype=np.bool_)
        for start in range(0, len(texts), TOKENISE_AT_ONCE):
            part = texts[start : start + TOKENISE_AT_ONCE]
            for row, (encoding, cut) in enumerate(self._encode(part), start):
                ids = np.array(encoding.ids, dtype=np.int32)
                pieces.append(ids)
                truncated[row] = cut or (len(ids) >= self.max_tokens and bool(encoding.overflowing))
                if len(ids) <= self._blank_length:
                    blank[row] = tuple(ids.tolist()) in self._blank_ids
                if self.unknown_id is not None:
                    own = len(ids) - self._own_tokens_after
                    unknown[row] = 0 < own <= np.count_nonzero(ids == self.unknown_id)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in pieces], out=offsets[1:])
        return Tokens(np.concatenate(pieces) if pieces else np.zeros(0, np.int32), offsets, truncated, unknown, blank)

    def _encode(self, texts: Sequence[str]) -> list[tuple[Encoding, bool]]:
        """Encode texts; True where the text was cut by characters."""
        limit = CHARACTERS_PER_TOKEN * self.max_tokens
        done: list[tuple[Encoding, bool] | None] = [None] * len(texts)
        waiting = list(range(len(texts)))
        while waiting:
            cuts = [_cut(texts[row], limit) for row in waiting]
            encodings = self._tokenizer.encode_batch_fast([self._prepared(cut) for cut in cuts])
            again = []
            for row, cut, encoding in zip(waiting, cuts, encodings, strict=True):
                whole = len(cut) == len(texts[row])
                if whole or (len(encoding.ids) >= self.max_tokens and encoding.overflowing):
                    done[row] = (encoding, not whole)
                else:
                    again.append(row)
            waiting, limit = again, 2 * limit
        return [entry for entry in done if entry is not None]

    def _prepared(self, text: str) -> str:
        return self._prompt + (text.lower() if self._lowercase else text)


def _cut(text: str, limit: int) -> str:
    """Cut at the last space before ``limit`` if there is one near, so that no word is torn."""
    if len(text) <= limit:
        return text
    space = text.rfind(" ", limit - limit // 4, limit)
    return text[: space if space > 0 else limit]


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token, None for tokenisers without one (byte level)."""
    model: Any = tokenizer.model
    if type(model).__name__ == "Unigram":
        return tokenizer.token_to_id("<unk>")
    name = getattr(model, "unk_token", None)
    if name is None or getattr(model, "byte_fallback", False):
        return None
    return tokenizer.token_to_id(name)


def cut_packs(lengths: NDArray[np.int64], budget: int, padded: bool = False) -> list[NDArray[np.int64]]:
    """Cut texts into packs of at most ``budget`` tokens, longest texts first; equal lengths in the order given.

    Parameters
    ----------
    lengths
        Tokens per text, int64 [texts].
    budget
        Tokens per pack; a longer text is a pack of its own.
    padded
        Count the tokens of a padded batch: texts times the longest length, rounded up to a multiple of 8.

    Returns
    -------
    list
        Positions of the texts of each pack, int64.

    >>> [pack.tolist() for pack in cut_packs(np.array([3, 9, 4, 3]), budget=10)]
    [[1], [2, 0, 3]]
    """
    order = np.argsort(-lengths, kind="stable")
    packs: list[NDArray[np.int64]] = []
    start, used = 0, 0
    for position, text in enumerate(order):
        if padded:
            longest = int(lengths[order[start]])
            cost = padded_length(longest) * (position - start + 1)
        else:
            cost = used + int(lengths[text])
        if cost > budget and position > start:
            packs.append(order[start:position])
            start, cost = position, int(lengths[text])
        used = cost
    if start < len(order):
        packs.append(order[start:])
    return packs


def padded_length(length: int) -> int:
    """Round a length up to the multiple that padded packs use."""
    return -(-length // PADDED_MULTIPLE) * PADDED_MULTIPLE
