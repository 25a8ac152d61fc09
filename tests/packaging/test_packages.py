"""What gets installed, and that the top-level folders stay out of other packages' way."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest


def python_folders(sources: list[Path], root: Path) -> set[str]:
    folders = {file.parent.relative_to(root) for file in sources}
    names = {".".join(folder.parts) for folder in folders}
    return {name if name.startswith("uicgpu") else f"uicgpu.{name}" for name in names}


def test_every_folder_is_a_package(sources: list[Path]) -> None:
    """Without ``__init__.py`` a folder is neither installed nor seen by the import rules."""
    assert sorted({str(file.parent) for file in sources if not (file.parent / "__init__.py").is_file()}) == []


def test_setup_lists_every_package_once(sources: list[Path], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    monkeypatch.chdir(root)
    monkeypatch.setattr("setuptools.setup", lambda packages: listed.extend(packages))
    exec(compile((root / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec"), {"__name__": "__main__"})
    assert sorted(listed) == sorted(python_folders(sources, root))


def test_links_point_to_the_folders(root: Path) -> None:
    for name in ("kernels", "bench"):
        link = root / "uicgpu" / name
        assert link.is_symlink() and link.readlink() == Path("..") / name


def test_package_data_exists(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    for package, patterns in settings["package-data"].items():
        folder = root.joinpath(*package.split("."))
        assert [pattern for pattern in patterns if not list(folder.glob(pattern))] == [], package


def test_every_data_file_is_package_data(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packed = {
        file.resolve()  # uicgpu/kernels is a link
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for file in root.joinpath(*package.split(".")).glob(pattern)
    }
    data = {
        file
        for folder in ("uicgpu", "kernels", "bench")
        for file in (root / folder).rglob("*")
        if file.is_file()
        and file.suffix not in {".py", ".pyc"}
        and "__pycache__" not in file.parts
        and "results" not in file.parts  # measurements stay in the repository
        and not file.name.startswith(".")
    }
    links = {root / "uicgpu" / "kernels", root / "uicgpu" / "bench"}
    assert {file for file in data if not links & set(file.parents)} - packed == set()


def test_folder_called_kernels_does_not_pass_for_the_package_of_that_name(root: Path) -> None:
    """transformers looks for a package ``kernels``; started in the project folder it must not take ours for it."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    program = (
        "from transformers import AutoModel; from transformers.utils import is_kernels_available; "
        "assert not is_kernels_available()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


def test_import_is_light(tmp_path: Path) -> None:
    program = (
        "import sys, uicgpu; "
        "heavy = {'torch', 'transformers', 'polars', 'sklearn', 'numba', 'faiss', 'cupy', 'cuml', 'cudf', 'bokeh'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_wheel_holds_every_file_once(sources: list[Path], root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    copy.mkdir()
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    archive = tmp_path / "project.tar"
    subprocess.run(["tar", "cf", str(archive), "-T", "-"], cwd=root, input=files, text=True, check=True)
    subprocess.run(["tar", "xf", str(archive)], cwd=copy, check=True)
    build = ["-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run([sys.executable, *build], cwd=copy, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    expected = [str(file.relative_to(root)) for file in sources]
    assert sorted(names) == sorted(name if name.startswith("uicgpu/") else f"uicgpu/{name}" for name in expected)
