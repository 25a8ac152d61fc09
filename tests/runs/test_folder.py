"""The run folder: nobody sees half a file, two writers never meet, foreign folders are left alone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from uicgpu.errors import InputError, OutOfResourcesError, RunFolderError
from uicgpu.runs.folder import (
    RunFolder,
    atomic_write,
    sha256_file,
    write_array,
    write_json,
    write_parquet,
    write_tensors,
)


def test_a_failed_write_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    write_json(target, {"old": 1})
    with pytest.raises(RuntimeError, match="halfway"), atomic_write(target) as temporary:
        temporary.write_text('{"half":')
        raise RuntimeError("halfway")
    assert json.loads(target.read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_a_full_disk_is_exit_code_5_and_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutOfResourcesError, match=r"table\.json") as caught:
        write_json(tmp_path / "table.json", {})
    assert caught.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "数"]})
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for name in ("one", "two"):
        write_parquet(tmp_path / f"{name}.parquet", frame)
        write_array(tmp_path / f"{name}.npy", array)
        write_tensors(tmp_path / f"{name}.safetensors", {"b": array, "a": array[:, 0]})
    for suffix in ("parquet", "npy", "safetensors"):
        assert sha256_file(tmp_path / f"one.{suffix}") == sha256_file(tmp_path / f"two.{suffix}")
    assert pl.read_parquet(tmp_path / "one.parquet").equals(frame)
    assert np.array_equal(np.load(tmp_path / "one.npy", allow_pickle=False), array)


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "figures.json", {"ndcg": float("nan")})


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty and not a run"):
        RunFolder(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_as_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "file").prepare()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stages": {}}'])
def test_a_damaged_manifest_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunFolderError) as caught:
        RunFolder(tmp_path).load()
    assert "manifest.json" in (caught.value.where or "")
    assert "--fresh" in (caught.value.fix or "")


def test_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"format_version": 99})
    with pytest.raises(RunFolderError, match=r"99.*format 1"):
        RunFolder(tmp_path).load()


def test_artefacts_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="outside"):
        RunFolder(tmp_path / "run").file("../elsewhere.json")


def test_only_one_process_writes_and_leftovers_are_swept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare()
    leftover = folder.path / ".partial-1-items.parquet"
    leftover.write_text("half")
    program = (
        "import sys; from pathlib import Path; from uicgpu.runs.folder import RunFolder\n"
        "folder = RunFolder(Path(sys.argv[1]))\n"
        "with folder.lock(): pass\n"
    )
    with folder.lock():
        assert not leftover.exists()
        other = subprocess.run(
            [sys.executable, "-c", program, str(folder.path)], capture_output=True, text=True, check=False
        )
    assert "RunFolderError" in other.stderr
    assert f"pid {os.getpid()}" in other.stderr
    free = subprocess.run([sys.executable, "-c", program, str(folder.path)], capture_output=True, check=False)
    assert free.returncode == 0
