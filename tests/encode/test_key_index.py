"""A map in sorted runs is a map."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from uicgpu.encode.key_index import KeyIndex


def keys_of(numbers):
    # big and little end both vary, so that keys with zero bytes at either end occur
    return np.frombuffer(b"".join(number.to_bytes(8, "big") + bytes(7) + b"\1" for number in numbers), dtype="V16")


@given(st.lists(st.lists(st.integers(0, 30), max_size=9), max_size=12))
def test_it_answers_like_a_dictionary(batches):
    index, expected, value = KeyIndex(), {}, 0
    for batch in batches:
        values = np.arange(value, value + len(batch))
        index.add(keys_of(batch), values)
        expected |= dict(zip(batch, values.tolist(), strict=True))
        value += len(batch)
        found = index.find(keys_of(range(31)))
        assert found.tolist() == [expected.get(number, -1) for number in range(31)]


def test_runs_are_few():
    index = KeyIndex()
    for start in range(0, 5000, 50):
        index.add(keys_of(range(start, start + 50)), np.arange(50))
    assert len(index) == 5000
    assert len(index._runs) <= 8


def test_runs_stay_small_enough_to_merge_and_still_answer(monkeypatch):
    monkeypatch.setattr("uicgpu.encode.key_index.MOST_KEYS", 100)
    index = KeyIndex(np.int8)
    for start in range(0, 1000, 10):
        index.add(keys_of(range(start, start + 10)), np.arange(10))
    index.add(keys_of([7]), np.array([99]))
    assert max(len(keys) for keys, _ in index._runs) <= 100
    assert index.find(keys_of([0, 7, 999, 1000])).tolist() == [0, 99, 9, -1]
