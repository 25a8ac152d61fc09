"""Help: every command opens with an example that names real options, and loads without torch or a GPU library."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from uicgpu.cli.main import COMMANDS, call, cli


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_help_opens_with_a_runnable_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"uicgpu {name}" in shown.split("Options:")[0].split("Examples:")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_use_options_that_exist(name: str) -> None:
    command = command_of(name)
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    examples = [line for line in (command.help or "").splitlines() if f"uicgpu {name}" in line]
    assert examples
    for example in examples:
        used = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", example.split(f"uicgpu {name}")[1]))
        assert used <= known, example


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    silent = [
        parameter.name
        for parameter in command_of(name).params
        if isinstance(parameter, click.Option)
        and not parameter.help
        and parameter.name not in {"out_file", "out_folder"}
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("import uicgpu", {"torch", "transformers", "polars", "numba", "sklearn", "faiss", "numpy", "cupy", "cudf"}),
        (
            "from uicgpu.cli.main import call; call(['--help'])",
            {"torch", "transformers", "numba", "sklearn", "faiss", "cupy", "cudf"},
        ),
    ],
)
def test_import_and_help_are_light_and_need_no_gpu_library(program: str, heavy: set[str]) -> None:
    listing = f"import sys; {program}; print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_wrong_command_suggests_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["recomend"]) == 2
    assert "Did you mean 'recommend'?" in capsys.readouterr().err


def test_a_wrong_option_suggests_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["run", "--half-live", "3"]) == 2
    assert "--half-life" in capsys.readouterr().err
