"""Texts longer than the limit: cut and counted, or the mean of their pieces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from uicgpu.encode import Encoder
from uicgpu.encode.encoding import unit_rows
from uicgpu.encode.language import load_tokenizer
from uicgpu.errors import SettingsError

LONG = "red bike blue boat green chair hat book lamp shoe phone table"


@pytest.fixture
def make(toy_folder):
    return lambda **options: Encoder(toy_folder, device="cpu", threads=1, guard=False, **{"max_tokens": 8, **options})


def test_cut_texts_are_counted_and_have_the_vector_of_their_beginning(make):
    encoder = make()
    vectors = encoder.encode([LONG, "red bike blue boat green chair"])
    assert np.array_equal(vectors[0], vectors[1])
    assert (encoder.facts["truncated"], encoder.facts["chunked"]) == (1, 0)


def test_chunks_are_averaged_by_their_tokens(make):
    encoder = make(long_texts="chunk")
    vector = encoder.encode(LONG)
    # 8 tokens leave room for 6 words, one sixteenth of them held back: pieces of 5, 5 and 2 words
    words = LONG.split()
    pieces = [" ".join(words[start : start + 5]) for start in range(0, 12, 5)]
    parts = make().encode(pieces).astype(np.float64)
    weights = np.array([7, 7, 4])  # with [CLS] and [SEP]
    expected = unit_rows(((parts * weights[:, None]).sum(0) / weights.sum())[None].astype(np.float32))[0]
    assert np.abs(vector - expected).max() < 1e-6
    assert (encoder.facts["truncated"], encoder.facts["chunked"]) == (0, 1)
    assert encoder.facts["tokens"] == weights.sum()


def test_short_texts_keep_their_vectors_beside_long_ones(make):
    short = ["red bike", "blue"]
    assert np.array_equal(make(long_texts="chunk").encode([LONG, *short])[1:], make().encode(short))


def test_chunked_and_cut_vectors_never_share_a_cache(make, tmp_path):
    cut = make(cache=tmp_path).encode(LONG)
    encoder = make(cache=tmp_path, long_texts="chunk")
    assert not np.allclose(encoder.encode(LONG), cut)
    assert encoder.facts["cache_hits"] == 0
    again = make(cache=tmp_path, long_texts="chunk")
    again.encode(LONG)
    assert (again.facts["cache_hits"], again.facts["chunked"]) == (1, 1)


def test_progress_counts_a_chunked_text_once(make):
    told = []
    make(long_texts="chunk", batch_tokens=64).encode([LONG, "red", f"{LONG} {LONG}", LONG], told.append)
    assert sum(told) == 4


def test_a_prompt_stands_before_every_piece_and_every_word_survives(make):
    encoder = make(long_texts="chunk", prompt="hat hat ")
    tokenizer = load_tokenizer(encoder.model)
    tokens, owners = tokenizer.tokenise_in_pieces([LONG, "red"])
    hat = tokenizer._tokenizer.token_to_id("hat")
    rows = [tokens.ids[start:end] for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
    assert all(row[1] == row[2] == hat and len(row) <= 8 for row in rows)
    words = [int(number) for row, owner in zip(rows, owners, strict=True) if owner == 0 for number in row[3:-1]]
    assert words == [tokenizer._tokenizer.token_to_id(word) for word in LONG.split()]


def test_a_megabyte_and_a_word_without_end(make):
    encoder = make(long_texts="chunk")
    vectors = encoder.encode(["red bike " * 3000, "x" * 30_000, "red bike"])
    assert vectors[0] @ vectors[2] > 0.9
    assert np.isfinite(vectors).all()
    assert encoder.facts["unknown_texts"] == 1


def test_the_real_tokeniser_keeps_words_whole(minilm_folder):
    from uicgpu.encode.models import minilm_model

    tokenizer = load_tokenizer(minilm_model(minilm_folder))
    text = "Stainless-steel kitchen knives for left-handed people. " * 120
    pieces = tokenizer._pieces(text)
    assert "".join(pieces) == text
    borders = [(before[-1], after[0]) for before, after in itertools.pairwise(pieces)]
    assert all(not (before.isalpha() and after.isalpha()) for before, after in borders), "no word is torn"
    assert not tokenizer.tokenise(pieces).truncated.any()


def test_an_unknown_treatment_is_refused(make):
    with pytest.raises(SettingsError, match="use cut or chunk"):
        make(long_texts="drop")
