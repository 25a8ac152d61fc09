"""Distinct texts: an encoder sees each text once, however many items carry it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def distinct_texts(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts, sorted, and for each input its position among them.

    Returns
    -------
    distinct
        Sorted, so that the order of items changes nothing downstream.
    inverse
        int64 [texts]; ``distinct[inverse[i]] == texts[i]``.

    Examples
    --------
    >>> distinct, inverse = distinct_texts(["b", "a", "b"])
    >>> distinct, inverse.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    distinct = sorted(set(texts))
    position = {text: number for number, text in enumerate(distinct)}
    return distinct, np.fromiter((position[text] for text in texts), np.int64, len(texts))
