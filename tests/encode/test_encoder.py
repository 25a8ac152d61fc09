"""The encoder as users call it: shapes, zero vectors, dedup, cache, order, threads, progress."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.encode import Encoder, vector_cache_folder
from uicgpu.encode import windows as windows_module
from uicgpu.encode.engine import Engine
from uicgpu.errors import InputError, SettingsError

TEXTS = [
    f"{first} {second}" + " lamp" * (number % 5)
    for number, (first, second) in enumerate(
        (first, second) for first in ("red", "blue", "green") for second in ("bike", "boat", "chair", "hat", "book")
    )
]


@pytest.fixture
def make(toy_folder):
    def build(**options):
        return Encoder(toy_folder, device="cpu", **{"threads": 1, **options})

    return build


def test_unit_rows_of_the_promised_shape(make):
    encoder = make()
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dim) == (15, 32)
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6


def test_one_text_alone_gives_one_vector(make):
    encoder = make()
    assert np.array_equal(encoder.encode("red bike"), encoder.encode(["red bike"])[0])


def test_no_texts(make):
    assert make().encode([]).shape == (0, 32)


def test_texts_without_information_are_zero_and_counted(make):
    encoder = make()
    texts = ["red bike", "", None, float("nan"), "  \t", "\u200b", "blue hat"]
    vectors = encoder.encode(texts)
    assert [bool(row.any()) for row in vectors] == [True, False, False, False, False, False, True]
    assert encoder.facts["empty_texts"] == 2  # distinct ones: "" and the zero-width space
    assert encoder.facts["texts"] == 7
    assert encoder.facts["distinct"] == 4


def test_texts_of_unknown_tokens_only_are_counted(make):
    encoder = make(guard=False)
    vectors = encoder.encode(["zebra", "quux quux", "red zebra"])
    assert encoder.facts["unknown_texts"] == 2
    assert np.isfinite(vectors).all()


@given(st.lists(st.one_of(st.none(), st.text(st.characters(), max_size=12)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_text_gives_a_unit_or_a_zero_vector(toy_encoder, texts):
    norms = np.linalg.norm(toy_encoder.encode(texts), axis=1)
    assert ((np.abs(norms - 1) < 1e-5) | (norms == 0)).all()


@pytest.fixture(scope="module")
def toy_encoder(toy_folder):
    return Encoder(toy_folder, device="cpu", threads=1, guard=False)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "red " * 250_000, "\ud800", "😀👍🏽", "مرحبا بالعالم", "a\x00b"])
def test_odd_texts(text, toy_encoder):
    assert np.isfinite(toy_encoder.encode([text, "red"])).all()


def test_truncated_texts_are_counted(make):
    encoder = make(max_tokens=8)
    encoder.encode(["red " * 6, "red " * 7, "red " * 300])
    assert encoder.facts["truncated"] == 2
    assert encoder.facts["max_tokens"] == 8


def test_each_distinct_text_is_encoded_once(make, monkeypatch):
    seen = []
    real = Engine.embed

    def watched(self, tokens, finished=None):
        seen.append(len(tokens.lengths))
        return real(self, tokens, finished)

    monkeypatch.setattr(Engine, "embed", watched)
    encoder = make()
    vectors = encoder.encode(["red bike", " red bike ", "blue", "red bike"])
    assert seen == [2]
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], vectors[3])


def test_same_bytes_for_any_order_of_the_rows_and_any_number_of_threads(make):
    random = np.random.default_rng(4)
    texts = [
        f"{a} {b} {c}" for a in ("red", "blue", "green") for b in ("bike", "hat") for c in ("lamp " * 9, "boat", "")
    ]
    straight = make(batch_tokens=64).encode(texts)
    order = random.permutation(len(texts))
    for threads in (1, 2):
        shuffled = make(batch_tokens=64, threads=threads).encode([texts[row] for row in order])
        assert shuffled.tobytes() == straight[order].tobytes()


def test_a_cache_gives_the_same_bytes_and_loads_no_network(make, tmp_path, monkeypatch):
    fresh = make().encode(TEXTS)
    first = make(cache=tmp_path)
    assert first.encode(TEXTS).tobytes() == fresh.tobytes()
    assert first.facts["cache_hits"] == 0
    monkeypatch.setattr("uicgpu.encode.engine.load_network", lambda *_: pytest.fail("the network was loaded"))
    second = make(cache=tmp_path)
    assert second.encode(TEXTS[::-1]).tobytes() == fresh[::-1].tobytes()
    assert second.facts["cache_hits"] == len(TEXTS)
    stable = {name: value for name, value in first.facts.items() if name != "cache_hits"}
    assert stable == {name: value for name, value in second.facts.items() if name != "cache_hits"}
    assert second.work["tokens"] == 0


def test_only_new_texts_are_encoded(make, tmp_path):
    make(cache=tmp_path).encode(TEXTS[:-1])
    encoder = make(cache=tmp_path)
    encoder.encode(TEXTS)
    assert encoder.facts["cache_hits"] == len(TEXTS) - 1
    assert encoder.work["tokens"] < encoder.facts["tokens"] / 5


def test_a_damaged_cache_is_computed_again(make, tmp_path):
    fresh = make(cache=tmp_path).encode(TEXTS)
    for path in tmp_path.rglob("*.vectors.npy"):
        content = bytearray(path.read_bytes())
        content[-200:] = bytes(200)
        path.write_bytes(content)
    encoder = make(cache=tmp_path)
    assert encoder.encode(TEXTS).tobytes() == fresh.tobytes()
    assert encoder.work["cache_damaged"] == 2
    third = make(cache=tmp_path)
    assert third.encode(TEXTS).tobytes() == fresh.tobytes()
    assert third.facts["cache_hits"] == len(TEXTS)


@pytest.mark.parametrize("change", [{"max_tokens": 8}, {"prompt": "red "}, {"dtype": "bfloat16"}])
def test_whatever_changes_vectors_has_a_cache_of_its_own(change, make, tmp_path):
    make(cache=tmp_path).encode(TEXTS)
    encoder = make(cache=tmp_path, **change)
    assert encoder.identity != make().identity
    encoder.encode(TEXTS)
    assert encoder.facts["cache_hits"] == 0


def test_a_cache_that_cannot_be_written_is_said_and_survived(make, tmp_path):
    (tmp_path / "file").write_text("in the way")
    told = []
    encoder = make(cache=tmp_path / "file" / "cache", say=told.append)
    assert encoder.encode(TEXTS).any()
    assert "cannot be written" in encoder.work["warnings"][0]
    assert encoder.work["warnings"][0] in told


def test_a_kill_loses_one_window_at_most(make, tmp_path, monkeypatch):
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 4)
    real, calls = Engine.embed, []

    def dies(self, tokens, finished=None):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, tokens, finished)

    monkeypatch.setattr(Engine, "embed", dies)
    with pytest.raises(KeyboardInterrupt):
        make(cache=tmp_path).encode(TEXTS)
    encoder = make(cache=tmp_path)
    encoder.encode(TEXTS)
    assert encoder.facts["cache_hits"] == 8


def test_windows_do_not_change_the_bytes(make, monkeypatch):
    whole = make().encode(TEXTS)
    monkeypatch.setattr(windows_module, "WINDOW_CHARACTERS", 30)
    assert make().encode(TEXTS).tobytes() == whole.tobytes()


def test_progress_counts_every_input_text_once(make, tmp_path):
    texts = [*TEXTS, "", None, TEXTS[0]]
    for _ in range(2):  # the second time out of the cache
        told = []
        make(cache=tmp_path, batch_tokens=64).encode(texts, advance=told.append)
        assert sum(told) == len(texts)
        assert min(told) >= 0


def test_auto_is_chosen_by_the_first_texts(minilm_folder):
    encoder = Encoder(device="cpu", threads=1)
    with pytest.raises(SettingsError, match="chosen by the first texts"):
        _ = encoder.dim
    told = []
    encoder = Encoder(device="cpu", threads=1, say=told.append)
    vectors = encoder.encode(["wireless headphones", "a red bicycle"])
    assert vectors.shape == (2, 384)
    assert encoder.model.name == "minilm"
    assert told == [encoder.message]


def test_chinese_with_minilm_stops(minilm_folder):
    with pytest.raises(InputError, match="unknown to minilm"):
        Encoder("minilm", device="cpu").encode(["无线降噪耳机", "蓝牙头戴式耳机"])


@pytest.mark.parametrize("options", [{"batch_tokens": 0}, {"threads": 0}, {"max_tokens": 3}, {"dtype": "int8"}])
def test_impossible_settings(options, make):
    with pytest.raises(SettingsError):
        make(**options)


def test_default_cache_is_under_the_cache_home(cache_home, make):
    assert vector_cache_folder() == cache_home / "vectors"
    make(cache="default").encode(["red"])
    assert list((cache_home / "vectors").iterdir())


def test_importing_and_naming_an_encoder_loads_no_torch():
    code = (
        "import sys, uicgpu, uicgpu.encode\n"
        "from uicgpu.encode import Encoder, choose_model\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
