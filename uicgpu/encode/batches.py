"""From clean texts to packs: tokenise once, sort by length, cut by a token budget.

Everything here depends on the texts and the settings alone, never on threads or free memory, so that the same texts
give the same packs and the same bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.texts import clean_text as clean_text

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHARACTERS_PER_TOKEN = 16
"""A text is first cut to this many characters per token: tokenising all of a 1 MB text would take a second."""
TOKENISE_AT_ONCE = 512
"""Texts per call of the tokeniser."""
PADDED_MULTIPLE = 8
"""Padded packs on a GPU round their length up to a multiple of this; its half-precision units want it."""
PADDED_WASTE = 1.06
"""Largest ratio of computed to real tokens in a padded pack of more than ``PADDED_LEAST`` tokens."""
PADDED_LEAST = 256


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

    def tokenise_in_pieces(self, texts: Sequence[str]) -> tuple[Tokens, NDArray[np.int64]]:
        """Tokenise clean texts, each too long one as several pieces that fit.

        Returns
        -------
        tokens
            Of the pieces; ``truncated`` marks the pieces of long texts.
        owners
            int64 [pieces], not decreasing: the text that each piece belongs to.
        """
        tokens = self.tokenise(texts)
        if not tokens.truncated.any():
            return tokens, np.arange(len(texts), dtype=np.int64)
        pieces = [self._pieces(text) if long else [text] for text, long in zip(texts, tokens.truncated, strict=True)]
        owners = np.repeat(np.arange(len(texts), dtype=np.int64), [len(parts) for parts in pieces])
        found = self.tokenise([piece for parts in pieces for piece in parts])
        return dataclasses.replace(found, truncated=tokens.truncated[owners]), owners

    def _pieces(self, text: str) -> list[str]:
        """Split a text between words so that each piece, prompt included, fits into the limit."""
        body = text.lower() if self._lowercase else text
        room = max(1, (self.max_tokens - self._blank_length) * 15 // 16)  # a torn word may take more tokens alone
        self._tokenizer.no_truncation()
        try:
            encoding = self._tokenizer.encode(body, add_special_tokens=False)
        finally:
            self._tokenizer.enable_truncation(self.max_tokens)
        words, offsets = encoding.word_ids, encoding.offsets
        starts = [0]
        while starts[-1] + room < len(offsets):
            place = starts[-1] + room
            while place > starts[-1] + room // 2 and words[place] is not None and words[place] == words[place - 1]:
                place -= 1
            starts.append(place)
        cuts = [0, *(offsets[place][0] for place in starts[1:]), len(body)]
        return [body[start:end] for start, end in itertools.pairwise(cuts) if end > start]

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


def cut_packs(
    lengths: NDArray[np.int64], budget: int, padded: bool = False, multiple: int = 1
) -> list[NDArray[np.int64]]:
    """Cut texts into packs of at most ``budget`` tokens, longest texts first; equal lengths in the order given.

    Parameters
    ----------
    lengths
        Tokens per text, int64 [texts].
    budget
        Tokens per pack; a longer text is a pack of its own.
    padded
        Count the tokens of a padded batch: texts times the longest length. Such a pack also ends before the padding
        exceeds :data:`PADDED_WASTE`, as far as rounding allows.
    multiple
        Padded lengths are rounded up to a multiple of this.

    Returns
    -------
    list
        Positions of the texts of each pack, int64.

    >>> [pack.tolist() for pack in cut_packs(np.array([3, 9, 4, 3]), budget=10)]
    [[1], [2, 0, 3]]
    """
    order = np.argsort(-lengths, kind="stable")
    packs: list[NDArray[np.int64]] = []
    start, real, width = 0, 0, 0
    for position, text in enumerate(order):
        length = int(lengths[text])
        if position == start:
            real, width = 0, padded_length(length, multiple)
        cost = width * (position + 1 - start) if padded else real + length
        # what padding to the rounded length costs anyway does not count as waste
        floor = (real + length) + (position + 1 - start) * (multiple - 1)
        wasteful = padded and cost > PADDED_LEAST and cost > PADDED_WASTE * floor
        if (cost > budget or wasteful) and position > start:
            packs.append(order[start:position])
            start, real, width = position, 0, padded_length(length, multiple)
        real += length
    if start < len(order):
        packs.append(order[start:])
    return packs


def padded_length(length: int, multiple: int = PADDED_MULTIPLE) -> int:
    """Round a length up to a multiple."""
    return -(-length // multiple) * multiple
