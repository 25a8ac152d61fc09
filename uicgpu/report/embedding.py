"""How do scripts and data get into the page safely? Escaped JSON, and a policy that names our scripts by hash."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from uicgpu.errors import UicError

_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def embed_json(value: Any) -> Markup:
    """JSON that can stand in a ``<script type="application/json">`` element: no tag can end it.

    >>> str(embed_json({"a": "</script>"}))
    '{"a":"\\\\u003c/script\\\\u003e"}'
    """
    # Keys keep their order: a Bokeh document defines an object before it refers to it.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Half of a surrogate pair, as broken exports have it, is no character and cannot be written as UTF-8.
    return Markup(text.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8"))  # noqa: S704


def script(source: str, name: str) -> Markup:
    """A script of ours, to stand in a ``<script>`` element as it is (its hash is taken over these bytes).

    Raises
    ------
    UicError
        If the source would end its element or be changed by an HTML parser.
    """
    lowered = source.lower()
    if "</script" in lowered or "<!--" in lowered or "\r" in source or "\0" in source:
        raise UicError(f"script {name} cannot stand in a page", fix="write '<\\/script' and '\\n' in it")
    return Markup(source)  # noqa: S704


def content_policy(scripts: Sequence[str]) -> str:
    """Content security policy: these scripts and nothing else, no network, no frames, no forms."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def bokeh_source() -> str:
    """The core of BokehJS, minified, without widgets, tables and WebGL.

    WebGL would need a policy that allows code made from strings; 50,000 points draw well without it.
    """
    import bokeh

    path = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
    source = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    return "\n".join(line for line in source.split("\n") if not line.startswith("//# sourceMappingURL"))
