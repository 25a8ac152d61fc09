"""The scripts a person types: present, executable, sound, and what CI runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = ("scripts/setup", "scripts/demo", "scripts/test", "scripts/check", ".ci/run")


def all_scripts(root: Path) -> list[Path]:
    return [file for file in sorted((root / "scripts").iterdir()) if file.is_file()] + [root / ".ci" / "run"]


def test_the_promised_scripts_exist(root: Path) -> None:
    assert [name for name in SCRIPTS if not (root / name).is_file()] == []


def test_scripts_are_executable_bash_that_stops_at_errors(root: Path) -> None:
    for file in all_scripts(root):
        text = file.read_text(encoding="utf-8")
        if not text.startswith("#!/usr/bin/env bash\n"):
            assert text.startswith("#!/"), f"{file} has no first line that names its interpreter"
            continue
        assert "\nset -euo pipefail\n" in text, f"{file} goes on after errors"
        assert os.access(file, os.X_OK), f"{file} is not executable"


def test_scripts_parse(root: Path) -> None:
    for file in all_scripts(root):
        if file.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n"):
            subprocess.run(["bash", "-n", str(file)], check=True)


def test_continuous_integration_runs_what_a_person_runs(root: Path) -> None:
    assert (root / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("exec bash scripts/test")


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A project folder with the setup script and a stand-in for the interpreter: nothing is installed."""
    folder = tmp_path / "a project"
    for name in ("scripts/setup", "requirements/cpu.txt", "pyproject.toml", "setup.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    python = folder / "stand-in"
    python.write_text(STAND_IN, encoding="utf-8")
    python.chmod(0o755)
    return folder


STAND_IN = """#!/usr/bin/env bash
# Plays python3.11: notes its arguments, makes .venv/bin/python, fails or dies where told to.
here=$(cd "$(dirname "$0")" && pwd)
[[ $here == */.venv/bin ]] && project=$(dirname "$(dirname "$here")") || project=$here
echo "$*" | head -n 1 >>"$project/calls"
case "$*" in
--version) echo "Python 3.11.0" ;;
"-m venv"*) mkdir -p "$project/.venv/bin" && cp "$0" "$project/.venv/bin/python" ;;
*version.py*) cat "$project/cuda" 2>/dev/null || echo None ;;
*"-m pip install"*"-e "*) [[ ! -f $project/fail ]] || exit 1; [[ ! -f $project/die ]] || kill -9 $PPID ;;
esac
"""


def run_setup(copy: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the copied setup; returns its outcome and the calls that installed or made something."""
    (copy / "calls").unlink(missing_ok=True)
    environment = {**os.environ, "PYTHON": str(copy / "stand-in")}
    done = subprocess.run(
        ["bash", str(copy / "scripts" / "setup")],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    calls = (copy / "calls").read_text(encoding="utf-8").splitlines() if (copy / "calls").exists() else []
    return done, [call for call in calls if call.startswith("-m")]


def test_setup_installs_torch_first_and_alone_then_does_nothing(copy: Path) -> None:
    done, calls = run_setup(copy)
    assert done.returncode == 0, done.stderr
    installs = [call for call in calls if "pip install" in call]
    assert ["torch==2.13.0" in call for call in installs] == [False, True, False, False]
    assert all("--no-deps" in call for call in installs[1:])
    again, calls = run_setup(copy)
    assert (again.returncode, calls, again.stderr) == (0, [], "")


def test_setup_notices_changed_pins(copy: Path) -> None:
    run_setup(copy)
    with (copy / "requirements" / "cpu.txt").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    _, calls = run_setup(copy)
    assert any("pip install" in call for call in calls)
    assert not any("venv" in call.split()[1] for call in calls), "a working environment is kept"


def test_setup_goes_on_after_an_error(copy: Path) -> None:
    (copy / "fail").touch()
    failed, _ = run_setup(copy)
    assert failed.returncode != 0
    (copy / "fail").unlink()
    done, calls = run_setup(copy)
    assert done.returncode == 0
    assert not any(call.startswith("-m venv") for call in calls), "what was installed is kept"


def test_setup_starts_afresh_after_a_kill(copy: Path) -> None:
    (copy / "die").touch()
    killed, _ = run_setup(copy)
    assert killed.returncode != 0
    (copy / "die").unlink()
    done, calls = run_setup(copy)
    assert done.returncode == 0, done.stderr
    assert any(call.startswith("-m venv") for call in calls)


def test_setup_refuses_a_cuda_build_of_torch(copy: Path) -> None:
    (copy / "cuda").write_text("13.0\n", encoding="utf-8")
    done, calls = run_setup(copy)
    assert done.returncode == 1
    assert "CUDA 13.0; a CPU build is needed" in done.stderr
    assert not any("-r " in call for call in calls), "nothing else is installed beside it"
    assert not list((copy / ".venv").glob("uicgpu-setup.done"))
