"""What was stored comes back bit by bit; what was damaged or half-written is computed again, never believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from uicgpu.encode.cache import BLANK, INDEX_SUFFIX, TRUNCATED, VECTORS_SUFFIX, Entries, VectorCache

DIM = 4


def keys_of(*numbers):
    return np.frombuffer(b"".join(number.to_bytes(16, "little") for number in numbers), dtype="V16")


def entries_of(*numbers):
    values = np.array(numbers, dtype=np.float32)[:, None] * np.arange(1, DIM + 1, dtype=np.float32)
    count = len(numbers)
    return Entries(values, np.arange(3, 3 + count, dtype=np.int32), np.full(count, TRUNCATED, np.uint8))


def test_entries_come_back_bit_by_bit(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(5, 1, 9), entries_of(5, 1, 9))
    cache.add(keys_of(2), entries_of(2))
    for known in (cache, VectorCache(tmp_path, "encoder", DIM)):
        found, entries = known.look_up(keys_of(1, 2, 3, 5))
        assert found.tolist() == [True, True, False, True]
        assert np.array_equal(entries.vectors, entries_of(1, 2, 0, 5).vectors)
        assert entries.tokens.tolist() == [4, 3, 0, 3]
        assert entries.flags.tolist() == [TRUNCATED, TRUNCATED, 0, TRUNCATED]
        assert (len(known), known.damaged) == (4, 0)


def test_keys_that_end_in_zero_bytes_are_told_apart(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(1), entries_of(1))
    assert not cache.look_up(keys_of(0, 256 + 1, 2**120 + 1))[0].any()
    cache.add(keys_of(0), entries_of(7))
    assert cache.look_up(keys_of(0, 1))[1].vectors[:, 0].tolist() == [7, 1]


def test_an_empty_cache_and_empty_questions(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    assert not cache.look_up(keys_of(1))[0].any()
    cache.add(keys_of(), entries_of())
    assert not cache.folder.exists()
    cache.add(keys_of(1), entries_of(1))
    assert cache.look_up(keys_of())[0].shape == (0,)


def test_encoders_never_mix(tmp_path):
    VectorCache(tmp_path, "one", DIM).add(keys_of(1), entries_of(1))
    assert not VectorCache(tmp_path, "two", DIM).look_up(keys_of(1))[0].any()


def test_a_cache_of_another_dimension_is_ignored(tmp_path):
    VectorCache(tmp_path, "encoder", DIM).add(keys_of(1), entries_of(1))
    other = VectorCache(tmp_path, "encoder", DIM + 1)
    assert not other.look_up(keys_of(1))[0].any()
    assert other.damaged == 1


@pytest.mark.parametrize("suffix", [INDEX_SUFFIX, VECTORS_SUFFIX])
@pytest.mark.parametrize("position", [0, 8, 100, 140, -1, -20])
def test_a_flipped_byte_is_never_believed_and_can_be_mended(suffix, position, tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(1, 2), entries_of(1, 2))
    path = next(cache.folder.glob(f"*{suffix}"))
    content = bytearray(path.read_bytes())
    content[position] ^= 0x55
    path.write_bytes(content)
    damaged = VectorCache(tmp_path, "encoder", DIM)
    found, entries = damaged.look_up(keys_of(1, 2))
    for row in np.flatnonzero(found):
        assert np.array_equal(entries.vectors[row], entries_of(1, 2).vectors[row])
    missing = np.flatnonzero(~found)
    mended = entries_of(1, 2)
    if len(missing):  # a byte of padding inside a header may change nothing
        damaged.add(
            keys_of(1, 2)[missing],
            Entries(mended.vectors[missing], mended.tokens[missing], mended.flags[missing]),
        )
    for known in (damaged, VectorCache(tmp_path, "encoder", DIM)):
        found, entries = known.look_up(keys_of(1, 2))
        assert found.all()
        assert np.array_equal(entries.vectors, mended.vectors)


def test_damage_in_data_bytes_is_noticed(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(1, 2), entries_of(1, 2))
    path = next(cache.folder.glob(f"*{VECTORS_SUFFIX}"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    damaged = VectorCache(tmp_path, "encoder", DIM)
    assert damaged.look_up(keys_of(1, 2))[0].tolist() == [True, False]
    assert damaged.damaged == 1


@pytest.mark.parametrize("keep", [0, 50, 130])
def test_truncated_files_are_ignored(keep, tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(1), entries_of(1))
    for path in cache.folder.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:keep])
    assert not VectorCache(tmp_path, "encoder", DIM).look_up(keys_of(1))[0].any()


def test_a_pickle_in_the_cache_is_not_opened(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(1), entries_of(1))
    path = next(cache.folder.glob(f"*{INDEX_SUFFIX}"))
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert VectorCache(tmp_path, "encoder", DIM).damaged == 1


def test_a_shard_without_index_does_not_exist(tmp_path):
    cache = VectorCache(tmp_path, "encoder", DIM)
    cache.add(keys_of(1), entries_of(1))
    cache.add(keys_of(2), entries_of(2))
    sorted(cache.folder.glob(f"*{INDEX_SUFFIX}"))[-1].unlink()
    assert VectorCache(tmp_path, "encoder", DIM).look_up(keys_of(1, 2))[0].tolist() == [True, False]


def test_two_processes_may_write_at_the_same_time(tmp_path):
    first, second = VectorCache(tmp_path, "encoder", DIM), VectorCache(tmp_path, "encoder", DIM)
    first.add(keys_of(1), entries_of(1))
    second.add(keys_of(2), entries_of(2))
    second.add(keys_of(1), entries_of(1))
    assert VectorCache(tmp_path, "encoder", DIM).look_up(keys_of(1, 2))[0].all()


WRITER = """
import sys
import numpy as np
from uicgpu.encode.cache import Entries, VectorCache
cache = VectorCache(sys.argv[1], "encoder", 64)
print("ready", flush=True)
for shard in range(len(cache), 10**6):
    keys = np.frombuffer(shard.to_bytes(16, "little"), dtype="V16")
    vectors = np.full((1, 64), shard, dtype=np.float32)
    cache.add(keys, Entries(vectors, np.ones(1, np.int32), np.zeros(1, np.uint8)))
