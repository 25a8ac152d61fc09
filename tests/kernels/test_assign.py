"""The conformance suite of assign: shapes, ties, NaN, dtypes, tiles and threads; and proof that it can fail."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.backends.workers import run_in_order
from uicgpu.errors import InputError
from uicgpu.kernels.assign import cpu, reference

SHAPES = [(1, 1, 1), (3, 1, 7), (5, 9, 2), (1000, 37, 50), (129, 130, 65), (257, 1, 16), (133, 37, 1), (520, 5, 384)]


def integers(rng, n, d):
    """Data on which every product is exact, so that ties are ties in every precision."""
    return rng.integers(-4, 5, size=(n, d)).astype(np.float32)


def equal(got, want):
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        np.testing.assert_array_equal(ours, theirs)


def check_shapes_and_ties(assign):
    rng = np.random.default_rng(1)
    for n, k, d in SHAPES:
        x, c = integers(rng, n, d), integers(rng, k, d)
        equal(assign(x, c), reference.assign(x, c))


def check_equal_centroids_go_to_the_lowest_id(assign):
    rng = np.random.default_rng(2)
    distinct = rng.standard_normal((40, 50)).astype(np.float32)
    ids = rng.permutation(np.repeat(np.arange(40), 7))
    x = rng.standard_normal((300, 50)).astype(np.float32)
    labels, scores, second_labels, second_scores = assign(x, distinct[ids])
    copies = [np.flatnonzero(ids == group) for group in range(40)]
    nearest = reference.assign(x, distinct)[0]
    np.testing.assert_array_equal(labels, [copies[group][0] for group in nearest])
    np.testing.assert_array_equal(second_labels, [copies[group][1] for group in nearest])
    np.testing.assert_array_equal(scores, second_scores)


def check_near_ties(assign):
    """Gaps far below the rounding of float32 products: the label is that of float64."""
    rng = np.random.default_rng(3)
    centre = rng.standard_normal(200)
    c = (centre + 1e-5 * rng.standard_normal((30, 200))).astype(np.float32)
    x = (centre + 1e-5 * rng.standard_normal((400, 200))).astype(np.float32)
    wide = x.astype(np.longdouble) @ c.astype(np.longdouble).T - (c.astype(np.longdouble) ** 2).sum(axis=1) / 2
    order = np.argsort(-wide, axis=1)
    gaps = -np.diff(np.take_along_axis(wide, order, axis=1)[:, :3], axis=1)
    clear = (gaps > 1e-11).all(axis=1)  # float64 sums of 200 terms near 100 are good to 1e-12
    assert clear.sum() > 350 and np.median(gaps) < 1e-7
    labels, _, second_labels, _ = assign(x, c)
    np.testing.assert_array_equal(labels[clear], order[clear, 0])
    np.testing.assert_array_equal(second_labels[clear], order[clear, 1])


def check_rows_that_are_not_finite(assign):
    rng = np.random.default_rng(4)
    x, c = integers(rng, 600, 20), integers(rng, 11, 20)
    x[[0, 17, 599], [0, 5, 19]] = np.nan, np.inf, -np.inf
    got = assign(x, c)
    equal(got, reference.assign(x, c))
    assert got[0][[0, 17, 599]].tolist() == [-1, -1, -1] == got[2][[0, 17, 599]].tolist()
    assert np.isneginf(got[1][[0, 17, 599]]).all() and (np.delete(got[0], [0, 17, 599]) >= 0).all()


def check_random_data(assign):
    rng = np.random.default_rng(5)
    x, c = rng.standard_normal((700, 33)).astype(np.float32), rng.standard_normal((64, 33)).astype(np.float32)
    got, want = assign(x, c), reference.assign(x, c)
    for which in (0, 2):
        np.testing.assert_array_equal(got[which], want[which])
    for which in (1, 3):
        np.testing.assert_allclose(got[which], want[which], rtol=1e-6, atol=1e-6)


CHECKS = [
    check_shapes_and_ties,
    check_equal_centroids_go_to_the_lowest_id,
    check_near_ties,
    check_rows_that_are_not_finite,
    check_random_data,
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check(cpu.assign)


def test_worked_by_hand():
    x = np.array([[0, 0], [3, 4]], np.float32)
    c = np.array([[0, 1], [3, 3], [0, -1]], np.float32)
    labels, scores, second_labels, second_scores = cpu.assign(x, c)
    # scores of (0, 0): -1/2, -9, -1/2; of (3, 4): 4 - 1/2, 21 - 9, -4 - 1/2
    assert labels.tolist() == [0, 1] and second_labels.tolist() == [2, 0]
    assert scores.tolist() == [-0.5, 12] and second_scores.tolist() == [-0.5, 3.5]
    distance = (x * x).sum(axis=1) - 2 * scores
    assert distance.tolist() == [1, 1]


def test_no_points():
    for out in cpu.assign(np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)):
        assert out.shape == (0,)


def test_one_centroid():
    labels, _, second_labels, second_scores = cpu.assign(np.ones((4, 3), np.float32), np.ones((1, 3), np.float32))
    assert labels.tolist() == second_labels.tolist() == [0, 0, 0, 0]
    assert np.isneginf(second_scores).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.int64])
def test_other_dtypes(dtype):
    rng = np.random.default_rng(6)
    x, c = integers(rng, 300, 12), integers(rng, 9, 12)
    equal(cpu.assign(x.astype(dtype), c.astype(dtype)), reference.assign(x, c))


def test_strides_and_orders():
    rng = np.random.default_rng(7)
    x, c = integers(rng, 600, 24), integers(rng, 10, 24)
    want = reference.assign(x, c)
    wide = np.full((600, 48), np.nan, np.float32)
    wide[:, ::2] = x
    equal(cpu.assign(wide[:, ::2], np.asfortranarray(c)), want)
    equal(cpu.assign(np.asfortranarray(x), c), want)
    equal(cpu.assign(x[::-1][::-1], c), want)


@pytest.mark.parametrize("scale", [1e-20, 1e18])
def test_scales_at_which_float32_products_fail(scale):
    rng = np.random.default_rng(8)
    x, c = scale * integers(rng, 60, 12), scale * integers(rng, 9, 12)
    np.testing.assert_array_equal(cpu.assign(x, c)[0], reference.assign(x, c)[0])
    with np.errstate(over="ignore"):  # products of 1e36 fit, their sums do not
        huge = cpu.assign(10 * x, 10 * c)[0] if scale > 1 else reference.assign(x, c)[0]
    np.testing.assert_array_equal(huge, reference.assign(x, c)[0])


def test_one_centroid_whose_norm_overflows_float32():
    rng = np.random.default_rng(12)
    x, c = integers(rng, 60, 12), integers(rng, 9, 12)
    c[4], x[:20] = 3e19, 1e19 * x[:20]
    equal(cpu.assign(x, c)[::2], reference.assign(x, c)[::2])


def test_bytes_do_not_depend_on_tiles_or_threads():
    rng = np.random.default_rng(9)
    x, c = rng.standard_normal((1500, 40)).astype(np.float32), rng.standard_normal((70, 40)).astype(np.float32)
    want = cpu.assign(x, c)
    for tile in (1, 7, 64, 1000, 4000):
        equal(cpu.assign(x, c, tile=tile), want)
    for threads in (1, 2, 3):
        equal(cpu.assign(x, c, run=lambda function, parts, t=threads: run_in_order(function, parts, t), tile=100), want)
    order = rng.permutation(1500)
    for got, ours in zip(cpu.assign(x[order], c), want, strict=True):
        np.testing.assert_array_equal(got, ours[order])


def test_inputs_stay_as_they_are():
    rng = np.random.default_rng(10)
    x, c = integers(rng, 50, 4), integers(rng, 5, 4)
    before = x.copy(), c.copy()
    cpu.assign(x, c)
    equal((x, c), before)


def test_errors_name_what_is_wrong():
    x = np.ones((4, 3), np.float32)
    with pytest.raises(InputError, match=r"\(0, 3\)"):
        cpu.assign(x, np.empty((0, 3), np.float32))
    with pytest.raises(InputError, match=r"\(2, 4\)"):
        cpu.assign(x, np.ones((2, 4), np.float32))
    with pytest.raises(InputError, match="NaN"):
        cpu.assign(x, np.array([[1, np.nan, 2]], np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 20), st.integers(0, 10**6))
def test_equals_the_reference_on_any_integers(n, k, d, seed):
    rng = np.random.default_rng(seed)
    x, c = integers(rng, n, d), integers(rng, k, d)
    equal(cpu.assign(x, c), reference.assign(x, c))


MUTANTS = {
    "ties to the highest id": ("score > first_score", "score >= first_score"),
    "second-best ties to the highest id": ("score > second_score", "score >= second_score"),
    "no margin": ("threshold = np.float64(runner_up) - 2.0 * error", "threshold = np.float64(runner_up)"),
    "only the best is verified": ("threshold = np.float64(runner_up)", "threshold = np.float64(top)"),
    "norm left out": ("dot(x[i], c[j]) - half_norms[j]", "dot(x[i], c[j])"),
    "norm instead of half": ("norms / 2, float", "norms, float"),
    "old best is lost": ("second_score = first_score", "second_score = -np.inf"),
    "NaN rows get a label": ("if not np.isfinite(norm):", "if norm < 0:"),
    "NaN beside infinity": ("-1\n        second_labels[i] = -1", "-1\n        second_labels[i] = 0"),
    "last tile is dropped": ("range(0, n, rows)]", "range(0, n - rows + 1, rows)]"),
    "last row of a tile is dropped": ("min(start + rows, n))", "min(start + rows, n) - 1)"),
    "one centroid has no second": ("first if k == 1 else second", "second"),
    "products decide": ("score = dot(x[i], c[j]) - half_norms[j]", "score = np.float64(products[i, j])"),
}


def build(change):
    """Execute the kernel's source with one change, uncompiled: small data, and a mutant costs no compilation."""
    source = inspect.getsource(cpu)
    if change:
        assert source.count(change[0]) >= 1, f"the kernel no longer contains {change[0]!r}"
        source = source.replace(*change)
    source = source.replace("from uicgpu.kernels.dot import", "from uicgpu.kernels.dot import squared_norms  #")
    source = source.replace("from uicgpu.kernels.compilation import compiled", "compiled = lambda function: function")
    namespace = {"__name__": "mutant", "dot": lambda x, y: np.dot(x.astype(np.float64), y.astype(np.float64))}
    exec(compile(source, "<mutant>", "exec"), namespace)
    return lambda x, c: namespace["assign"](x, c, tile=48)


SMALL_CHECKS = CHECKS[1:]


def small_shapes(assign):
    rng = np.random.default_rng(1)
    for n, k, d in [(1, 1, 1), (3, 1, 7), (5, 9, 2), (100, 37, 5), (97, 6, 3)]:
        x, c = integers(rng, n, d), integers(rng, k, d)
        equal(assign(x, c), reference.assign(x, c))


def fails(assign):
    with np.errstate(all="ignore"):
        for check in [small_shapes, *SMALL_CHECKS]:
            try:
                check(assign)
            except (AssertionError, ValueError, IndexError):
                return True
    return False


def test_the_unchanged_kernel_passes_uncompiled():
    assert not fails(build(None))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name):
    assert fails(build(MUTANTS[name]))
