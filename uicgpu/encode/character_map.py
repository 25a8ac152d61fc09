"""Packs a table of character replacements into the form that SentencePiece and ``normalizers.Precompiled`` read.

The form: uint32 bytes of a double array, the array (uint32 units of the darts-clone layout, keys are UTF-8 bytes), then
the replacements as UTF-8, each ended by a zero byte; the array's values are their offsets.
"""

from __future__ import annotations

import struct
from typing import Any

from uicgpu.errors import InputError

SEARCHED_UNITS = 1024
"""Free places of the double array are looked for among its last units only: a little larger, much faster to build."""


def character_map(replacements: dict[int, str]) -> bytes:
    """Pack replacements.

    Parameters
    ----------
    replacements
        Code point -> what stands for it; "" deletes it. Code point 0 and surrogates cannot be keys and are left out.

    Returns
    -------
    bytes
        The argument of ``tokenizers.normalizers.Precompiled``.
    """
    texts = bytearray()
    root: dict[int, Any] = {}
    for code in sorted(replacements):
        if code == 0 or 0xD800 <= code < 0xE000:
            continue  # neither can occur in a key
        node = root
        for byte in chr(code).encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)
        texts += replacements[code].encode() + b"\0"
    units = _double_array(root)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(texts)


def _double_array(root: dict[int, Any]) -> list[int]:
    """Lay a trie out as a double array: the child of node p by byte c is at ``p ^ offset(unit[p]) ^ c``."""
    units = [0] * 256
    taken = bytearray(256)
    taken[0] = 1
    bases: set[int] = set()
    waiting: list[tuple[int, dict[int, Any]]] = [(0, root)]
    lowest = 1
    while waiting:
        position, node = waiting.pop()
        base = max(lowest, len(units) - SEARCHED_UNITS)
        while base in bases or any((base ^ byte) < len(taken) and taken[base ^ byte] for byte in node):
            base += 1
        needed = (base | 0xFF) + 1
        if needed > len(units):
            units += [0] * (needed - len(units))
            taken += bytes(needed - len(taken))
        bases.add(base)
        offset = base ^ position
        if offset >= 1 << 21:
            raise InputError("the table of replacements is too large")
        units[position] |= offset << 10 | (1 << 8 if 0 in node else 0)
        for byte, child in node.items():
            place = base ^ byte
            taken[place] = 1
            if byte == 0:
                units[place] = 1 << 31 | child
            else:
                units[place] = byte
                waiting.append((place, child))
        while lowest < len(taken) and taken[lowest]:
            lowest += 1
    return units
