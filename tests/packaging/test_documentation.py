"""Commands in the documentation exist; commands that exist are documented."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

PAGES = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md")


def code_of(page: Path) -> str:
    """Fenced blocks and inline code of a page."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join(fenced + inline)


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, root: Path) -> Path:
    file = root / str(request.param)
    if not file.is_file():
        pytest.skip(f"{request.param} does not exist yet")
    return file


@pytest.fixture(scope="session")
def commands() -> dict[str, set[str]]:
    """Options of each command of ``uicgpu``."""
    group = pytest.importorskip("uicgpu.cli.main", reason="the command line is not there").cli
    context = click.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found[name] = {flag for entry in command.params for flag in (*entry.opts, *entry.secondary_opts)}
        found[name] |= {"-h", "--help"}
    return found


def test_commands_in_the_page_exist(page: Path, commands: dict[str, set[str]]) -> None:
    wrong = []
    code = re.sub(r"^import uicgpu as \w+$|\\\n", " ", code_of(page), flags=re.MULTILINE)
    for name, rest in re.findall(r"(?:^|[\s/$])uicgpu ([a-z][a-z-]*)([^\n|#>]*)", code, flags=re.MULTILINE):
        if name not in commands:
            wrong.append(f"uicgpu {name}")
            continue
        flags = re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", rest)
        wrong += [f"uicgpu {name} {flag}" for flag in flags if flag not in commands[name]]
    assert wrong == []


def test_files_in_the_page_exist(page: Path, root: Path) -> None:
    code = code_of(page)
    named = re.findall(r"(?<![\w./-])((?:scripts|docs|requirements|uicgpu|tests|kernels|bench)/[\w./-]+)", code)
    # A path with a placeholder, such as uicgpu/recommend/<arm>.py, stops before it and is no file.
    named = [name.rstrip(".") for name in named if not re.search(re.escape(name) + r"[<*]", code)]
    assert [name for name in named if not (root / name).exists()] == []


def test_every_command_is_in_the_readme(root: Path, commands: dict[str, set[str]]) -> None:
    readme = root / "README.md"
    if not readme.is_file():
        pytest.skip("README.md does not exist yet")
    text = readme.read_text(encoding="utf-8")
    assert [name for name in commands if f"uicgpu {name}" not in text and f"`{name}`" not in text] == []


def test_readme_is_short(root: Path) -> None:
    readme = root / "README.md"
    if not readme.is_file():
        pytest.skip("README.md does not exist yet")
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 150


def test_readmes_have_the_same_commands(root: Path) -> None:
    pages = [root / "README.md", root / "README.zh-CN.md"]
    if not all(page.is_file() for page in pages):
        pytest.skip("the two READMEs do not exist yet")
    shell = [re.findall(r"^```(?:bash|sh)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S) for page in pages]
    lines = [[line.split("#")[0].strip() for line in "".join(blocks).splitlines()] for blocks in shell]
    assert lines[0] == lines[1]


def test_changelog_names_the_version(root: Path) -> None:
    from uicgpu.version import __version__

    assert f"## [{__version__}]" in (root / "CHANGELOG.md").read_text(encoding="utf-8")
