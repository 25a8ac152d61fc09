"""Tests of the Triton kernels' own lines, run by Triton's interpreter on the CPU.

A kernel is interpreted or compiled from the moment of its decoration, so these tests need a process of their own with
``TRITON_INTERPRET=1``: ``tests/kernels/test_triton.py`` starts it. Without that variable nothing here is collected.

What the interpreter cannot show: races, shared-memory limits, alignment, the number of warps and the rounding of tensor
cores. Therefore the kernels have no atomics and no two programs that touch the same output; limits and instructions are
checked by compiling (``ahead_of_time.py``).
"""

from __future__ import annotations

import importlib.util
import mmap
import os
from pathlib import Path

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]

PAD = 1 << 15  # so wide that a mutant's stray access stays inside
MAP_NORESERVE = 0x4000  # Linux; Python 3.11 has no name for it


class Guards:
    """Tensors in the middle of larger ones: NaN (or -99) around them poisons what reads too far, and shows who writes.

    Zeros would hide a missing mask on one operand: the other one is masked to zero, and zero times NaN alone is seen.
    """

    def __init__(self):
        self.buffers = []

    def empty(self, *shape, dtype=torch.float32, device=None):
        shape = tuple(shape[0]) if isinstance(shape[0], tuple | torch.Size) else shape
        numel = int(torch.Size(shape).numel())
        pad = float("nan") if dtype.is_floating_point else -99
        buffer = torch.full((numel + 2 * PAD,), pad, dtype=dtype)
        self.buffers.append((buffer, numel))
        return buffer[PAD : PAD + numel].view(shape)

    def put(self, tensor, stride=0):
        """A copy between guards; with ``stride`` more elements of NaN behind every row."""
        wide = self.empty(tensor.shape[0], tensor.shape[1] + stride, dtype=tensor.dtype)
        view = wide[:, : tensor.shape[1]]
        view.copy_(tensor)
        return view

    def check(self):
        for buffer, numel in self.buffers:
            for edge in (buffer[:PAD], buffer[PAD + numel :]):
                intact = edge.isnan() if edge.dtype.is_floating_point else edge == -99
                assert intact.all(), "a kernel wrote outside its output"


def far_rows(dtype):
    """Rows of 16 whose last, 2048, lies 2^31 elements behind the first; as much stands before the first.

    The pages are mapped and not reserved, so that only those that are touched cost memory. An offset that wraps around
    at 32 bits reads the zeros before the first row instead of ending the process.
    """
    elements = 2**32 + 16
    size = elements * dtype.itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    buffer = torch.frombuffer(mmap.mmap(-1, size, flags=flags), dtype=dtype)
    return buffer.as_strided((2049, 16), (2**20, 1), storage_offset=2**31)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Import a kernel's file anew, with one change of its text; outputs it allocates stand between guards."""
    real = torch.empty

    def load(module, change=None):
        source = Path(module.__file__).read_text(encoding="utf-8")
        if change:
            assert source.count(change[0]) >= 1, f"the kernel no longer contains {change[0]!r}"
            source = source.replace(*change)
        # Triton reads the source from the file
        path = tmp_path / "kernel_under_test.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("kernel_under_test", path)
        fresh = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(fresh)
        return fresh

    def guarded(function):
        def call(*arguments, **keywords):
            guards = Guards()
            monkeypatch.setattr(torch, "empty", guards.empty)
            try:
                result = function(*arguments, **keywords)
            finally:
                monkeypatch.setattr(torch, "empty", real)
            guards.check()
            return result

        return call

    load.guarded = guarded
    load.guards = Guards
    load.far_rows = far_rows
    return load
