"""Windows hold every text once; what runs ahead stops with its caller and passes errors on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from uicgpu.encode import Encoder
from uicgpu.encode import windows as windows_module
from uicgpu.encode.windows import ahead, cut, stream


def test_windows_end_at_texts_or_characters(monkeypatch):
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 3)
    monkeypatch.setattr(windows_module, "WINDOW_CHARACTERS", 10)
    assert list(cut([1, 1, 1, 1], 100)) == [slice(0, 3), slice(3, 4)]
    assert list(cut([9, 9, 9], 100)) == [slice(0, 2), slice(2, 3)]
    assert list(cut([9, 9, 9], 2)) == [slice(0, 3)], "what is cut away does not count"
    assert list(cut([9, 9, 9], 100, times=5)) == [slice(0, 3)]
    assert list(cut([], 100)) == []


def test_a_stream_keeps_the_order_of_its_rows(monkeypatch):
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 4)
    texts = ["b", "a", "b", None, "c", "a"]
    found = list(stream(iter(texts), 100))
    assert [len(window.inverse) for window in found] == [4, 2]
    assert [window.texts[code] for window in found for code in window.inverse] == ["b", "a", "b", "", "c", "a"]
    assert found[0].repeats.sum() == 4


def test_ahead_gives_the_same_values_in_order():
    assert list(ahead(range(50), 2)) == list(range(50))


def test_ahead_is_bounded():
    made = []

    def source():
        for number in range(20):
            made.append(number)
            yield number

    values = ahead(source(), 2)
    next(values)
    time.sleep(0.3)
    assert len(made) <= 4  # the one in hand, two waiting, one being offered
    values.close()


def test_ahead_passes_errors_on_and_stops_with_its_caller():
    def fails():
        yield 1
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        list(ahead(fails(), 2))
    values = ahead(iter(int, 1), 2)  # never ends by itself
    next(values)
    values.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "tokenise"]


def test_tokenising_ahead_does_not_change_the_vectors(toy_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 5)
    texts = [f"{first} {second}" for first in ("red", "blue", "green") for second in ("bike", "boat", "hat", "")]
    expected = Encoder(toy_folder, device="cpu", threads=1).encode(texts)
    started = []
    monkeypatch.setattr("uicgpu.encode.encoding.ahead", lambda source: started.append(1) or ahead(source))
    monkeypatch.setattr("uicgpu.encode.loaded.LoadedModel.kind", "cuda")
    for _ in range(2):  # with an empty cache and with a full one
        vectors = Encoder(toy_folder, device="cpu", threads=1, cache=tmp_path).encode(texts)
        assert np.array_equal(vectors, expected)
    assert len(started) == 2
