"""What no source file of the product may import or call, read off its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PICKLES = {"pickle", "_pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
GPU_LIBRARIES = {"cuml", "cudf", "cudf_polars", "cupy", "cupyx", "cuvs", "pylibcudf", "pylibraft", "rmm", "triton"}
FAISS_GPU = {"StandardGpuResources", "index_cpu_to_gpu", "index_cpu_to_all_gpus", "index_gpu_to_cpu", "knn_gpu"}
GLOBAL_SEEDS = {"np.random.seed", "numpy.random.seed", "torch.manual_seed", "torch.cuda.manual_seed", "random.seed"}
GLOBAL_SEEDS |= {"torch.random.manual_seed", "torch.cuda.manual_seed_all", "transformers.set_seed"}


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported dotted name; ``from a import b`` counts as ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def is_true(node: ast.AST) -> bool:
    return not (isinstance(node, ast.Constant) and node.value is False)


def loads_code(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Pickle in any form, code from model folders, shells."""
    for node, name in imports(tree):
        if name.split(".")[0] in PICKLES:
            yield node, f"import of {name}"
        if name in {"torch.load", "torch.hub", "numpy.fromfile.allow_pickle", "os.system"}:
            yield node, f"import of {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in {"torch.load", "torch.hub.load", "torch.save", "os.system", "os.popen", "eval", "exec"}:
            yield node, f"call of {name}"
        if name in {"np.load", "numpy.load"} and not any(
            keyword.arg == "allow_pickle" and not is_true(keyword.value) for keyword in node.keywords
        ):
            yield node, "numpy.load without allow_pickle=False"
        for keyword in node.keywords:
            if keyword.arg in {"allow_pickle", "trust_remote_code", "shell"} and is_true(keyword.value):
                yield node, f"{keyword.arg} that is not False"


def seeds_globally(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Global random generators: what one stage draws would change what another one gets."""
    for node, name in imports(tree):
        if name in GLOBAL_SEEDS or name == "random" or name.startswith("random."):
            yield node, f"import of {name}"
    forked = {
        inner
        for block in ast.walk(tree)
        if isinstance(block, ast.With)
        and any(
            dotted(item.context_expr.func) == "torch.random.fork_rng"
            for item in block.items
            if isinstance(item.context_expr, ast.Call)
        )
        for inner in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in forked:
            continue  # the generator is put back afterwards; torch initialises layers from it alone
        name = dotted(node)
        legacy = name.startswith(("np.random.", "numpy.random.")) and name.split(".")[2][:1].islower()
        if name in GLOBAL_SEEDS or (legacy and name.split(".")[2] not in {"default_rng"}):
            yield node, f"use of {name}"


def touches_device(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """GPU libraries, ``torch.cuda`` and the GPU half of FAISS."""
    for node, name in imports(tree):
        if name.split(".")[0] in GPU_LIBRARIES or name.startswith(("torch.cuda", "numba.cuda")):
            yield node, f"import of {name}"
    for node in ast.walk(tree):
        name = dotted(node)
        if name in {"torch.cuda", "numba.cuda"}:
            yield node, f"use of {name}"
        if isinstance(node, ast.Attribute) and (node.attr in FAISS_GPU or node.attr.startswith("GpuIndex")):
            yield node, f"use of {node.attr}"


def imports_gpu_at_module_level(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """GPU imports that run when the module is imported (``if TYPE_CHECKING`` does not run)."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if is_function or (isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")):
            inside.update(ast.walk(node))
    for node, name in imports(tree):
        if name.split(".")[0] in GPU_LIBRARIES and node not in inside:
            yield node, f"import of {name} at module level"


