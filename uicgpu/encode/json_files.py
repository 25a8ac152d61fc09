"""JSON files of an untrusted folder: bounded, inside the folder, and an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uicgpu.errors import InputError

JSON_BYTES = 4 * 2**20
"""Largest configuration file that is read."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of at most 4 MiB.

    Raises
    ------
    InputError
        When the file is missing, too large, or not a JSON object.
    """
    content = parse_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path.name} is not a JSON object", where=str(path))
    return content


def parse_json(path: Path) -> Any:
    """Read any JSON value of at most 4 MiB.

    Raises
    ------
    InputError
        When the file is missing, too large, or not JSON.
    """
    check_size(path, JSON_BYTES)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not readable JSON: {error}", where=str(path)) from error


def check_size(path: Path, limit: int) -> None:
    """Refuse a file that is missing or has more than ``limit`` bytes.

    Raises
    ------
    InputError
        It is.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"the encoder folder has no {path.name}", where=str(path.parent)) from error
    if size > limit:
        raise InputError(f"{path.name} has {size} bytes, more than the limit of {limit}", where=str(path))


def contained(root: Path, part: str) -> Path:
    """Return ``root / part``.

    Raises
    ------
    InputError
        It leads out of ``root``.
    """
    inner = (root / part).resolve()
    if not inner.is_relative_to(root.resolve()):
        raise InputError(f"module path {part!r} leads out of the encoder folder", where=str(root / "modules.json"))
    return root / part if part else root


def positive(config: dict[str, Any], keys: tuple[str, ...], path: Path) -> int:
    """Return the first of ``keys`` that a configuration has, a positive integer.

    Raises
    ------
    InputError
        It has none, or one that is not a positive integer.
    """
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    raise InputError(f"{path.name} does not say {keys[0]}", where=str(path))
