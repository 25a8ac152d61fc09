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
        (
            r"no blend: it did not help validation users it was not learned on; (\w+) takes its place",
            "note.no_blend",
        ),
        ("ranker and single arm together served held-back validation users best", "note.ranker_arm"),
        ("ranker and blend together served held-back validation users best", "note.ranker_mix"),
        ("the ranker alone served held-back validation users best", "note.ranker_alone"),
        (rf"no ranker: {_NUMBER} validation users chose a candidate, {_NUMBER} are needed", "note.ranker_few"),
        ("no ranker: it did not help validation users whom it was not trained on", "note.ranker_off"),
        (r"features that were off under this split or with these data: (.+)", "note.features_off"),
        ("no ablation: the users form a single cluster or have no interest vectors", "note.no_ablation"),
        (rf"{_NUMBER} of {_NUMBER} names come from the language model (.+), the others from the terms", "note.names"),
    )
)
_TOLD_ELSEWHERE: Final = re.compile(
    r"\d+ small clusters with \d+ users are published |ablation: validation gave no weight "
)
"""The sections on clusters and on whether they are real say these in their own words."""


def tell_note(note: str, words: Words) -> str | None:
    """A note in the page's language; None for one that another section tells.

    >>> tell_note("ease: penalty 100 is at the edge of the values tried (100 to 1000)", Words("zh"))
    'EASE：penalty 取 100，已到所试范围（100 至 1000）的边界。'
    """
    if _TOLD_ELSEWHERE.match(note):
        return None
    for pattern, key in _KNOWN:
        match = pattern.fullmatch(note)
        if match:
            figures = list(match.groups())
            if key in ("note.edge", "note.no_blend"):
                figures[0] = words.named("method", figures[0])
            return words(key, **dict(zip("abcde", figures, strict=False)))
    return note
