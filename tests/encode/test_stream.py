"""Vectors of more texts than memory holds: the same values, nothing lost but a window, nothing half-written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from uicgpu.encode import Encoder
from uicgpu.encode import windows as windows_module
from uicgpu.errors import InputError, OutOfResourcesError, SettingsError

COLOURS, THINGS = ("red", "blue", "green"), ("bike", "boat", "chair", "hat", "book")


def text_of(number: int) -> str:
    words = [COLOURS[number % 3], THINGS[number // 3 % 5]]
    while number:
        number, digit = divmod(number, 7)
        words.append(("lamp", "table", "phone", "shoe", "hat", "book", "boat")[digit])
    return " ".join(words)


TEXTS = [text_of(number) for number in range(120)]


@pytest.fixture
def make(toy_folder):
    return lambda **options: Encoder(toy_folder, device="cpu", threads=1, guard=False, **options)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 16)


def test_the_file_holds_what_encode_gives(make, tmp_path, small_windows):
    texts = [*TEXTS, "", None, TEXTS[3]]
    expected = make().encode(texts)
    encoder = make()
    assert encoder.encode_to(tmp_path / "v.npy", iter(texts)) == len(texts)
    vectors = np.load(tmp_path / "v.npy", mmap_mode="r", allow_pickle=False)
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == expected.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"], "the shards are gone"


def test_facts_are_those_of_encode_although_texts_come_again_in_later_windows(make, tmp_path, small_windows):
    texts = TEXTS * 2
    streamed, whole = make(), make()
    streamed.encode_to(tmp_path / "v.npy", texts)
    whole.encode(texts)
    assert streamed.facts == whole.facts
    assert streamed.work["tokens"] == whole.work["tokens"], "a text that comes again is not encoded again"


def test_half_precision_halves_the_file_and_keeps_the_direction(make, tmp_path):
    expected = make().encode(TEXTS)
    make().encode_to(tmp_path / "v.npy", TEXTS, dtype="float16")
    half = np.load(tmp_path / "v.npy", allow_pickle=False)
    assert half.dtype == np.float16
    vectors = half.astype(np.float64)
    assert ((vectors * expected).sum(1) / np.linalg.norm(vectors, axis=1)).min() > 0.99999


def test_the_same_file_again_and_one_text_alone(make, tmp_path):
    encoder = make()
    for _ in range(2):
        encoder.encode_to(tmp_path / "v.npy", TEXTS)
    assert np.array_equal(np.load(tmp_path / "v.npy", allow_pickle=False), make().encode(TEXTS))
    assert encoder.encode_to(tmp_path / "v.npy", "red bike") == 1


@pytest.mark.parametrize("texts", [[], iter(())])
def test_no_texts(texts, make, tmp_path):
    assert make().encode_to(tmp_path / "v.npy", texts) == 0
    assert np.load(tmp_path / "v.npy", allow_pickle=False).shape == (0, 32)


def test_a_wrong_text_is_named_by_its_row_and_leaves_no_file(make, tmp_path, small_windows):
    with pytest.raises(InputError) as caught:
        make().encode_to(tmp_path / "v.npy", [*TEXTS[:40], 7])
    assert "position 40" in (caught.value.where or "")
    assert not (tmp_path / "v.npy").exists()


def test_an_unknown_format_is_refused(make, tmp_path):
    with pytest.raises(SettingsError, match="int8"):
        make().encode_to(tmp_path / "v.npy", TEXTS, dtype="int8")


def test_a_rerun_with_a_few_new_texts_encodes_only_those(make, tmp_path, small_windows):
    first = make(cache=tmp_path / "cache")
    first.encode_to(tmp_path / "a.npy", TEXTS)
    second = make(cache=tmp_path / "cache")
    second.encode_to(tmp_path / "b.npy", ["shoe shoe shoe shoe", *TEXTS])
    assert second.facts["cache_hits"] == second.facts["distinct"] - 1
    assert second.work["tokens"] == 6
    old, new = (np.load(tmp_path / name, allow_pickle=False) for name in ("a.npy", "b.npy"))
    assert new[1:].tobytes() == old.tobytes()


def test_progress_counts_every_text_once(make, tmp_path, small_windows):
    told = []
    make().encode_to(tmp_path / "v.npy", [*TEXTS, TEXTS[0]], told.append)
    assert sum(told) == len(TEXTS) + 1


def test_a_full_disk_is_exit_code_5_and_keeps_the_former_file(make, tmp_path, monkeypatch):
    make().encode_to(tmp_path / "v.npy", TEXTS[:5])
    before = (tmp_path / "v.npy").read_bytes()

    def full(self, vectors):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("uicgpu.encode.vector_file.VectorFile.append", full)
    with pytest.raises(OutOfResourcesError, match="no space left"):
        make().encode_to(tmp_path / "v.npy", TEXTS)
    assert (tmp_path / "v.npy").read_bytes() == before
    assert not list(tmp_path.glob(".partial*"))


def test_shards_that_cannot_be_written_are_said_and_the_vectors_still_come(make, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("uicgpu.encode.cache.write_atomically", full)
    encoder = make()
    encoder.encode_to(tmp_path / "v.npy", TEXTS)
    assert "cannot be written" in encoder.work["warnings"][0]
    assert np.load(tmp_path / "v.npy", allow_pickle=False).any(axis=1).all()


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[3])
from uicgpu.encode import Encoder, windows
from test_stream import text_of
windows.WINDOW_TEXTS = int(sys.argv[5])
encoder = Encoder(sys.argv[1], device="cpu", threads=1, guard=False)
count = int(sys.argv[4])
def finished(rows):
    print(rows, flush=True)
encoder.encode_to(sys.argv[2], map(text_of, range(count)), finished)
print("hits", encoder.facts["cache_hits"], flush=True)
"""


