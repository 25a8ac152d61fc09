"""A limit drops the oldest shards, of all encoders, and never leaves anything that could be believed wrongly."""

from __future__ import annotations

import os

import numpy as np
import pytest

from uicgpu.encode import Encoder
from uicgpu.encode.cache import INDEX_SUFFIX, VECTORS_SUFFIX, Entries, VectorCache
from uicgpu.encode.cache_limit import ABANDONED_SECONDS
from uicgpu.errors import SettingsError

DIM = 64
ROWS = 10


def fill(cache, number):
    """Add a shard of ten texts that was written ``number`` seconds after the epoch."""
    keys = np.frombuffer(b"".join((number * ROWS + row).to_bytes(16, "little") for row in range(ROWS)), dtype="V16")
    known = set(cache.folder.glob("*.npy"))
    vectors = np.full((ROWS, DIM), number, dtype=np.float32)
    cache.add(keys, Entries(vectors, np.ones(ROWS, np.int32), np.zeros(ROWS, np.uint8)))
    for path in set(cache.folder.glob("*.npy")) - known:
        os.utime(path, (number, number))
    return keys


def size_of(folder):
    return sum(path.stat().st_size for path in folder.glob("*/*.npy"))


def test_the_oldest_shards_go_first_whichever_encoders_they_are(tmp_path):
    one, other = VectorCache(tmp_path, "one", DIM), VectorCache(tmp_path, "other", DIM)
    keys = [fill(one, 1), fill(other, 2), fill(one, 3), fill(other, 4)]
    half = size_of(tmp_path) // 2
    again = VectorCache(tmp_path, "one", DIM, limit=half)
    assert size_of(tmp_path) == half
    assert (len(again), len(VectorCache(tmp_path, "other", DIM))) == (ROWS, ROWS)
    assert not again.look_up(keys[0])[0].any()
    assert again.look_up(keys[2])[0].all()
    assert not other.look_up(keys[1])[0].any(), "opened before: its file is gone, which is no damage"
    assert other.look_up(keys[3])[0].all()
    assert other.damaged == 0


def test_the_limit_holds_while_shards_are_added_and_zero_keeps_nothing(tmp_path):
    fill(VectorCache(tmp_path, "encoder", DIM), 1)
    one = size_of(tmp_path)
    cache = VectorCache(tmp_path, "encoder", DIM, limit=2 * one)
    for number in range(2, 7):
        fill(cache, number)
        assert size_of(tmp_path) <= 2 * one
    assert len(cache) == 2 * ROWS
    assert len(VectorCache(tmp_path, "encoder", DIM, limit=0)) == 0
    assert size_of(tmp_path) == 0


def test_vectors_without_index_are_left_to_their_writer_until_they_are_old(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    fill(cache, 1)
    next(cache.folder.glob(f"*{INDEX_SUFFIX}")).unlink()
    orphan = next(cache.folder.glob(f"*{VECTORS_SUFFIX}"))
    os.utime(orphan)
    VectorCache(tmp_path, "encoder", DIM, limit=0)
    assert orphan.exists()
    old = orphan.stat().st_mtime - ABANDONED_SECONDS - 1
    os.utime(orphan, (old, old))
    VectorCache(tmp_path, "encoder", DIM, limit=0)
    assert not orphan.exists()


def test_a_disk_that_cannot_be_changed_keeps_its_shards(tmp_path, monkeypatch):
    keys = fill(VectorCache(tmp_path, "encoder", DIM), 1)

    def refuse(self, missing_ok=False):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as context:
        context.setattr("pathlib.Path.unlink", refuse)
        assert VectorCache(tmp_path, "encoder", DIM, limit=0).look_up(keys)[0].all()


def test_an_encoder_keeps_the_limit_and_gives_the_same_vectors(toy_folder, tmp_path):
    texts = [f"red {word}" for word in ("bike", "boat", "lamp")]
    expected = Encoder(toy_folder, device="cpu", threads=1).encode(texts)
    limited = Encoder(toy_folder, device="cpu", threads=1, cache=tmp_path / "c", cache_limit=100)
    for _ in range(2):
        assert np.array_equal(limited.encode(texts), expected)
    assert size_of(tmp_path / "c") <= 100
    with pytest.raises(SettingsError, match="cache_limit"):
        Encoder(toy_folder, cache_limit=-1)


def test_shards_of_unfinished_work_have_no_limit(toy_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("uicgpu.encode.cache.drop_oldest", lambda *_: pytest.fail("unfinished work was dropped"))
    encoder = Encoder(toy_folder, device="cpu", threads=1, cache_limit=0)
    encoder.encode_to(tmp_path / "v.npy", ["red bike", "blue boat"])
    assert np.load(tmp_path / "v.npy").any(axis=1).all()
