from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uicgpu.privacy.text import clean_label, scrub, shorten, snippet, visible, without_markup

PERSONAL = [
    "jane.doe@example.org",
    "Jane_Doe+shop@mail.example.co.uk",
    "li＠example.cn",
    "+44 20 7946 0958",
    "+86-139-1234-5678",
    "(212) 555-0199",
    "555-0199",
    "13912345678",
    "0049 30 901820",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "11010519491231002X",
    "123-45-6789",
]


@pytest.mark.parametrize("canary", PERSONAL)
@pytest.mark.parametrize("frame", ["{}", "call {} now", "({})", "电话：{}。", "since 2001 {}"])
def test_personal_data_is_removed(canary, frame):
    told = scrub(frame.format(canary))
    assert canary not in told
    assert sum(character.isdigit() for character in told) <= 2 + 4 * ("2001" in told)
    assert "@" not in told and "＠" not in told


@pytest.mark.parametrize(
    "text", ["Matrix, The (1999)", "Set of 72 cake cases", "1999-2003", "iPhone 15 Pro", "3.5 / 5.0"]
)
def test_ordinary_numbers_stay(text):
    assert scrub(text) == text


def test_markup_is_dropped_also_when_escaped():
    assert without_markup("&lt;b onclick=x&gt;Tea&lt;/b&gt;").strip() == "Tea"
    assert "<" not in without_markup("<<script>script>alert(1)<</script>/script>")


def test_controls_and_overrides_are_dropped():
    assert visible("a\x00b\u202eevil\u2066\ud800 c\n d") == "a bevil c d"
    assert visible("نمی\u200cخواهم") == "نمی\u200cخواهم"


@given(st.text(max_size=300), st.integers(min_value=1, max_value=60))
def test_labels_are_bounded_and_plain(text, length):
    label = clean_label(text, length)
    assert len(label) <= length
    assert not set("<>{}`\n\r\x00") & set(label)


@given(st.text(max_size=300), st.integers(min_value=1, max_value=80))
def test_shortening_never_lengthens(text, length):
    assert len(shorten(text, length)) <= max(length, 0)
    assert len(snippet(text, length)) <= length
