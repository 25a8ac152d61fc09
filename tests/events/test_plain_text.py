import gzip

import pytest
import zstandard

from uicgpu.errors import InputError
from uicgpu.events import plain_text as module
from uicgpu.events.plain_text import plain_text

TABLE = "user_id,item_id\nü,1\n"


def read(path, tmp_path):
    plain = plain_text(path, path.name, tmp_path / "copy.txt")
    return plain, plain.path.read_text(encoding="utf-8-sig")


def test_a_plain_file_is_used_in_place(write, tmp_path):
    path = write(TABLE)
    plain, text = read(path, tmp_path)
    assert (plain.path, plain.copied, text) == (path, False, TABLE)
    assert plain.delimiters == {",": 2, "\t": 0, ";": 0, "|": 0}


def test_a_byte_order_mark_does_not_need_a_copy(write, tmp_path):
    plain, text = read(write(b"\xef\xbb\xbf" + TABLE.encode()), tmp_path)
    assert not plain.copied
    assert text == TABLE


@pytest.mark.parametrize(
    ("encode", "name"),
    [
        (lambda text: text.encode("utf-16"), "utf16.csv"),
        (lambda text: text.encode("utf-16-le"), "utf16-without-mark.csv"),
        (lambda text: text.encode("utf-16-be"), "utf16-be.csv"),
        (lambda text: text.encode("utf-32"), "utf32.csv"),
        (lambda text: text.replace("1", "\x001\x00").encode(), "nul.csv"),
        (lambda text: text.replace("\n", "\r").encode(), "old-mac.csv"),
        (lambda text: gzip.compress(text.encode()), "packed.csv.gz"),
        (lambda text: gzip.compress(text.encode()), "packed-without-suffix.csv"),
        (lambda text: zstandard.compress(text.encode()), "packed.csv.zst"),
        (lambda text: zstandard.compress(text[:9].encode()) + zstandard.compress(text[9:].encode()), "frames.csv.zst"),
    ],
)
def test_other_forms_become_a_plain_copy(encode, name, write, tmp_path):
    plain, text = read(write(encode(TABLE), name), tmp_path)
    assert plain.copied
    assert text == TABLE


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.csv", "the file is empty"),
        (gzip.compress(b"", mtime=0), "a.csv.gz", "empty once decompressed"),
        (gzip.compress(TABLE.encode() * 99, mtime=0)[:40], "a.csv.gz", "damaged or cut off"),
        (zstandard.compress(TABLE.encode())[:-4], "a.csv.zst", "cut off"),
        (b"\x28\xb5\x2f\xfdnonsense", "a.csv.zst", "damaged"),
        (b"PAR1xxxx", "a.csv", "a Parquet file, not a text table"),
        (b"PK\x03\x04xxxx", "a.csv", "Excel workbook"),
    ],
)
def test_what_is_no_text_is_refused_by_name(content, name, message, write, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        read(write(content, name), tmp_path)
    assert caught.value.where == name


def test_bytes_that_are_not_utf8_are_located(write, tmp_path):
    with pytest.raises(InputError) as caught:
        read(write(b"a,b\n1,2\n3,caf" + b"\xe9\n"), tmp_path)
    assert "byte 0xe9 at position 13" in caught.value.message
    assert caught.value.where == "events.csv, line 3"
    assert "iconv" in caught.value.fix


def test_the_position_holds_across_chunks(write, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 5)
    content = "a,b\nüü,2\n".encode() + b"\xff"
    with pytest.raises(InputError, match=f"position {len(content) - 1}"):
        read(write(content), tmp_path)
    with pytest.raises(InputError, match="position 4"):
        read(write(b"a,b\n\xc3"), tmp_path)


def test_a_decompression_bomb_is_stopped(write, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BOMB_BYTES", 100_000)
    with pytest.raises(InputError, match="500 times"):
        read(write(gzip.compress(b"a,b\n" + b"0" * 3_000_000), "bomb.csv.gz"), tmp_path)
