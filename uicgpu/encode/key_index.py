"""Where is the entry of a text? Sorted runs of 16-byte keys in plain arrays, without a copy per look-up.

New keys come as a run of their own; runs of similar size are merged, so there are few of them, and a million keys
added in windows are sorted a few times each, not sixty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_KEYS = 2**17
"""Runs do not grow beyond this: merging needs three times their size for a moment, and the allocator keeps it."""


class KeyIndex:
    """A map from keys (V16) to non-negative integers; of equal keys the newest wins.

    Parameters
    ----------
    dtype
        In which the values are kept.

    >>> index = KeyIndex()
    >>> key = np.frombuffer(bytes(15) + b"a", dtype="V16")
    >>> index.add(key, np.array([7]))
    >>> index.find(key).tolist(), index.find(np.zeros(1, "V16")).tolist()
    ([7], [-1])
    """

    def __init__(self, dtype: type[np.signedinteger[Any]] = np.int64) -> None:
        self._dtype = dtype
        # S16 compares like the 16 bytes do: all keys have the same length, so dropped zeros at the end change nothing
        self._runs: list[tuple[NDArray[np.bytes_], NDArray[Any]]] = []

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._runs)

    def add(self, keys: NDArray[np.void], values: NDArray[np.int64]) -> None:
        """Add keys V16 [n] with values int64 [n]."""
        if not len(keys):
            return
        self._runs.append(_newest(np.ascontiguousarray(keys).view("S16"), np.asarray(values, dtype=self._dtype)))
        while len(self._runs) > 1:
            older, newer = len(self._runs[-2][0]), len(self._runs[-1][0])
            if older > 2 * newer or older + newer > MOST_KEYS:
                break
            (new_keys, new_values), (old_keys, old_values) = self._runs.pop(), self._runs.pop()
            merged = np.concatenate([old_keys, new_keys]), np.concatenate([old_values, new_values])
            self._runs.append(_newest(*merged))

    def find(self, keys: NDArray[np.void]) -> NDArray[np.int64]:
        """Return the value of each key V16 [n], int64 [n]; -1 where there is none."""
        wanted = np.ascontiguousarray(keys).view("S16")
        found = np.full(len(wanted), -1, dtype=np.int64)
        for known, values in reversed(self._runs):
            open_keys = np.flatnonzero(found < 0)
            if not len(open_keys):
                break
            place = np.minimum(np.searchsorted(known, wanted[open_keys]), len(known) - 1)
            hit = known[place] == wanted[open_keys]
            found[open_keys[hit]] = values[place[hit]]
        return found


def _newest(keys: NDArray[np.bytes_], values: NDArray[Any]) -> tuple[NDArray[np.bytes_], NDArray[Any]]:
    """Sort by key; of equal keys keep the last."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True)
    return keys[last], values[order][last]
