"""Where is the entry of a text? Sorted runs of 16-byte keys in plain arrays: 24 bytes a text, no copy per look-up.

New keys come as a run of their own; runs of similar size are merged, so there are few of them, and a million keys
added in windows are sorted a dozen times, not sixty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class KeyIndex:
    """A map from keys (V16) to non-negative int64 values; of equal keys the newest wins.

    >>> index = KeyIndex()
    >>> key = np.frombuffer(bytes(15) + b"a", dtype="V16")
    >>> index.add(key, np.array([7]))
    >>> index.find(key).tolist(), index.find(np.zeros(1, "V16")).tolist()
    ([7], [-1])
    """

    def __init__(self) -> None:
        # S16 compares like the 16 bytes do: all keys have the same length, so dropped zeros at the end change nothing
        self._runs: list[tuple[NDArray[np.bytes_], NDArray[np.int64]]] = []

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._runs)

    def add(self, keys: NDArray[np.void], values: NDArray[np.int64]) -> None:
        """Add keys V16 [n] with values int64 [n]."""
        if not len(keys):
            return
        self._runs.append(_newest(np.ascontiguousarray(keys).view("S16"), np.asarray(values, dtype=np.int64)))
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
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


def _newest(keys: NDArray[np.bytes_], values: NDArray[np.int64]) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
    """Sort by key; of equal keys keep the last."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True)
    return keys[last], values[order][last]
