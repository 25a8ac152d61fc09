"""The Triton kernels on a machine without a GPU: their lines in Triton's interpreter, their machine code by compiling.

Both need Triton (``pip install -r requirements/kernels.txt``) and a process of their own. Without Triton the recorded
budgets are still checked, and the CUDA backend is tested with stand-ins of the kernels (``tests/backends``).
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import uicgpu.kernels.assign
from uicgpu.kernels.assign.gpu_tiles import LARGE, SHARED_LIMIT, choose_tile

HERE = Path(__file__).parent
BUDGETS = json.loads((HERE.parents[1] / "kernels" / "budgets.json").read_text(encoding="utf-8"))
INSTRUCTIONS = {80: "mma.sync", 89: "mma.sync", 90: "wgmma.mma_async", 100: "tcgen05.mma", 120: "mma.sync"}
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton (1 GB) is not installed: pip install -r requirements/kernels.txt",
)


def run(*command, **variables):
    child = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[1],
        env={**os.environ, **variables},
    )
    assert child.returncode == 0, child.stdout[-3000:] + child.stderr[-3000:]
    return child.stdout


def violations(name, figures):
    """What a kernel must not do on the architecture in its name."""
    architecture = int(name.rpartition("sm_")[2])
    found = []
    if figures["spill_bytes"]:
        found.append("spills registers")
    if figures["shared_bytes"] > SHARED_LIMIT[architecture]:
        found.append("needs more shared memory than a block may have")
    if figures["atomics"]:
        found.append("has atomics")
    exact = "ieee" in name or name.startswith("segment_")
    if figures["instruction"] != (None if exact else INSTRUCTIONS[architecture]):
        found.append(f"multiplies with {figures['instruction']}")
    if bool(figures["tf32"]) != ("tf32x3" in name):
        found.append("rounds to TF32 unasked, or does not when asked")
    return found


@pytest.mark.parametrize("name", BUDGETS["kernels"])
def test_budgets_keep_the_rules(name):
    assert violations(name, BUDGETS["kernels"][name]) == []


def test_budgets_cover_what_ships():
    names = set(BUDGETS["kernels"])
    for architecture in LARGE:
        assert {f"assign fp16 d={d} sm_{architecture}" for d in (50, 384, 512, 768, 1024)} <= names
        assert f"assign bf16 d=384 sm_{architecture}" in names
        assert {f"assign fp32 {way} d=384 sm_{architecture}" for way in ("ieee", "tf32x3")} <= names
        assert {f"segment_pool {kind} d=384 sm_{architecture}" for kind in ("fp16", "fp32")} <= names
        assert sum(name.startswith("segment_reduce") and name.endswith(f"_{architecture}") for name in names) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spill_bytes": 4}, "spills"),
        ({"shared_bytes": 232_449}, "shared"),
        ({"atomics": 1}, "atomics"),
        ({"instruction": "mma.sync"}, "multiplies"),
        ({"tf32": 2}, "TF32"),
    ],
)
def test_the_rules_can_be_broken(change, told):
    name = "assign fp16 d=384 sm_90"
    assert told in violations(name, BUDGETS["kernels"][name] | change)[0]


@pytest.mark.parametrize("architecture", [75, *SHARED_LIMIT, 103, 121])
def test_every_width_has_a_tile_that_fits(architecture):
    limit = SHARED_LIMIT.get(architecture, 101_376)
    for d in [*range(1, 130), 383, 384, 385, 512, 513, 767, 768, 769, 1024, 4096]:
        for itemsize in (2, 4):
            tile = choose_tile(d, itemsize, architecture)
            assert {tile.block_n, tile.block_k, tile.block_d} <= {16, 32, 64, 128} and tile.block_n >= 64
            points = -(-d // tile.block_d) * tile.block_d if tile.resident else tile.block_d
            # a lower bound of what is compiled: the formula does not know how loads are overlapped
            assert itemsize * (tile.block_n * points + tile.block_k * tile.block_d) <= limit


def test_importing_the_kernels_needs_no_triton():
    program = (
        "import sys; import uicgpu.kernels.assign.cuda, uicgpu.kernels.segment_reduce.cuda as s; "
        "assert not {'triton', 'torch', 'cupy'} & set(sys.modules), 'imported too early'"
    )
    run("-c", program)


def test_the_product_never_asks_for_the_interpreter():
    for folder in ("kernels", "uicgpu"):
        for path in (HERE.parents[1] / folder).rglob("*.py"):
            assert "TRITON_INTERPRET" not in path.read_text(encoding="utf-8"), path
    assert uicgpu.kernels.assign.__doc__


@needs_triton
def test_in_the_interpreter():
    """Some 130 tests of the kernels, 52 seeded errors among them, then the CUDA backend on the real kernel lines."""
    told = run("-m", "pytest", "-q", "-W", "ignore", HERE / "interpreted", TRITON_INTERPRET="1")
    assert " passed" in told and "skipped" not in told
    told = run(*("-m", "pytest", "-q", "-W", "ignore", "-k", "triton", HERE.parent / "backends"), TRITON_INTERPRET="1")
    assert " passed" in told


@needs_triton
@pytest.mark.slow
def test_compiled_for_real_architectures():
    """The recorded figures are those of the recorded Triton; another one may use a tenth more registers."""
    import triton

    found = json.loads(run(HERE / "ahead_of_time.py", TRITON_INTERPRET="0"))["kernels"]
    assert found.keys() == BUDGETS["kernels"].keys()
    same = triton.__version__ == BUDGETS["triton"]
    for name, figures in found.items():
        assert violations(name, figures) == []
        if same:
            assert figures == BUDGETS["kernels"][name], name
        else:
            assert figures["registers"] <= 1.1 * BUDGETS["kernels"][name]["registers"], name
