import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uicgpu.events.wording import clean_text, joined_categories, joined_sentences, quieted, split_categories


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Kimi to Boku &amp; Co", "Kimi to Boku & Co"),
        ("a\x00b\ud800c\u200bd", "a b c d"),
        ("  one\t two\r\nthree\u3000four ", "one two three four"),
        ("Bold <b>move</b><br/>next", "Bold move next"),
        ("1 < 2 > 0 <3", "1 < 2 > 0 <3"),
        ("Cafe\u0301", "Café"),
        ("", ""),
        (None, ""),
        ("مرحبا 👋", "مرحبا 👋"),
    ],
)
def test_clean_text(raw, clean):
    assert clean_text(raw) == clean


@given(st.text(st.characters(codec=None), max_size=40))
def test_clean_text_is_always_writable_and_stable(text):
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned
    assert cleaned == " ".join(cleaned.split())
    assert unicodedata.is_normalized("NFC", cleaned)


def test_a_shouting_catalogue_is_quieted_but_acronyms_stay():
    assert quieted(["RED BOX", "15CM BALL", "wet"]) == ["Red box", "15cm ball", "wet"]
    assert quieted(["NARUTO", "Naruto", "Bleach"]) == ["NARUTO", "Naruto", "Bleach"]
    assert quieted(["你好", "123"]) == ["你好", "123"]


@pytest.mark.parametrize(
    ("cell", "categories"),
    [
        ("Adventure|Animation|Adventure", ("Adventure", "Animation")),
        ("a; b ;c", ("a", "b", "c")),
        ("剧情、恋爱", ("剧情", "恋爱")),
        ("Drama, Slice of Life", ("Drama", "Slice of Life")),
        ("Clothing, Shoes|Toys", ("Clothing, Shoes", "Toys")),
        ("(no genres listed)", ()),
        ("Unknown", ()),
        (" | ", ()),
        (None, ()),
    ],
)
def test_split_categories(cell, categories):
    assert split_categories(cell) == categories


def test_categories_by_space_and_joined():
    assert split_categories("Drama War", by_space=True) == ("Drama", "War")
    assert joined_categories("Drama, War") == "Drama|War"
    assert joined_categories("N/A") is None


def test_sentences():
    assert joined_sentences(["A", "", "B?", "C"], cjk=False) == "A. B? C"
    assert joined_sentences(["甲", "乙！", "丙"], cjk=True) == "甲。乙！丙"
    assert joined_sentences([], cjk=True) == ""
