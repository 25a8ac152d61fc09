from __future__ import annotations

import pytest

from uicgpu.profiles.words import join_words, phrases, terms_of


def test_stop_words_and_punctuation_interrupt_phrases():
    assert phrases("The lord of the rings, the two towers") == [["lord"], ["rings"], ["towers"]]
    assert terms_of("red lunch bag") == ["red", "lunch", "bag", "red lunch", "lunch bag"]


def test_numbers_and_years_are_no_terms():
    assert terms_of("Matrix, The (1999) 12345 2x4") == ["matrix"]


def test_case_possessives_and_hyphens():
    assert phrases("WOMEN'S Sci-Fi T-Light") == [["women", "sci-fi", "t-light"]]


def test_chinese_is_segmented_and_stop_words_dropped():
    assert phrases("进击的巨人") == [["进击"], ["巨人"]]
    assert terms_of("动作冒险") == ["动作", "冒险", "动作冒险"]
    assert join_words("iphone", "手机") == "iphone 手机"


def test_mixed_scripts_do_not_run_together():
    assert phrases("iPhone手机壳")[0] == ["iphone"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी किताब", {"हिन्दी", "किताब"}),
        ("كتاب جديد", {"كتاب", "جديد"}),
        ("книга новая", {"книга", "новая"}),
        ("🎉🎉 party 🎉", {"party"}),
    ],
)
def test_other_scripts_stay_whole(text, words):
    assert words <= set(terms_of(text))


def test_personal_data_and_markup_leave_no_words():
    told = " ".join(terms_of("mail jane.doe@example.org or 13912345678 <script>alert(1)</script> now"))
    assert not {"jane", "doe", "example", "script"} & set(told.split())


def test_a_very_long_text_is_cut():
    assert len(terms_of("word " * 100_000)) <= 10_000
    assert terms_of("x" * 50_000) == []