def run_program(folder: Path, out: Path, count: int, window: int) -> subprocess.Popen:
    arguments = [str(folder), str(out), str(Path(__file__).parent), str(count), str(window)]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_kill_loses_one_window_at_most_and_never_leaves_half_a_file(toy_folder, make, tmp_path):
    out, window, count = tmp_path / "v.npy", 64, 1024
    process = run_program(toy_folder, out, count, window)
    finished = 0
    while finished < 4 * window:
        finished += int(process.stdout.readline())
    time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    finished += sum(int(line) for line in process.stdout.read().split() if line.isdigit())
    process.wait()
    assert not out.exists()
    assert finished < count, "killed in the middle"
    again = run_program(toy_folder, out, count, window)
    hits = int(again.communicate()[0].split()[-1])
    assert hits >= finished - 2 * window  # the window in work, and the lines that were printed of it
    expected = make().encode([text_of(number) for number in range(count)])
    assert np.load(out, allow_pickle=False).tobytes() == expected.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.npy"], "neither shards nor the killed file are left"


MEMORY = """
import sys
sys.path.insert(0, sys.argv[3])
from uicgpu.encode import Encoder, windows
from test_stream import text_of
windows.WINDOW_TEXTS = 2048
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
encoder = Encoder(sys.argv[1], device="cpu", threads=1, guard=False)
count, done, seen = int(sys.argv[4]), 0, {}
def finished(rows):
    global done
    done += rows
    seen[done * 20 // count] = resident()
encoder.encode_to(sys.argv[2], map(text_of, range(count)), finished)
print(seen[2], max(seen.values()))
"""


def memory_over(folder: Path, out: Path, count: int) -> tuple[float, float]:
    """Resident memory, MiB, after a tenth of the texts, and the largest until the end."""
    arguments = [sys.executable, "-c", MEMORY, str(folder), str(out), str(Path(__file__).parent), str(count)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    early, largest = map(float, done.stdout.split())
    return early, largest


def test_memory_stays_flat(toy_folder, tmp_path):
    early, largest = memory_over(toy_folder, tmp_path / "v.npy", 16_000)
    assert largest < 1.1 * early


@pytest.mark.slow
def test_memory_stays_flat_over_a_million_texts(toy_folder, tmp_path):
    early, largest = memory_over(toy_folder, tmp_path / "v.npy", 1_000_000)
    assert largest < 1.1 * early
    assert np.load(tmp_path / "v.npy", mmap_mode="r", allow_pickle=False).shape == (1_000_000, 32)
