"""How is a setting written? Sizes, weights and lists as text of a flag, the environment or a file."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator

_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_size(text: object) -> object:
    """Turn ``"8GiB"``, ``"500 MB"`` or a number of bytes into bytes.

    >>> parse_size("1.5GiB")
    1610612736
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", text)
    if not match or match[2].lower() not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size; write for example 8GiB or 500MB")
    return int(float(match[1]) * _SIZE_UNITS[match[2].lower()])


def parse_weights(text: object) -> object:
    """Turn ``"view=1,purchase=4"`` into a mapping.

    >>> parse_weights("view=1,purchase=4")
    {'view': 1.0, 'purchase': 4.0}
    """
    if not isinstance(text, str):
        return text
    weights: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kind, equals, weight = part.rpartition("=")
        try:
            weights[kind.strip()] = float(weight)
        except ValueError:
            equals = ""
        if not equals:
            raise ValueError(f"{part!r} is not kind=weight; write for example view=1,purchase=4")
    return weights


def parse_list(text: object) -> object:
    """Turn ``"a,b"`` into ``("a", "b")``; a list stays a list."""
    if isinstance(text, str):
        return tuple(piece.strip() for piece in text.split(",") if piece.strip())
    return text


def parse_clusters(text: object) -> object:
    """Turn ``"20"`` into 20 and keep ``"auto"``."""
    return int(text) if isinstance(text, str) and text.strip().isdigit() else text


Size = Annotated[int, BeforeValidator(parse_size)]
Weights = Annotated[dict[str, float], BeforeValidator(parse_weights)]
Names = Annotated[tuple[str, ...], BeforeValidator(parse_list)]
Clusters = Annotated[int | Literal["auto"], BeforeValidator(parse_clusters)]
