"""What does the page say? Its words in English and Chinese, from ``words/*.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from uicgpu.errors import UicError

LANGUAGES = ("en", "zh")


class Words:
    """The words of one language; ``words("key", name=value)`` fills placeholders.

    Raises
    ------
    UicError
        For a key that no catalogue has: a mistake in a template, found by tests.
    """

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self._entries = read_catalogue(self.language)

    def __call__(self, key: str, /, **values: Any) -> str:
        """Return the words under ``key`` with placeholders filled."""
        try:
            return self._entries[key].format(**values)
        except KeyError as error:
            raise UicError(
                f"the report has no words for {key!r} ({error})",
                where=f"uicgpu/report/words/{self.language}.json",
                fix="add the key to every catalogue",
            ) from error

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def named(self, group: str, name: str) -> str:
        """Readable name of a method, metric, split, kind …; the name itself, without underscores, if unknown."""
        key = f"{group}.{name.replace('-', '_')}"
        return self._entries.get(key) or name.replace("_", " ")

    def told(self, sentences: Iterable[str]) -> str:
        """Join sentences as the language does; empty ones are left out."""
        return self("sentence.gap").join(filter(None, sentences))

    def listed(self, parts: list[str]) -> str:
        """Join parts with the language's comma."""
        return self("list.comma").join(parts)


@lru_cache(maxsize=len(LANGUAGES))
def read_catalogue(language: str) -> Mapping[str, str]:
    """Read one catalogue."""
    file = resources.files("uicgpu.report") / "words" / f"{language}.json"
    entries: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return entries
