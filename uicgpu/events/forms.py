"""How can a message show what data looks like without quoting it? Messages end up in logs, where ids have no place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 40
_DATE_WORDS: Final = frozenset(
    """jan january feb february mar march apr april may jun june jul july aug august sep sept september oct october nov
    november dec december mon monday tue tuesday wed wednesday thu thursday fri friday sat saturday sun sunday am pm
    noon midnight today yesterday tomorrow now ago hour hours day days week weeks utc gmt t z""".split()
)

_VALUES: Final = re.compile(r'\[.*|"[^"]*"?')


def form_of(text: str) -> str:
    """Return the form of a cell or line: letters as ``a``, digits as ``9``, marks and spaces as they are.

    Parameters
    ----------
    text
        Any text; beyond 40 characters it is cut, with an ellipsis.

    >>> form_of("u-00017"), form_of("jane.doe@example.org"), form_of("196,242,3.5")
    ('a-99999', 'aaaa.aaa@aaaaaaa.aaa', '999,999,9.9')
    """
    kept = "".join(
        "9" if character.isnumeric() else "a" if character.isalpha() else character if character.isprintable() else " "
        for character in text[:LONGEST]
    )
    return kept + "…" if len(text) > LONGEST else kept


def forms_of(texts: Iterable[str]) -> str:
    """Return the different forms of some ids, quoted and joined.

    >>> forms_of(["u-1", "u-2", "x"])
    "'a-9', 'a'"
    """
    return ", ".join(dict.fromkeys(repr(form_of(text)) for text in texts))


def time_shown(text: str) -> str:
    """Return a cell that should have been a time as it is, or its form where it does not look like one.

    A wrong column was named then, and its cells may be names, addresses or ids.

    >>> time_shown("31/12/2020 noon"), time_shown("May 5"), time_shown("jane 1990"), time_shown("4217000")
    ('31/12/2020 noon', 'May 5', 'aaaa 9999', '9999999')
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    plain = len(text) <= LONGEST and all(word in _DATE_WORDS for word in words) and not re.search(r"\d{5}|@", text)
    return text if plain else form_of(text)


def first_line(error: Exception) -> str:
    """Return the first line of a library's error without the values of the data that it quotes.

    >>> first_line(ValueError('conversion failed in column `b` for 1 of 9 values: ["jane@example.org"]'))
    'conversion failed in column `b` for 1 of 9 values: …'
    """
    lines = str(error).strip().splitlines()
    return _VALUES.sub("…", lines[0])[:200] if lines else type(error).__name__
