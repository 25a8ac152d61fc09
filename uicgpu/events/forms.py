"""How can a message show what data looks like without quoting it? Messages end up in logs, where ids have no place."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 40


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