"""


def test_kills_lose_at_most_the_shard_in_work(tmp_path):
    known = 0
    for round_number in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.05 + 0.037 * round_number)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        cache = VectorCache(tmp_path, "encoder", 64)
        found, entries = cache.look_up(keys_of(*range(len(cache))))
        assert found.all()
        assert np.array_equal(entries.vectors[:, 0], np.arange(len(cache)))
        assert cache.damaged == 0
        assert len(cache) >= known
        known = len(cache)
    assert known > 0


def test_flags_are_single_bits():
    assert (TRUNCATED | BLANK) & 2 == 0


def test_many_small_shards_become_few_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("uicgpu.encode.cache.MANY_SHARDS", 6)
    cache = VectorCache(tmp_path, "encoder", DIM)
    for number in range(1, 8):
        cache.add(keys_of(number, number + 100), entries_of(number, number + 100))
    other = VectorCache(tmp_path, "encoder", DIM)  # merges
    assert len(list(cache.folder.glob(f"*{INDEX_SUFFIX}"))) == len(list(cache.folder.glob(f"*{VECTORS_SUFFIX}"))) == 1
    wanted = [*range(1, 8), *range(101, 108)]
    for known in (other, VectorCache(tmp_path, "encoder", DIM)):
        found, entries = known.look_up(keys_of(*wanted))
        assert found.all()
        assert np.array_equal(entries.vectors, entries_of(*wanted).vectors)
        assert (len(known), known.damaged) == (14, 0)
    found, _ = cache.look_up(keys_of(*wanted))  # opened before the merge: its files are gone
    assert not found.any()
    assert cache.damaged == 0


def test_merging_leaves_damage_behind_and_survives_a_read_only_disk(tmp_path, monkeypatch):
    cache = VectorCache(tmp_path, "encoder", DIM)
    for number in range(1, 8):
        cache.add(keys_of(number), entries_of(number))
    path = sorted(cache.folder.glob(f"*{VECTORS_SUFFIX}"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    monkeypatch.setattr("uicgpu.encode.cache.MANY_SHARDS", 6)

    def read_only(path, content):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as context:
        context.setattr("uicgpu.encode.cache.write_atomically", read_only)
        assert VectorCache(tmp_path, "encoder", DIM).look_up(keys_of(7))[0].all()
    merged = VectorCache(tmp_path, "encoder", DIM)
    assert merged.look_up(keys_of(*range(1, 8)))[0].tolist() == [False] + [True] * 6
