"""What does a recommendation rest on? The recommender's sentences, taken apart and told in the page's language."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from uicgpu.privacy.text import scrub
from uicgpu.recommend.reasons import POPULAR
from uicgpu.report.catalogue import Words

_ITEMS: Final = {"because of ": "because", "its text is close to ": "text"}
_NEIGHBOURS: Final = re.compile(r"users like you chose it \((\d+) of (\d+) nearest\)")
_PLAIN: Final = {
    **{sentence: name for name, sentence in POPULAR.items()},
    "it fits your history": "history",
    "it fits your interests": "interests",
}


@dataclass(frozen=True)
class Reason:
    """Kind of a reason (``because``, ``text``, ``neighbours``, ``popularity`` …), items quoted, figures."""

    kind: str
    items: tuple[str, ...] = ()
    figures: tuple[int, ...] = ()


def read_reason(sentence: str) -> Reason:
    """Take a sentence of :mod:`uicgpu.recommend.reasons` apart; kind ``other`` for any other sentence.

    >>> read_reason('because of "Toy Story (1995)" and "Jumanji (1995)"')
    Reason(kind='because', items=('Toy Story (1995)', 'Jumanji (1995)'), figures=())
    >>> read_reason("users like you chose it (12 of 60 nearest)")
    Reason(kind='neighbours', items=(), figures=(12, 60))
    """
    for start, kind in _ITEMS.items():
        quoted = sentence.removeprefix(start)
        if quoted != sentence and len(quoted) > 2 and quoted[0] == quoted[-1] == '"':
            parts = quoted[1:-1].split('" and "')
            # A title that itself holds the joint cannot be told apart: then no item is named.
            return Reason(kind, tuple(parts) if len(parts) <= 2 else ())
    match = _NEIGHBOURS.fullmatch(sentence)
    if match:
        return Reason("neighbours", (), (int(match[1]), int(match[2])))
    return Reason(_PLAIN.get(sentence, "other"))


def tell_reason(reason: Reason, words: Words, shown: Collection[str], method: str) -> str:
    """A reason in the page's language.

    Parameters
    ----------
    shown
        Quotes that enough users share; others are not repeated.
    method
        Label of the arm, for a reason that says nothing more.
    """
    quotes = [scrub(item) for item in reason.items if item in shown]
    if reason.kind in _ITEMS.values():
        return words(f"reason.{reason.kind}", items=quoted(quotes, words)) if quotes else words("reason.few")
    if reason.kind == "neighbours":
        return words("reason.neighbours", some=reason.figures[0], all=reason.figures[1])
    return method if reason.kind == "other" else words(f"reason.{reason.kind}")


def quoted(items: Sequence[str], words: Words) -> str:
    """Items in quotation marks, listed."""
    return words.listed([words("reason.quote", item=item) for item in items])
