"""Compile every Triton kernel for real architectures without a GPU, and print what came out as JSON.

Run as a program, in a process of its own: one that has imported Triton for its interpreter cannot compile.
``python tests/kernels/ahead_of_time.py`` prints; ``--write`` replaces kernels/budgets.json; a word that follows limits
the kernels to those whose name contains it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGETS = Path(__file__).parents[2] / "kernels" / "budgets.json"
ARCHITECTURES = (80, 90, 100)
SMALL = (89, 120)
"""Architectures with little shared memory: GeForce and workstation cards. One tile serves them."""
WIDTHS = {"fp16": 2, "bf16": 2, "fp32": 4, "fp64": 8}


def cases():
    """Yield name, architecture, kernel, signature, constants, 16-byte facts, warps and stages."""
    from uicgpu.kernels.assign import cuda as assign
    from uicgpu.kernels.assign.gpu_tiles import choose_tile
    from uicgpu.kernels.segment_reduce import cuda as segments

    nearest, sums, groups = assign.compiled()[0], segments.compiled(), segments.compiled_groups()
    for architecture in (*ARCHITECTURES, *SMALL):
        operands = [
            (d, "fp16", "ieee") for d in ((50, 384, 512, 768, 1024) if architecture in ARCHITECTURES else (384,))
        ]
        if architecture in ARCHITECTURES:
            operands += [(384, "bf16", "ieee"), (384, "fp32", "ieee"), (384, "fp32", "tf32x3")]
        for d, kind, precision in operands:
            tile = choose_tile(d, WIDTHS[kind], architecture)
            constants = assign.constants(tile, d, precision)
            types = [f"*{kind}"] * 2 + ["*fp32", "*i32", "*fp32", "*i32", "*fp32", "*fp32"] + ["i32"] * 4
            aligned = [*range(8), *([10, 11] if d % 16 == 0 else [])]
            name = f"assign {kind} {precision if kind == 'fp32' else ''} d={d}".replace("  ", " ")
            yield name, architecture, nearest, types, constants, aligned, tile.warps, tile.stages
        for kind, given in (("fp32", True), ("fp16", True), ("fp64", False)):
            constants = {"D": 384, "HAS_ROWS": given, "HAS_WEIGHTS": given, "BLOCK_D": segments.BLOCK_D}
            types = [
                "*i64",
                "*i64",
                "*i32" if given else "*i64",
                "*fp32" if given else "*i64",
                f"*{kind}",
                "*fp64",
                "i32",
            ]
            name = f"segment_reduce {kind} {'rows and weights' if given else 'pieces'} d=384"
            yield name, architecture, sums, types, constants, range(7), segments.WARPS, 3
        for kind in ("fp32", "fp16"):
            types = ["*i64", "*i64", "*i32", "*fp32", f"*{kind}", "*fp64", "i32"]
            constants = {"D": 384, "BLOCK_D": segments.BLOCK_D}
            yield f"segment_pool {kind} d=384", architecture, groups, types, constants, range(7), segments.WARPS, 3


def compile_one(architecture, kernel, types, constants, aligned, warps, stages):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability
    from triton.compiler import ASTSource

    runtime = [name for name in kernel.arg_names if name not in constants]
    signature = dict(zip(runtime, types, strict=True)) | dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, signature, constants, {(place,): [["tt.divisibility", 16]] for place in aligned})
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": False}
    built = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    ptx = built.asm["ptx"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        # the flags of Triton's own call
        flags = ["-lineinfo", "--fmad=false", "-v", "--regAllocOptLevel=2"]
        command = [get_ptxas(architecture).path, *flags, f"--gpu-name={sm_arch_from_capability(architecture)}"]
        log = subprocess.run(
            [*command, path, "-o", f"{folder}/cubin"], capture_output=True, text=True, check=True
        ).stderr
    body = re.sub(r"//.*", "", ptx)
    return {
        "registers": int(re.search(r"Used (\d+) registers", log).group(1)),
        "spill_bytes": sum(int(number) for number in re.findall(r"(\d+) bytes spill", log)),
        "shared_bytes": built.metadata.shared,
        "instruction": next((word for word in ("tcgen05.mma", "wgmma.mma_async", "mma.sync") if word in body), None),
        "atomics": len(re.findall(r"\b(?:atom|red)\.(?:global|shared|add|cas|max|min|release|acquire|relaxed)", body)),
        "tf32": len(re.findall(r"\btf32\b|\.tf32", body)),
    }


def main(words):
    found = {}
    for name, architecture, *rest in cases():
        if words and not any(word in name for word in words):
            continue
        found[f"{name} sm_{architecture}"] = compile_one(architecture, *rest)
    return found


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--write"]
    result = main(words)
    import triton

    text = json.dumps({"triton": triton.__version__, "kernels": result}, indent=1) + "\n"
    if "--write" in sys.argv:
        BUDGETS.write_text(text)
    sys.stdout.write(text)
