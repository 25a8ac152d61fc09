"""What did the stages note for the reader? Known sentences told in the page's language, others as they are."""

from __future__ import annotations

import re
from typing import Final

from uicgpu.report.catalogue import Words

_NUMBER: Final = r"([\d.,]+)"
_KNOWN: Final = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (
            rf"one cut in time leaves {_NUMBER} warm test users, fewer than {_NUMBER}: the last {_NUMBER} % of each "
            r"user were tested instead",
            "note.few_warm",
        ),
        (
            rf"(\w+): (\w+) {_NUMBER} is at the edge of the values tried \({_NUMBER} to {_NUMBER}\)",
            "note.edge",
        ),
        (r"no event times: parts were drawn at random per user \(([\d/]+)\)", "note.no_times"),
        (
            rf"EASE covers the {_NUMBER} most frequent of {_NUMBER} items, as the memory budget allows; item-item and "
            r"text serve the rest",
            "note.ease_head",
        ),
        (rf"{_NUMBER} of {_NUMBER} names come from the language model (.+), the others from the terms", "note.names"),
    )
)
_TOLD_ELSEWHERE: Final = re.compile(r"\d+ small clusters with \d+ users are published ")
"""The clusters section says this in its own words."""


def tell_note(note: str, words: Words) -> str | None:
    """A note in the page's language; None for one that another section tells.

    >>> tell_note("ease: penalty 100 is at the edge of the values tried (100 to 1000)", Words("zh"))
    'EASE：penalty 取 100，已到所试范围（100 至 1000）的边界'
    """
    if _TOLD_ELSEWHERE.match(note):
        return None
    for pattern, key in _KNOWN:
        match = pattern.fullmatch(note)
        if match:
            first, *rest = match.groups()
            if key == "note.edge":
                first = words.named("method", first)
            return words(key, **dict(zip("abcde", (first, *rest), strict=False)))
    return note
