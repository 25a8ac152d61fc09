"""Recorded signatures, and binding a call to one."""

from __future__ import annotations
import __future__

import functools
import inspect
import json
import re
from pathlib import Path

CONTRACTS = Path(__file__).parents[1] / "contracts"
VERSIONS = sorted(path.stem.removeprefix("rapids-") for path in CONTRACTS.glob("rapids-*.json"))


def parse_signature(text: str) -> inspect.Signature:
    """Turn ``"(*, n_clusters=8)"`` into a signature; defaults that are no literals become None."""
    source = f"def f{re.sub('<[a-z_]+>', 'None', text)}: pass"
    namespace: dict[str, object] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(source, "<signature>", "exec", flags), namespace)
    return inspect.signature(namespace["f"])


@functools.cache
def load_contract(version: str) -> dict[str, inspect.Signature]:
    content = json.loads((CONTRACTS / f"rapids-{version}.json").read_text())
    return {name: parse_signature(text) for name, text in content["signatures"].items()}


def bind(version: str, name: str, *arguments, **keywords) -> dict[str, object]:
    """Return all parameters of a call, defaults filled in; TypeError if the real callable would refuse it."""
    try:
        bound = load_contract(version)[name].bind(*arguments, **keywords)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)
