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
        (
            "events without times can be split by auto .at random per user., leave-one-out or none only; --half-life "
            "has no effect, and left out are (.+)",
            "note.untimed",
        ),
        (
            "no validation user has a history and a new item: default settings and weights, no ranker",
            "note.no_validation",
        ),
        (
            rf"only {_NUMBER} validation users: settings and weights are little more than guesses, and there is no "
            rf"ranker, which needs {_NUMBER}",
            "note.few_validation",
        ),
        (
            rf"nothing was ranked: none of the {_NUMBER} test users has a history and an item that is new to the user"
            r".*",
            "note.nothing_ranked",
        ),
        (
            rf"{_NUMBER}% of the test pairs are of items that no earlier event has: nothing but their text could find "
            r"them, and they count as misses",
            "note.unreachable",
        ),
        (r"no event times: parts were drawn at random per user \(([\d/]+)\)", "note.no_times"),
        (
            rf"EASE covers the {_NUMBER} most frequent of {_NUMBER} items, as the memory budget allows; item-item and "
            r"text serve the rest",
            "note.ease_head",
        ),
        (
            r"no blend: it did not help validation users it was not learned on; (\w+) serves",
            "note.no_blend",
        ),
        ("ranker and single arm together served held-back validation users best", "note.ranker_arm"),
        ("ranker and blend together served held-back validation users best", "note.ranker_mix"),
        ("the ranker alone served held-back validation users best", "note.ranker_alone"),
        (rf"no ranker: {_NUMBER} validation users chose a candidate, {_NUMBER} are needed", "note.ranker_few"),
        ("no ranker: it did not help validation users whom it was not trained on", "note.ranker_off"),
        (r"features that were off under this split or with these data: (.+)", "note.features_off"),
        ("nothing was tuned: default settings and weights, no ranker", "note.untuned"),
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
    note = note.removeprefix("warning: ")
    if _TOLD_ELSEWHERE.match(note):
        return None
    for pattern, key in _KNOWN:
        match = pattern.fullmatch(note)
        if match:
            figures = list(match.groups())
            if key in ("note.edge", "note.no_blend", "note.untimed"):
                figures[0] = ", ".join(words.named("method", name) for name in figures[0].split(", "))
            return words(key, **dict(zip("abcde", figures, strict=False)))
    return note
