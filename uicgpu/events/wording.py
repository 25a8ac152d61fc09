"""Item texts and categories as people wrote them, made comparable.

Runs on the CPU: items are few, and regular expressions are not translated for the GPU.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"</?(?:br|p|b|i|u|em|strong|ul|ol|li|div|span|h[1-6]|font|a|img)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_UNSEEN = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]+")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]")
_SEPARATORS = re.compile(r"[|;、；]")
_NO_CATEGORY = frozenset({"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown", "unspecified", "未知", "无"})
_ENDS_A_SENTENCE = tuple(".!?。！？…")
SHOUTING_SHARE = 0.5
"""Above this share of all-upper-case texts the writing is a habit of the catalogue, not emphasis."""


def clean_text(text: str | None) -> str:
    r"""Return a text without entities, simple markup, unseen characters and doubled spaces, in Unicode form NFC.

    >>> clean_text("  Tom &amp; Jerry<br />\n  (1945)\x00 ")
    'Tom & Jerry (1945)'
    """
    if not text:
        return ""
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _MARKUP.sub(" ", text)
    if not text.isprintable():
        text = _UNSEEN.sub(" ", text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_shouting(text: str) -> bool:
    """Whether every letter that has a case is upper case."""
    return text.isupper()


def quieted(texts: Sequence[str]) -> list[str]:
    """Put all-upper-case texts into sentence case, if most texts are written that way.

    >>> quieted(["PINK CHERRY LIGHTS", "RECORD FRAME", "wet?"])
    ['Pink cherry lights', 'Record frame', 'wet?']
    >>> quieted(["FLCL", "Cowboy Bebop", "Spirited Away"])
    ['FLCL', 'Cowboy Bebop', 'Spirited Away']
    """
    cased = [text for text in texts if text.upper() != text.lower()]
    if not cased or sum(map(is_shouting, cased)) <= SHOUTING_SHARE * len(cased):
        return list(texts)
    return [text.capitalize() if is_shouting(text) else text for text in texts]


def split_categories(cell: str | None, *, by_space: bool = False) -> tuple[str, ...]:
    """Return the categories in a cell: separated by ``|``, ``;`` or ``、``; without these, by comma and space.

    Words for "none" and remarks in parentheses such as ``(no genres listed)`` are left out; repeated ones stay once.

    Parameters
    ----------
    by_space
        The cell is a list of words (RecBole's ``token_seq``).

    Examples
    --------
    >>> split_categories("Adventure|Animation"), split_categories("剧情、恋爱"), split_categories("Drama, School")
    (('Adventure', 'Animation'), ('剧情', '恋爱'), ('Drama', 'School'))
    """
    text = clean_text(cell)
    if by_space:
        parts = text.split()
    elif _SEPARATORS.search(text):
        parts = _SEPARATORS.split(text)
    else:
        parts = text.split(", ")
    named = (part.strip(" ,") for part in parts)
    return tuple(dict.fromkeys(part for part in named if _names_a_category(part)))


def _names_a_category(part: str) -> bool:
    lowered = part.casefold()
    return lowered not in _NO_CATEGORY and not (lowered.startswith("(no ") and lowered.endswith(")"))


def joined_categories(cell: str | None, *, by_space: bool = False) -> str | None:
    """Return the categories of a cell joined by ``|``, or None."""
    return "|".join(split_categories(cell, by_space=by_space)) or None


def has_cjk(text: str) -> bool:
    """Whether a text holds Chinese or Japanese characters."""
    return _CJK.search(text) is not None


def joined_sentences(parts: Iterable[str], *, cjk: bool) -> str:
    """Join the non-empty parts of an item's text as sentences.

    >>> joined_sentences(["Toy Story (1995)", "", "Toys live!", "Adventure"], cjk=False)
    'Toy Story (1995). Toys live! Adventure'
    """
    text = ""
    for part in filter(None, parts):
        if not text:
            text = part
        elif cjk:
            text += part if text.endswith(_ENDS_A_SENTENCE) else f"。{part}"
        else:
            text += f" {part}" if text.endswith(_ENDS_A_SENTENCE) else f". {part}"
    return text
