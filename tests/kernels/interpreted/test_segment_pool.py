"""The Triton form of pooling: the bits of the CPU, awkward memory, and proof that the suite can fail."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from uicgpu.kernels.segment_reduce import cuda, reference
from uicgpu.kernels.segment_reduce.pieces import cut_pieces

_spec = importlib.util.spec_from_file_location("cpu_suite", Path(__file__).parents[1] / "test_segment_pool.py")
cpu_suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cpu_suite)


def pooled(module, load, given):
    guards = load.guards()
    offsets, indices, weights, x = given
    rows, factors = (guards.put(torch.from_numpy(array)[:, None])[:, 0] for array in (indices, weights))
    out = load.guarded(module.segment_pool)(offsets, rows, factors, guards.put(torch.from_numpy(x), 3))
    guards.check()
    assert out.dtype == torch.float32
    return out.numpy()


def check_lengths(module, load):
    """Short groups, two pieces, more columns than one program has, and fewer."""
    for d, counts in ((1, [0, 1, 2, 3, 5, 7, 8, 9, 0]), (130, [3, 16, 0]), (18, [257, 17, 263, 0, 600])):
        given = cpu_suite.segments(d, counts, 30, d)
        np.testing.assert_array_equal(pooled(module, load, given), reference.segment_pool(*given, False))


def check_piece_of_pieces(module, load):
    """More pieces than a piece has entries are still added one by one."""
    values = np.zeros(104, np.float32)
    values[[0, 64, 72]] = (
        1e20,
        -1e20,
        1,
    )  # in pieces 0, 8 and 9; 1 is lost if the last two come first
    given = np.array([0, 0, 104]), np.arange(104, dtype=np.int32), np.ones(104, np.float32), values[:, None]
    module.cut_pieces = lambda offsets: cut_pieces(offsets, 8)
    try:
        assert pooled(module, load, given).tolist() == [[0], [1]]
    finally:
        module.cut_pieces = cut_pieces


CHECKS = [check_lengths, check_piece_of_pieces]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check, load):
    check(cuda, load)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_vectors(kind):
    offsets, indices, weights, x = cpu_suite.segments(6, [3, 0, 9], 12, 50)
    vectors = torch.from_numpy(x).to(kind)
    got = cuda.segment_pool(offsets, torch.from_numpy(indices), torch.from_numpy(weights), vectors)
    want = reference.segment_pool(offsets, indices, weights, vectors.float().numpy(), False)
    np.testing.assert_array_equal(got.numpy(), want)


def far(module, load):
    x = load.far_rows(torch.float32)
    x[2048] = 3
    for index in (torch.int32, torch.int64):
        got = module.segment_pool(np.array([0, 1, 2]), torch.tensor([2048, 0], dtype=index), torch.ones(2), x)
        assert got.tolist() == [[3] * 16, [0] * 16]


def test_rows_beyond_int32(load):
    far(cuda, load)


def test_nothing_to_pool():
    empty = torch.empty(0, dtype=torch.int64), torch.empty(0)
    assert cuda.segment_pool(np.array([0]), *empty, torch.ones(3, 4)).shape == (0, 4)
    assert not cuda.segment_pool(np.array([0, 0, 0]), *empty, torch.ones(3, 4)).any()


def test_rows_must_be_contiguous():
    one = torch.zeros(1, dtype=torch.int64), torch.ones(1)
    with pytest.raises(ValueError, match="unit stride"):
        cuda.segment_pool(np.array([0, 1]), *one, torch.ones(4, 3).T)


MUTANTS = {
    "no column mask on the sums": ("total, mask=inside)", "total)"),
    "a last group counts its last entry again": (" * (wanted <= last).to(tl.float32)", ""),
    "a last group reads on": ("tl.minimum(wanted, last)", "wanted"),
    "a group of nine": ("range(0, length, 8)", "range(0, length, 9)"),
    "the last group is dropped": ("range(0, length, 8)", "range(0, length - 7, 8)"),
    "products in float64": ("left + weight * x", "left + weight.to(tl.float64) * x.to(tl.float64)"),
    "neighbours are not added first": ("4 * half + 2 * pair + one", "4 * half + pair + 2 * one"),
    "half of the group": ("(left_four + four).to(", "left_four.to("),
    "float32 pieces": (
        "total + (left_four + four).to(tl.float64)",
        "(total.to(tl.float32) + (left_four + four)).to(tl.float64)",
    ),
    "the stride of a row is its width": (
        "row * stride + column, mask=inside, other=0.0).to(tl.float32)",
        "row * D + column, mask=inside, other=0.0).to(tl.float32)",
    ),
    "weights of another piece": ("tl.load(weights + entry) *", "tl.load(weights + entry - start) *"),
    "pieces added by pieces": (
        "sum_pieces(firsts, counts, None, None, sums)",
        "segment_sum(pieces.of_segment, None, None, sums)",
    ),
}


def fails(module, load):
    for check in CHECKS:
        try:
            check(module, load)
        except (AssertionError, ValueError, IndexError, RuntimeError):
            return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name, load):
    assert fails(load(cuda, MUTANTS[name]), load)


def test_the_suite_catches_32_bit_rows(load):
    change = ("tl.load(rows + entry).to(tl.int64)", "tl.load(rows + entry)")
    with pytest.raises(AssertionError):
        far(load(cuda, change), load)