def takes_public_names(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """A room that imports from the package's front door would reach rooms to its right unseen."""
    for node, name in imports(tree):
        if name == "uicgpu" or (name.startswith("uicgpu.") and name.count(".") == 1 and name not in ROOMS):
            yield node, f"import of {name}"


ROOMS = {f"uicgpu.{name}" for name in ("errors", "randomness", "settings", "version", "vocabulary", "kernels", "runs")}
ROOMS |= {f"uicgpu.{name}" for name in ("backends", "events", "items", "encode", "interests", "cluster", "profiles")}
ROOMS |= {f"uicgpu.{name}" for name in ("recommend", "evaluate", "report", "pipeline", "cli", "bench")}


def is_device_code(file: Path, root: Path) -> bool:
    """The door, and the probe that knocks at it."""
    parts = file.relative_to(root).parts
    if parts == ("uicgpu", "backends", "probe.py"):
        return True
    return parts[:3] == ("uicgpu", "backends", "cuda") or (parts[0] == "kernels" and parts[-1] == "cuda.py")


Rule = Callable[[ast.Module], Iterator[tuple[ast.AST, str]]]


def violations(files: list[Path], root: Path, rule: Rule) -> list[str]:
    found = []
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        found += [f"{file.relative_to(root)}:{getattr(node, 'lineno', 0)}: {what}" for node, what in rule(tree)]
    return sorted(set(found))


def test_there_are_sources(sources: list[Path], root: Path) -> None:
    rooms = {file.relative_to(root).parts[0] for file in sources}
    assert rooms == {"uicgpu", "kernels", "bench"}


@pytest.mark.parametrize("rule", [loads_code, seeds_globally, imports_gpu_at_module_level])
def test_every_file(sources: list[Path], root: Path, rule: Rule) -> None:
    assert violations(sources, root, rule) == []


def test_the_device_has_one_door(sources: list[Path], root: Path) -> None:
    outside = [file for file in sources if not is_device_code(file, root)]
    assert violations(outside, root, touches_device) == []


def test_rooms_do_not_use_the_front_door(sources: list[Path], root: Path) -> None:
    inside = [file for file in sources if file != root / "uicgpu" / "__init__.py"]
    assert violations(inside, root, takes_public_names) == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (loads_code, "import pickle"),
        (loads_code, "from joblib import load"),
        (loads_code, "def f():\n    import cloudpickle as c"),
        (loads_code, "np.load(path)"),
        (loads_code, "np.load(path, allow_pickle=True)"),
        (loads_code, "numpy.load(path, allow_pickle=flag)"),
        (loads_code, "torch.load(path, weights_only=True)"),
        (loads_code, "AutoModel.from_pretrained(path, trust_remote_code=True)"),
        (loads_code, "subprocess.run(line, shell=True)"),
        (loads_code, "eval(text)"),
        (seeds_globally, "np.random.seed(0)"),
        (seeds_globally, "x = numpy.random.normal(size=3)"),
        (seeds_globally, "torch.manual_seed(0)"),
        (seeds_globally, "import random"),
        (touches_device, "from cupy import asarray"),
        (touches_device, "torch.cuda.is_available()"),
        (touches_device, "faiss.GpuIndexFlatIP(resources, 3)"),
        (touches_device, "from numba import cuda"),
        (imports_gpu_at_module_level, "try:\n    import cuml\nexcept ImportError:\n    pass"),
        (imports_gpu_at_module_level, "class A:\n    import triton.language as tl"),
        (takes_public_names, "from uicgpu import KMeans"),
        (takes_public_names, "import uicgpu"),
    ],
)
def test_rules_see_what_they_forbid(rule: Rule, source: str) -> None:
    assert list(rule(ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (loads_code, "np.load(path, mmap_mode='r', allow_pickle=False)"),
        (loads_code, "AutoModel.from_pretrained(path, trust_remote_code=False)"),
        (loads_code, "json.load(file)"),
        (seeds_globally, "np.random.Generator(np.random.PCG64(3))"),
        (seeds_globally, "torch.Generator().manual_seed(3)"),
        (seeds_globally, "with torch.random.fork_rng(devices=[]):\n    torch.manual_seed(3)"),
        (touches_device, "import torch\ntorch.device(name)"),
        (imports_gpu_at_module_level, "def f():\n    import cuml"),
        (imports_gpu_at_module_level, "if TYPE_CHECKING:\n    import cupy"),
        (takes_public_names, "from uicgpu.cluster import KMeans"),
        (takes_public_names, "from uicgpu import settings"),
    ],
)
def test_rules_leave_the_rest_alone(rule: Rule, source: str) -> None:
    assert not list(rule(ast.parse(source)))
