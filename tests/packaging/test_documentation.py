"""Commands in the documentation exist; commands that exist are documented."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", *DOCS)


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
    code = re.sub(r"import uicgpu as \w+|\\\n", " ", code_of(page), flags=re.MULTILINE)
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


def table_rows(page: Path, heading: str) -> list[list[str]]:
    """Cells of the table whose first heading is ``heading``."""
    after = page.read_text(encoding="utf-8").split(f"| {heading} |", 1)[1]
    rows = after.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_page_is_linked_from_the_readmes(root: Path) -> None:
    for name in ("README.md", "README.zh-CN.md"):
        text = (root / name).read_text(encoding="utf-8")
        pages = [page.relative_to(root).as_posix() for page in (root / "docs").glob("*.md")]
        assert [page for page in pages if f"({page})" not in text] == []


def test_the_architecture_tells_the_stages_as_they_are(root: Path) -> None:
    from uicgpu.pipeline.graph import STAGES

    told = {
        row[0]: (set(row[1].split("; ")[0].split(", ")), set(re.findall(r"`([^`]+)`", row[2])))
        for row in table_rows(root / "docs/architecture.md", "stage")
    }
    real = {
        str(stage.name): ({str(need) for need in stage.needs} or {"event files"}, {str(out) for out in stage.outputs})
        for stage in STAGES
    }
    assert told == real


def test_the_architecture_names_every_room(root: Path) -> None:
    told = {re.findall(r"`([^`]+)`", row[0])[0] for row in table_rows(root / "docs/architecture.md", "room")}
    rooms = {f"uicgpu/{path.parent.name}" for path in (root / "uicgpu").glob("*/__init__.py")}
    assert rooms - {"uicgpu/kernels", "uicgpu/bench"} == {name for name in told if name.count("/") and "." not in name}
