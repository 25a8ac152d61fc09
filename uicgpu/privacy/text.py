"""Which text may be published? Personal data, markup and control characters are taken out of labels and snippets."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

FEWEST_DIGITS: Final = 7
"""Shorter numbers identify nobody: years, sizes, counts."""
REMOVED: Final = "[…]"
"""Stands where personal data stood."""

_EMAIL = re.compile(r"[\w.+%-]{1,64}\s?[@＠]\s?[\w-]{1,63}(?:\.[\w-]{1,63})+")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:\s?[A-Za-z0-9]{4}){2,7}(?:\s?[A-Za-z0-9]{1,3})?\b")
_DIGITS = re.compile(r"\d(?:[\s().·–/-]{0,2}\d){8,40}[xX]?")
"""Nine digits or more, also when grouped: phone, card and identity numbers."""
_DIGIT = re.compile(r"\d")
_LONG_NUMBER = re.compile(r"\d{7,}[xX]?")
_DIALLED = re.compile(r"(?:\+|\b00)\d[\d\s().-]{5,18}\d|\(\d{3}\)\s?\d{3}[\s.-]?\d{4}|\b\d{3}[.\s-]\d{4}\b")
"""International prefix, bracketed area code, or three and four digits: shorter phone numbers."""
_TAG = re.compile(r"<[^<>]{0,2000}>")
_MARKUP = re.compile(r"[<>{}`\\&]")
_SPACE = re.compile(r"\s+")
_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners shape Persian words, Indic conjuncts and emoji; they are kept."""


def scrub(text: str, replacement: str = REMOVED) -> str:
    """Replace e-mail addresses, phone numbers, account numbers and long digit strings.

    Examples
    --------
    >>> scrub("write to jane.doe@example.org or +44 20 7946 0958")
    'write to […] or […]'
    >>> scrub("Matrix, The (1999)")
    'Matrix, The (1999)'
    """
    if "@" not in text and "＠" not in text and len(_DIGIT.findall(text)) < FEWEST_DIGITS:
        return text  # most texts: six searches saved
    for pattern in (_EMAIL, _IBAN, _LONG_NUMBER, _DIALLED, _DIGITS):
        text = pattern.sub(replacement, text)
    return text


def visible(text: str) -> str:
    """Drop control, format, surrogate and unassigned characters; white space becomes single spaces."""
    kept = (
        character
        if character in _JOINERS or unicodedata.category(character) not in _DROPPED_CATEGORIES
        else (" " if character.isspace() or unicodedata.category(character) == "Cc" else "")
        for character in text
    )
    return _SPACE.sub(" ", "".join(kept)).strip()


def without_markup(text: str) -> str:
    """Drop tags, also such as were written with entities, and any angle bracket or brace that is left."""
    if not _MARKUP.search(text):
        return text
    plain = html.unescape(html.unescape(text))
    for _ in range(4):
        stripped = _TAG.sub(" ", plain)
        if stripped == plain:
            break
        plain = stripped
    return plain.translate(_BRACKETS)


_BRACKETS = str.maketrans(dict.fromkeys("<>{}`\\", " "))


def shorten(text: str, length: int) -> str:
    """Cut ``text`` to at most ``length`` characters, at a space where one is near, with an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: max(length - 1, 0)]
    space = cut.rfind(" ")
    if space >= length // 2:
        cut = cut[:space]
    return cut.rstrip(" ,;:·-–(&、") + "…"


def clean_label(text: str, length: int) -> str:
    """Return ``text`` fit for a name: scrubbed, without markup and control characters, at most ``length`` long.

    Examples
    --------
    >>> clean_label("<b>Garden</b> &amp; home", 40)
    'Garden & home'
    """
    return shorten(visible(scrub(without_markup(text[: length * 40 + 4000]), " ")), length)


def snippet(text: str, length: int = 80) -> str:
    """Return a scrubbed one-line beginning of an item's text; markup is kept as text (writers must escape it)."""
    return shorten(visible(scrub(text[: length * 8])), length)
