"""What does the data map of a written page tell? The points back out of ``report.html``, as readers can take them."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DOCUMENT: Final = re.compile(r'<script type="application/json" id="map-document">(.*?)</script>', re.DOTALL)
_COLUMNS: Final = ("x", "y", "cluster")


def published_points(page: str) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
    """Return float32 [points, 2] places and int32 [points] clusters; None for a page without a map."""
    found = _DOCUMENT.search(page)
    if found is None:
        return None
    for columns in _sources(json.loads(found[1])):
        if all(name in columns for name in _COLUMNS):
            x, y, cluster = (_array(columns[name]) for name in _COLUMNS)
            return np.column_stack([x, y]).astype(np.float32), cluster.astype(np.int32)
    return None


def _sources(value: Any) -> Iterator[dict[str, Any]]:
    """Columns of every data source of a Bokeh document."""
    if isinstance(value, dict):
        if value.get("name") == "ColumnDataSource":
            yield dict(value["attributes"]["data"]["entries"])
        for entry in value.values():
            yield from _sources(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _sources(entry)


def _array(told: dict[str, Any]) -> NDArray[Any]:
    packed = base64.b64decode(told["array"]["data"])
    raw = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    order = "<" if told["order"] == "little" else ">"
    return np.frombuffer(raw, np.dtype(told["dtype"]).newbyteorder(order))
