"""Exit codes and errors: what was read, where, what to type; never a traceback, never a half-written run."""

from __future__ import annotations

from pathlib import Path

import pytest

from uicgpu.cli.main import call


def run_with(tmp_path: Path, *extra: str) -> tuple[int, Path]:
    out = tmp_path / "run"
    return int(call(["run", "--out", str(out), "--quiet", *extra])), out


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"user_id,item_id\n", ""),
        ("one_column.csv", b"user_id item_id\n1 2\n", ""),
        ("broken.parquet", b"PAR1 not really PAR1", ""),
        ("broken.jsonl", b"not json\nstill not\n", ""),
        ("no_items.csv", b"user_id,colour\n1,red\n", "item"),
        ("nothing_left.csv", b"user_id,item_id\n,1\n2,\n", ""),
    ],
)
def test_bad_events_are_exit_code_3_and_name_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    code, out = run_with(tmp_path, "--events", str(path))
    shown = capsys.readouterr().err
    assert code == 3, shown
    assert "Traceback" not in shown
    assert told in shown
    assert name in shown
    assert not (out / "interactions.parquet").exists()


def test_a_missing_file_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run_with(tmp_path, "--events", str(tmp_path / "nowhere.csv"))
    assert code == 3
    assert "nowhere.csv" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_column_is_an_error_with_the_nearest_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,rating\n1,2,3\n")
    code, _ = run_with(tmp_path, "--events", str(path), "--value-column", "ratings")
    shown = capsys.readouterr().err
    assert code in {2, 3}
    assert "'rating'" in shown or "rating" in shown.replace("ratings", "")


def test_a_gpu_that_is_not_there_is_exit_code_4_with_the_install_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id\n1,2\n")
    code, out = run_with(tmp_path, "--events", str(path), "--device", "cuda")
    assert code == 4
    assert "pip install" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--out", "x"],
        ["run", "--events", "a.csv"],
        ["run", "--events", "a.csv", "--out", "x", "-k", "many"],
        ["run", "--events", "a.csv", "--out", "x", "--kind-weights", "view"],
        ["encode", "--out", "x.npy"],
        ["encode", "--items", "a.csv", "--out", "x.txt"],
        ["assign", "run", "--out", "x.csv"],
        ["recommend", "run", "--top", "0"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert call(arguments) == 2


@pytest.mark.parametrize("command", ["report", "recommend"])
def test_a_folder_that_is_no_run_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert call([command, str(tmp_path)]) == 3
    assert "not a run folder" in capsys.readouterr().err


def test_vectors_that_are_no_numbers_are_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    flat, holes = tmp_path / "flat.npy", tmp_path / "holes.npy"
    np.save(flat, np.zeros(5, np.float32))
    np.save(holes, np.array([[0, 1], [np.nan, 1]], np.float32))
    for path, told in ((flat, "shape (5,)"), (holes, "row 1"), (tmp_path / "none.npy", "no such file")):
        assert call(["cluster", str(path), "--out", str(tmp_path / "out")]) == 3
        assert told in capsys.readouterr().err


def test_a_bug_is_exit_code_1_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import uicgpu.pipeline.finished

    def broken(*_: object, **__: object) -> Path:
        raise KeyError("surprise")

    monkeypatch.setattr(uicgpu.pipeline.finished, "rebuild_report", broken)
    assert call(["report", str(tmp_path)]) == 1
    shown = capsys.readouterr().err
    assert "unexpected KeyError: 'surprise'" in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("UICGPU_DEBUG", "1")
    with pytest.raises(KeyError):
        call(["report", str(tmp_path)])
