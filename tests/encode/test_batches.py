"""Cleaning, dedup, tokenising once, and packs by token budget."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from uicgpu.encode.batches import TextTokenizer, cut_packs, padded_length, unknown_id
from uicgpu.encode.language import load_tokenizer
from uicgpu.encode.texts import clean_text, distinct_texts, sample_texts
from uicgpu.errors import InputError

ANY_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates included


@pytest.mark.parametrize(
    ("given_text", "clean"),
    [
        (None, ""),
        (float("nan"), ""),
        ("", ""),
        (" \t\n\u3000", ""),
        ("Cafe\u0301", "Café"),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ("שלום", "שלום"),
        (np.str_(" x "), "x"),
    ],
)
def test_clean_text(given_text, clean):
    assert clean_text(given_text) == clean


@pytest.mark.parametrize("value", [3, 1.5, b"bytes", ["list"]])
def test_what_is_no_text_is_refused_with_its_place(value):
    with pytest.raises(InputError, match="a text is expected") as caught:
        distinct_texts(["fine", value])
    assert "position 1" in caught.value.where


@given(st.lists(st.one_of(ANY_TEXT, st.none()), max_size=30))
@settings(max_examples=100, deadline=None)
def test_distinct_texts_properties(texts):
    distinct, inverse, keys = distinct_texts(texts)
    assert [distinct[code] for code in inverse] == [clean_text(text) for text in texts]
    assert len(set(distinct)) == len(distinct)
    assert [key.tobytes() for key in keys] == [hashlib.blake2b(t.encode(), digest_size=16).digest() for t in distinct]
    again, _, _ = distinct_texts(texts[::-1])
    assert again == distinct


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100), st.booleans())
@settings(max_examples=200, deadline=None)
def test_packs_hold_every_text_once_within_the_budget_longest_first(lengths, budget, padded):
    lengths = np.array(lengths, dtype=np.int64)
    packs = cut_packs(lengths, budget, padded, multiple=8)
    order = np.concatenate(packs) if packs else np.zeros(0, np.int64)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) <= 0).all()
    for pack in packs:
        cost = padded_length(int(lengths[pack].max())) * len(pack) if padded else int(lengths[pack].sum())
        assert cost <= budget or len(pack) == 1


def test_packs_are_as_full_as_the_budget_allows():
    lengths = np.full(100, 7)
    assert [len(pack) for pack in cut_packs(lengths, 70)] == [10] * 10
    assert [len(pack) for pack in cut_packs(lengths, 80, padded=True, multiple=8)] == [10] * 10


def test_tokenise_counts_truncated_unknown_and_blank_texts(toy_model):
    tokenizer = load_tokenizer(toy_model)
    tokenizer = TextTokenizer(tokenizer._tokenizer, max_tokens=6)
    texts = ["red bike", "red " * 4, "red " * 5, "zebra quux", "red quux", "", "\u200b\u200d", "blue"]
    tokens = tokenizer.tokenise(texts)
    assert tokens.lengths.tolist() == [4, 6, 6, 4, 4, 2, 2, 3]
    assert tokens.truncated.tolist() == [False, False, True, False, False, False, False, False]
    assert tokens.unknown.tolist() == [False, False, False, True, False, False, False, False]
    assert tokens.blank.tolist() == [False, False, False, False, False, True, True, False]
    assert tokens.ids[:4].tolist() == [2, 5, 8, 3]


def test_the_prompt_counts_as_no_token_of_the_text(toy_folder):
    tokenizer = TextTokenizer(Tokenizer.from_file(str(toy_folder / "tokenizer.json")), 8, prompt="red hat ")
    tokens = tokenizer.tokenise(["", "quux", "blue"])
    assert tokens.ids.tolist() == [2, 5, 15, 3, 2, 5, 15, 1, 3, 2, 5, 15, 6, 3]
    assert tokens.blank.tolist() == [True, False, False]
    assert tokens.unknown.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "red bike " * 100_000,
        " " * 5_000 + "red bike " * 3,
        ("red" + " " * 300) * 40,
        "x" * 1_000_000,
        "blue",
    ],
)
def test_cutting_by_characters_first_gives_the_ids_of_the_whole_text(text, toy_folder):
    cutting = TextTokenizer(Tokenizer.from_file(str(toy_folder / "tokenizer.json")), max_tokens=16)
    whole = Tokenizer.from_file(str(toy_folder / "tokenizer.json"))
    expected = whole.encode(text).ids
    tokens = cutting.tokenise([text])
    assert tokens.ids.tolist() == (expected if len(expected) <= 16 else [*expected[:15], 3])
    assert bool(tokens.truncated[0]) == (len(expected) > 16)


def test_a_tokenizers_own_padding_and_truncation_are_replaced(toy_folder):
    backend = Tokenizer.from_file(str(toy_folder / "tokenizer.json"))
    backend.enable_padding(length=12)
    backend.enable_truncation(3)
    assert TextTokenizer(backend, 8).tokenise(["red bike lamp hat"]).lengths.tolist() == [6]


def test_unknown_id_of_each_kind_of_tokenizer():
    from tokenizers import models

    assert unknown_id(Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))) == 1
    assert unknown_id(Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0, False))) == 0
    assert unknown_id(Tokenizer(models.BPE({"a": 0}, []))) is None


@given(st.lists(ANY_TEXT, max_size=40), st.integers(1, 12))
def test_a_sample_is_the_beginning_of_the_distinct_texts_in_any_order(texts, count):
    expected = distinct_texts(texts)[0][:count]
    assert sample_texts(texts, count) == sample_texts(reversed(texts), count) == expected
