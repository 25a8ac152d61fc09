"""One sentence per recommendation that names what it rests on.

The items named are those of the user's history that add most to the score of the arm that decided: without them the
score falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.recommend.arms import Arm
from uicgpu.recommend.ease import Ease, RecentEase
from uicgpu.recommend.ease_rows import TextRowsEase
from uicgpu.recommend.ease_text import TextEase
from uicgpu.recommend.factors import ImplicitFactors
from uicgpu.recommend.inputs import UserBlock
from uicgpu.recommend.item_item import ItemItem
from uicgpu.recommend.neighbours import UserNeighbours
from uicgpu.recommend.new_items import SOURCE as NEW_ITEM
from uicgpu.recommend.sequential import SequentialItems
from uicgpu.recommend.text import TextSimilarity
from uicgpu.recommend.text_closest import ClosestTexts

LONGEST_QUOTE: Final = 60
"""Characters of an item's text in a reason."""
NAMED_ITEMS: Final = 2
_BY_HISTORY: Final = (
    ItemItem,
    SequentialItems,
    Ease,
    RecentEase,
    TextRowsEase,
    TextEase,
    TextSimilarity,
    ClosestTexts,
    ImplicitFactors,
)
"""Arms whose score is a sum over the user's items."""

POPULAR: Final[Mapping[str, str]] = {
    "popularity": "popular with everyone",
    "repeat": "you chose it before",
    "recent_popularity": "popular with everyone lately",
    "cluster_popularity": "popular with users of your cluster",
    "cluster_popularity_soft": "popular with users of clusters like yours",
}


def give_reasons(
    arms: Mapping[str, Arm],
    block: UserBlock,
    rows: NDArray[np.int64],
    items: NDArray[np.int32],
    sources: NDArray[np.str_],
    texts: Sequence[str] | None,
) -> list[str]:
    """Return one sentence for each (row of the block, item), whose score came mostly from the arm ``sources``."""
    reasons = [""] * rows.size
    for name in sorted(set(sources.tolist())):
        own = np.flatnonzero(sources == name)
        # A new item is there because of texts, whatever arms its neighbours owe their scores to.
        arm = arms["text" if name == NEW_ITEM else name]
        if isinstance(arm, UserNeighbours):
            sentences = _neighbour_reasons(arm, block, rows[own], items[own])
        elif isinstance(arm, _BY_HISTORY):
            by_text = isinstance(arm, (TextSimilarity, ClosestTexts))
            entries = arm.strongest(block, rows[own], items[own], 1 if by_text else NAMED_ITEMS)
            form = "its text is close to {}" if by_text else "because of {}"
            sentences = [_named(line, block, texts, form) for line in entries]
        else:
            sentences = [POPULAR[name]] * own.size
        for place, sentence in zip(own, sentences, strict=True):
            reasons[place] = sentence
    return reasons


def quote(text: str) -> str:
    """An item's text in quotation marks, one line, cut at a word after 60 characters.

    >>> quote("Toy Story (1995)")
    '"Toy Story (1995)"'
    """
    line = " ".join(text.split())
    if len(line) > LONGEST_QUOTE:
        cut = line[:LONGEST_QUOTE]
        # Texts without spaces (Chinese) are cut at the character.
        line = (cut.rsplit(" ", 1)[0] if " " in cut[LONGEST_QUOTE // 2 :] else cut).rstrip(" ,.;:") + "…"
    return f'"{line}"'


def _neighbour_reasons(
    arm: UserNeighbours, block: UserBlock, rows: NDArray[np.int64], items: NDArray[np.int32]
) -> list[str]:
    chose, voting = arm.supporters(block, rows, items)
    return [f"users like you chose it ({a} of {b} nearest)" for a, b in zip(chose, voting, strict=True)]


def _named(entries: NDArray[np.int64], block: UserBlock, texts: Sequence[str] | None, form: str) -> str:
    named = [texts[block.items[entry]] for entry in entries if entry >= 0] if texts is not None else []
    quotes = [quote(text) for text in named if text.strip()]
    if not quotes:
        return "it fits your history" if (entries >= 0).any() else "it fits your interests"
    return form.format(" and ".join(quotes))
