"""Item ids that do not look like the rest: postage, adjustments and tests among the products."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

MOST_ODD_SHARE: Final = 0.05
"""Ids that break a shape are worth a note only when they are fewer than this share."""
FEWEST_ITEMS: Final = 100
SHOWN: Final = 8
_START = re.compile(r"[0-9]+|[A-Za-z]+")


def odd_items(item_ids: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the pattern that nearly all ids match and the ids that do not, or None.

    Tried in this order: the most common number of leading digits, any leading digit, a leading letter (where most ids
    hold a digit). Ids that all have one length (ISBN and ASIN mixed) have no odd ones.

    >>> odd_items([f"{number}A" for number in range(20_000, 20_200)] + ["POST", "M"])
    ('^[0-9]{5}', ['M', 'POST'])
    """
    if len(item_ids) < FEWEST_ITEMS or len({len(item) for item in item_ids}) == 1:
        return None
    digits = Counter(len(start[0]) for item in item_ids if (start := _START.match(item)) and start[0].isdigit())
    patterns = ["^[0-9]"]
    if 2 * sum(any(letter.isdigit() for letter in item) for item in item_ids) > len(item_ids):
        patterns.append("^[A-Za-z]")  # only among codes: names may begin with anything
    if digits:
        size = min(digits, key=lambda length: (-digits[length], length))
        patterns.insert(0, f"^[0-9]{{{size}}}")
    for pattern in patterns:
        matches = re.compile(pattern).match
        odd = sorted(item for item in item_ids if not matches(item))
        if not odd:
            return None
        if len(odd) < MOST_ODD_SHARE * len(item_ids):
            return pattern, odd
    return None


def odd_items_note(item_ids: Sequence[str]) -> str | None:
    """Return a hint that names odd ids and the flag that leaves them out."""
    found = odd_items(item_ids)
    if found is None:
        return None
    pattern, odd = found
    shown = ", ".join(odd[:SHOWN]) + (f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else "")
    return (
        f"{len(odd)} of {len(item_ids)} item ids do not look like the rest: {shown}; "
        f"if they are no items, leave them out with --item-pattern '{pattern}'"
    )
