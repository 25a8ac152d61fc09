"""What is a cluster called? A short readable name from its categories and terms, without any model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from uicgpu.privacy.text import clean_label
from uicgpu.profiles.words import is_chinese, phrases
from uicgpu.vocabulary import NOISE

LONGEST_NAME: Final = 60
LONGEST_PART: Final = 28
_FIRST_LETTER = re.compile(r"(^|[\s(/&-])([^\W\d_])")
_SMALL_WORDS = frozenset({"and", "of", "the", "for", "in", "on", "to", "with", "a", "an", "or"})

_NUMBERED = {"en": "Cluster {}", "zh": "群组 {}"}
_UNASSIGNED = {"en": "Unassigned", "zh": "未分组"}


@dataclass(frozen=True)
class NameMaterial:
    """What a name may be made of, best first; empty for a cluster that must stay anonymous."""

    categories: Sequence[str] = ()
    terms: Sequence[str] = ()


def plain_name(cluster: int, language: str = "en") -> str:
    """Name of a cluster about which nothing is said.

    >>> plain_name(0), plain_name(-1)
    ('Cluster 1', 'Unassigned')
    """
    if cluster == NOISE:
        return _UNASSIGNED.get(language, _UNASSIGNED["en"])
    return _NUMBERED.get(language, _NUMBERED["en"]).format(cluster + 1)


def choose_names(clusters: Sequence[int], materials: Sequence[NameMaterial], language: str = "en") -> list[str]:
    """Name all clusters; no two names are equal, none is longer than ``LONGEST_NAME`` characters.

    Two telling categories make a name on their own, one is joined by a term; without categories up to three terms
    serve.
    A name that is taken grows by the cluster's next category or term, and gets a number when nothing is left.
    """
    taken: set[str] = set()
    names: list[str] = []
    for cluster, material in zip(clusters, materials, strict=True):
        name = _free_name(cluster, material, taken, language)
        taken.add(name_key(name))
        names.append(name)
    return names


def name_key(name: str) -> str:
    """Equal for names that a reader would mix up: ``A & B`` and ``b & a``."""
    return " ".join(sorted(part.strip() for part in re.split(r"[,&、]", name.casefold())))


def join_parts(parts: Sequence[str]) -> str:
    """Join the parts of a name: ``A, B & C``, ``A & B, C`` where a part has its own ``&``, ``甲、乙`` for Chinese.

    >>> join_parts(["Sci-Fi", "Action"]), join_parts(["科幻", "动作"])
    ('Sci-Fi & Action', '科幻、动作')
    """
    if 2 * sum(is_chinese(part) for part in parts) > len(parts):
        return "、".join(parts)
    if any("&" in part for part in parts):
        return ", ".join(parts)
    return " & ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def title_case(text: str) -> str:
    """Capitalise words that are all lower or all upper case; mixed case (``Sci-Fi``, ``iPhone``) stays.

    >>> title_case("women's lunch-bag"), title_case("IMAX"), title_case("HOME AND GARDEN")
    ("Women's Lunch-Bag", 'IMAX', 'Home and Garden')
    """
    shouted = text.isupper() and len(text) > 5
    words = []
    for number, word in enumerate((text.lower() if shouted else text).split(" ")):
        small = number > 0 and word in _SMALL_WORDS
        words.append(word if small or not word.islower() else _FIRST_LETTER.sub(lambda m: m[1] + m[2].upper(), word))
    return " ".join(words)


def _free_name(cluster: int, material: NameMaterial, taken: set[str], language: str) -> str:
    if cluster == NOISE:
        return plain_name(cluster, language)
    parts = _parts(material)
    leading = min(len(material.categories), 2)
    wanted = 2 if leading else 3
    options: list[list[str]] = [parts[:wanted]]
    options += [[*parts[:wanted], extra] for extra in parts[wanted:]]
    options += [[*parts[: max(wanted - 1, 1)], extra] for extra in parts[wanted:]]
    for option in options:
        name = _bounded(option)
        if name and name_key(name) not in taken:
            return name
    stem = _bounded(parts[:wanted], LONGEST_NAME - 6) or plain_name(cluster, language)
    number = 2
    name = stem
    while name_key(name) in taken:
        name = f"{stem} {number}"
        number += 1
    return name


def _parts(material: NameMaterial) -> list[str]:
    """Categories, then terms that say something new."""
    parts: list[str] = []
    said: set[str] = set()
    for text in [*material.categories, *material.terms]:
        label = title_case(clean_label(text, LONGEST_PART)).strip(" ,&、")
        words = {_stem(word) for run in phrases(text) for word in run}
        words.add("".join(character for character in label.casefold() if character.isalnum()))
        if label and any(character.isalnum() for character in label) and not words & said:
            parts.append(label)
            said |= words
    return parts


def _bounded(parts: Sequence[str], length: int = LONGEST_NAME) -> str:
    while len(parts) > 1 and len(join_parts(parts)) > length:
        parts = parts[:-1]
    return clean_label(join_parts(parts), length) if parts else ""


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
