"""The Triton form of segment_reduce: the CPU's own suite, awkward memory, and proof that the suite can fail."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from uicgpu.kernels.segment_reduce import cuda, reference
from uicgpu.kernels.segment_reduce.pieces import cut_pieces

_spec = importlib.util.spec_from_file_location("cpu_suite", Path(__file__).parents[1] / "test_segment_reduce.py")
cpu_suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cpu_suite)


def as_numpy(module, load):
    """The kernel with the signature of the CPU's function, every input between guards."""

    def segment_sum(offsets, indices, weights, vectors):
        guards = load.guards()

        def put(array):
            return None if array is None else guards.put(torch.from_numpy(array)[:, None])[:, 0]

        x = guards.put(torch.from_numpy(vectors), 3)
        out = load.guarded(module.segment_sum)(offsets.astype(np.int64), put(indices), put(weights), x)
        guards.check()
        return out.numpy()

    segment_sum.module = module
    return segment_sum


def check_long_segments(segment_sum):
    """With pieces of four: 4 entries are one piece, 5 are two, and 17 and 65 need a second and a third level."""
    segment_sum.module.cut_pieces = lambda offsets: cut_pieces(offsets, 4)
    try:
        given = cpu_suite.segments(np.random.default_rng(3), [0, 3, 4, 5, 0, 1, 17, 65], 7, 2, integer=True)
        np.testing.assert_array_equal(segment_sum(*given), reference.segment_sum(*given))
    finally:
        segment_sum.module.cut_pieces = cut_pieces


def check_float64_sums(segment_sum):
    given = cpu_suite.segments(np.random.default_rng(4), [50, 3, 256], 40, 130)
    np.testing.assert_array_equal(segment_sum(*given), reference.segment_sum(*given))


CHECKS = [*cpu_suite.CHECKS, check_long_segments, check_float64_sums]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check, load):
    check(as_numpy(cuda, load))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 50, 129, 384])
def test_dtypes(kind, d):
    offsets, indices, weights, x = cpu_suite.segments(np.random.default_rng(5), [3, 0, 9], 12, d)
    vectors = torch.from_numpy(x).to(kind)
    got = cuda.segment_sum(offsets, torch.from_numpy(indices), torch.from_numpy(weights), vectors).numpy()
    want = np.zeros((3, d))
    for segment in range(3):
        for entry in range(offsets[segment], offsets[segment + 1]):
            want[segment] += float(weights[entry]) * vectors[indices[entry]].double().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-15, atol=1e-15)


def far(module, load):
    x = load.far_rows(torch.float32)
    x[2048] = 3
    for index in (torch.int32, torch.int64):
        got = module.segment_sum(np.array([0, 1, 2]), torch.tensor([2048, 0], dtype=index), torch.ones(2), x)
        assert got.tolist() == [[3] * 16, [0] * 16]


def test_rows_beyond_int32(load):
    far(cuda, load)


def test_nothing_to_sum():
    empty = torch.empty(0, dtype=torch.int64), torch.empty(0)
    assert cuda.segment_sum(np.array([0]), *empty, torch.ones(3, 4)).shape == (0, 4)
    assert not cuda.segment_sum(np.array([0, 0, 0]), *empty, torch.ones(3, 4)).any()


class TestCentroidUpdate:
    def given(self, skew):
        rng = np.random.default_rng(6)
        labels = np.where(rng.random(900) < skew, 3, rng.integers(-1, 8, size=900))
        labels[labels == 5] = 3  # an empty group
        return torch.from_numpy(labels.astype(np.int32)), torch.from_numpy(
            rng.standard_normal((900, 20)).astype(np.float32)
        )

    @pytest.mark.parametrize("skew", [0.0, 0.9])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_equals_plain_sums(self, skew, weighted):
        labels, x = self.given(skew)
        weights = torch.from_numpy(np.random.default_rng(7).random(900, np.float32)) if weighted else None
        sums, counts = cuda.sum_by_label(x, labels, 8, weights)
        for group in range(8):
            rows = labels == group
            factors = torch.ones(900, dtype=torch.float64) if weights is None else weights.double()
            want = (factors[rows, None] * x[rows].double()).sum(dim=0)
            np.testing.assert_allclose(sums[group].numpy(), want.numpy(), rtol=0, atol=1e-12)
            assert counts[group] == int(rows.sum())
        assert counts[5] == 0 and not sums[5].any() and counts.sum() == int((labels >= 0).sum())

    def test_twice_the_same_bits(self):
        labels, x = self.given(0.9)
        first, second = (cuda.sum_by_label(x, labels, 8)[0].numpy().tobytes() for _ in range(2))
        assert first == second

    def test_no_rows_and_none_that_counts(self):
        for labels in (torch.empty(0, dtype=torch.int32), torch.full((3,), -1, dtype=torch.int32)):
            sums, counts = cuda.sum_by_label(torch.ones(len(labels), 2), labels, 4)
            assert not sums.any() and counts.tolist() == [0, 0, 0, 0]


MUTANTS = {
    "no column mask on the sums": ("total, mask=inside)", "total)"),
    "float32 sums": ("total = total + x", "total = (total + x).to(tl.float32)"),
    "products rounded": ("entry).to(tl.float64)", "entry).to(tl.float64)\n            x = x.to(tl.float32)"),
    "the last entry is dropped": ("range(0, length)", "range(0, length - 1)"),
    "the first entry is dropped": ("range(0, length)", "range(1, length)"),
    "weights left out": ("if HAS_WEIGHTS:", "if HAS_WEIGHTS and D < 0:"),
    "weights of another piece": ("tl.load(weights + entry)", "tl.load(weights + step)"),
    "rows left out": ("row = tl.load(rows + entry).to(tl.int64)", "row = entry"),
    "the stride of a row is its width": ("row * stride", "row * D"),
    "pieces in a row of another width": ("out + piece * D", "out + piece * BLOCK_D"),
    "the first columns only": ("tl.program_id(1) * BLOCK_D", "tl.program_id(1) * 0"),
    "a long segment keeps its first piece": ("if counts.max(initial=0) > 1:", "if counts.max(initial=0) > 2:"),
    "empty segments are not skipped": (
        "out[torch.from_numpy(np.flatnonzero(counts)).to(vectors.device)]",
        "out[: len(sums)]",
    ),
}


def fails(module, load):
    for check in CHECKS:
        try:
            check(as_numpy(module, load))
        except (AssertionError, ValueError, IndexError, RuntimeError):
            return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name, load):
    assert fails(load(cuda, MUTANTS[name]), load)


def test_the_suite_catches_32_bit_rows(load):
    mutant = load(cuda, ("tl.load(rows + entry).to(tl.int64)", "tl.load(rows + entry)"))
    with pytest.raises(AssertionError):
        far(mutant, load)


@pytest.mark.parametrize("change", [None, ("total = total + x", "total = x + total")])
def test_the_suite_lets_pass(change, load):
    assert not fails(load(cuda, change), load)
