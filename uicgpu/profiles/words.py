"""Which words does a text hold? English and other spaced scripts by letters, Chinese by a segmenter."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

from uicgpu.privacy.text import scrub, without_markup

LONGEST_TEXT: Final = 10_000
"""Characters of a text that are read for terms."""
LONGEST_WORD: Final = 32
"""Longer runs of letters are keys or encoded data, not words."""

_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")

ENGLISH_STOP_WORDS: Final = frozenset(
    """
    a about above after again against all almost along also although always am among an and another any anyone
    anything are around as at away back be became because become been before behind being below between both but by
    can cannot could did do does doing done down due during each either else enough etc even ever every few for from
    further get give go had has have having he hence her here hers herself him himself his how however i if in into
    is it its itself just keep last less like made make many may me mine more most mostly much must my myself
    neither never next no nobody none nor not nothing now of off often on once one only onto or other others our
    ours out over own per perhaps please put rather re really s same see seem several she should show since so some
    something still such t than that the their them themselves then there these they this those though through thus
    to together too toward two three under until up upon us use used using very via was we well were what whatever
    when where whether which while who whole whom whose why will with within without would yet you your yours
    yourself d ll m ve don didn doesn isn wasn won com html http https www org net quot amp nbsp pcs pc
    """.split()
)
CHINESE_STOP_WORDS: Final = frozenset(
    """
    的 了 和 与 及 或 是 在 之 第 也 都 就 而 被 把 从 对 为 以 于 等 这 那 我 你 他 她
    它 我们 你们 他们 一个 一种 没有 不是 什么 怎么 这个 那个 可以 因为 所以 但是 如果 以及 还是
    已经 非常 自己 进行 通过 其 中 上 下 里 后 前 时 会 要 有 无 不 很 到 说 去 来 给 让 用
    个 只 又 再 更 最
    """.split()
)


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    # Vowel signs of Indic scripts, Arabic and Hebrew points are no letters to `re`, but they are parts of words.
    marks = [code for code in range(0x300, 0xFE30) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    ranges, start = [], marks[0]
    for code, following in zip(marks, [*marks[1:], -1], strict=True):
        if following != code + 1:
            ranges.append(f"\\u{start:04x}-\\u{code:04x}")
            start = following
    mark = "".join(ranges)
    letter = f"(?:(?![{_IDEOGRAPHS}])[^\\W_])"
    word = f"{letter}(?:{letter}|[{mark}\u200c\u200d])*"
    return re.compile(f"(?P<han>[{_IDEOGRAPHS}]+)|(?P<word>{word}(?:['’-]{word})*)")


def phrases(text: str) -> list[list[str]]:
    """Split a text into runs of words that no stop word, number or punctuation interrupts.

    Words are case-folded; numbers, single letters and personal data are left out.

    Examples
    --------
    >>> phrases("The Red Lunch-Bag, set of 3 in 1999")
    [['red', 'lunch-bag'], ['set']]
    """
    plain = scrub(without_markup(unicodedata.normalize("NFC", text[:LONGEST_TEXT])), " · ")
    runs: list[list[str]] = [[]]
    previous_end = -1
    for match in _word_pattern().finditer(plain):
        if plain[max(previous_end, 0) : match.start()].strip() or (previous_end == match.start() and match["han"]):
            runs.append([])
        previous_end = match.end()
        words = _segment(match["han"]) if match["han"] else [_fold(match["word"])]
        for word in words:
            if _is_term(word):
                runs[-1].append(word)
            elif runs[-1]:
                runs.append([])
    return [run for run in runs if run]


def terms_of(text: str) -> list[str]:
    """Return the words and two-word phrases of a text, in order, with repetitions.

    >>> terms_of("red lunch bag")
    ['red', 'lunch', 'bag', 'red lunch', 'lunch bag']
    """
    runs = phrases(text)
    single = [word for run in runs for word in run]
    double = [join_words(first, second) for run in runs for first, second in pairwise(run) if first != second]
    return single + double


def join_words(first: str, second: str) -> str:
    """Join two words: without a space between Chinese words."""
    return f"{first}{second}" if is_chinese(first) and is_chinese(second) else f"{first} {second}"


def is_chinese(text: str) -> bool:
    """Whether ``text`` holds an ideograph.

    Kana is not asked for: a Japanese title with ideographs reads well under the same rules of joining.
    """
    return _HAS_IDEOGRAPH.search(text) is not None


def _segment(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    import rjieba  # the dictionary takes memory and half a second; English data never loads it

    return [str(word) for word in rjieba.cut(run)]


@lru_cache(maxsize=1 << 17)
def _fold(word: str) -> str:
    word = word.casefold().replace("’", "'")
    return word.removesuffix("'s").strip("'-")


@lru_cache(maxsize=1 << 17)
def _is_term(word: str) -> bool:
    if is_chinese(word):
        return len(word) > 1 and word not in CHINESE_STOP_WORDS
    letters = sum(character.isalpha() for character in word)
    digits = sum(character.isdigit() for character in word)
    return letters >= 2 and digits <= 3 and len(word) <= LONGEST_WORD and word not in ENGLISH_STOP_WORDS
