from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import uicgpu.report
from uicgpu.errors import UicError
from uicgpu.report.catalogue import LANGUAGES, Words, read_catalogue

ROOM = Path(uicgpu.report.__file__).parent


def _placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def test_both_languages_have_the_same_keys_and_placeholders():
    english, chinese = (read_catalogue(language) for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    for key in english:
        assert _placeholders(english[key]) == _placeholders(chinese[key]), key


def test_chinese_is_chinese():
    same = {key for key, text in read_catalogue("en").items() if read_catalogue("zh")[key] == text}
    named = {key for key in same if key.startswith("metric.")}
    assert same - named <= {"brand", "missing", "map.hover", "making.version", "method.ease", "reason.quote"}


def test_every_literal_key_exists():
    known = read_catalogue("en")
    used = set()
    for path in [*ROOM.glob("*.py"), *ROOM.glob("templates/*.html")]:
        used |= set(re.findall(r"\b(?:w|words)\(\s*\"([a-z_.]+)\"[,)]", path.read_text(encoding="utf-8")))
    assert len(used) > 80
    assert used - {"key"} <= known.keys()


def test_a_missing_key_is_an_error_and_unknown_names_are_shown_plainly():
    with pytest.raises(UicError, match=r"no\.such\.key"):
        Words("en")("no.such.key")
    assert Words("zh").named("method", "my_new_arm") == "my new arm"
    assert Words("xx").language == "en"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_method_of_the_evaluation_has_a_name(language):
    from uicgpu.recommend.arms import METHODS

    words = read_catalogue(language)
    assert [name for name in (*METHODS, "blend", "recommender") if f"method.{name}" not in words] == []
