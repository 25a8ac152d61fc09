"""The checks of screened assignment can fail: each of these errors, put into its loops, is caught."""

import inspect
import types

import numpy as np
import pytest
from screened_checks import check_run, check_travellers, reference_labels, topics

from uicgpu.kernels.assign import assign, grouped, points, projection, remainders, remembered, tiles
from uicgpu.kernels.assign.screened import RepeatedAssign

MUTANTS = {
    "own move forgotten": ("np.float64(upper[i]) + drift[own]", "np.float64(upper[i])"),
    "moves of groups forgotten": ("(travelled * UP)", "(0.0 * travelled)"),
    "a beaten centroid leaves no bound": (
        "low[home, i - tile] = min(low[home, i - tile], np.float32(bound * DOWN))",
        "pass",
    ),
    "a beaten centroid of the group leaves no bound": ("second = max(second, scores[a])", "pass"),
    "a verified score leaves no bound": ("second = max(second, score)", "pass"),
    "ties to the highest position": ("ids[position] < ids[own]", "position > own"),
    "first ties by position": ("ids[j] < ids[own]", "j < own"),
    "no margin around the product": ("+ screens[a]\n", "- 0.05\n"),
    "norm left out": ("dot_of_rows(x, i, c, position) - half[position]", "dot_of_rows(x, i, c, position)"),
    "float32 decides": (
        "scores[count], slacks[count], known[count] = score, slack, False",
        "scores[count], slacks[count], known[count] = score, slack, True",
    ),
    "float32 excludes without a margin": ("- half[position] + fulls[a]", "- half[position] - 0.05"),
    "an own score without its margin": ("- full * size - slack", "+ 0.05"),
    "last tile is dropped": ("range(0, x.shape[0], TILE)", "range(0, x.shape[0] - TILE, TILE)"),
    "a group is skipped": (
        "for g in range(groups):\n            first",
        "for g in range(1, groups):\n            first",
    ),
}
OUTER_MUTANTS = {
    "no rest of the centroids": lambda short: np.column_stack((short[:, :-1], 0 * short[:, -1])),
    "norm instead of half": lambda short: np.column_stack((short[:, :-2], 2 * short[:, -2], short[:, -1])),
}


def build(loops, change, borrowed, in_python):
    """The module ``loops`` with one change (or None), uncompiled: a mutant costs no compilation.

    ``borrowed`` is what it imports of kernels that only work compiled, ``in_python`` the same written out.
    """
    source = inspect.getsource(loops)
    if change:
        assert change[0] in source, f"the kernel no longer contains {change[0]!r}"
        source = source.replace(*change)
    for imported, written in (
        (COMPILERS, "compiled = compiled_maximum = lambda function: function"),
        (borrowed, in_python),
    ):
        assert imported in source, f"the kernel no longer says {imported!r}"
        source = source.replace(imported, written)
    module = types.ModuleType("mutant")
    exec(compile(source, "<mutant>", "exec"), module.__dict__)
    return module


COMPILERS = "from uicgpu.kernels.compilation import compiled, compiled_maximum"
COPY_IN_PYTHON = """
def copy_row(rows, i, out, position):
    out[position * rows.shape[1] : (position + 1) * rows.shape[1]] = rows[i]
"""
IN_PYTHON = """
LANES = 16
def at_least(row, first, threshold):
    return sum(1 << int(bit) for bit in np.flatnonzero(row.reshape(-1)[first : first + 16] >= threshold))
def lowest_bit(bits):
    return (bits & -bits).bit_length() - 1
"""


def fails():
    """Whether a run over real-looking data and one with exact ties go wrong, in labels or in bounds."""
    rng = np.random.default_rng(20)
    x = topics(21, 200, 128, spread=1.5)
    ties = np.zeros((70, 128), np.float32)
    ties[:, :3] = rng.integers(-1, 2, (70, 3))
    try:
        with np.errstate(all="ignore"):
            check_run(x, x[:36].copy(), calls=4, bounds=True)
            check_travellers()
            repeated = RepeatedAssign(ties, least_work=0)
            for _ in range(3):
                c = np.zeros((40, 128), np.float32)
                c[:, :3] = rng.integers(-1, 2, (40, 3))
                np.testing.assert_array_equal(repeated(c), reference_labels(ties, c)[0])
            check_twins(x[:64])
    except (AssertionError, ValueError, IndexError):
        return True
    return False


def check_twins(x):
    """Two of each centroid: few ties per point, so that the loops themselves decide them."""
    twins = np.random.default_rng(22).permutation(np.repeat(topics(22, 40, x.shape[1]), 2, axis=0))
    repeated = RepeatedAssign(x, least_work=0)
    for step in (0, 1e-3, 0.1, 0.1):
        c = (twins + step * np.roll(twins, 1, axis=1)).astype(np.float32)
        np.testing.assert_array_equal(repeated(c), assign(x, c)[0])


@pytest.fixture
def loops(monkeypatch):
    """Put changed loops into the driver."""

    def install(change):
        module = build(tiles, change, "from uicgpu.kernels.lanes import copy_row", COPY_IN_PYTHON)
        module.TILE = 64
        monkeypatch.setattr(grouped, "tiles", module)
        monkeypatch.setattr(points, "PART", 2 * module.TILE)

    return install


@pytest.fixture
def recalling(loops, monkeypatch):
    """The same for the loops that remember."""

    def install(change):
        loops(None)
        module = build(remainders, change, "from uicgpu.kernels.lanes import LANES, at_least, lowest_bit", IN_PYTHON)
        monkeypatch.setattr(remembered, "remainders", module)

    return install


REMEMBERED_MUTANTS = {
    "own way forgotten": ("+ own[i] - way - tight", "+ own[i] - tight"),
    "own way forgotten when it is taken": (
        "np.float32(best - inside + way)",
        "np.float32(best - inside + 2 * way + 0.1)",
    ),
    "another's way forgotten": ("others[i, slot] + reach + tight", "others[i, slot] + tight"),
    "a beaten centroid is remembered with the wrong remainder": (
        "best - inside - way, slots",
        "best - other - way, slots",
    ),
    "ties to the highest id": ("score == best and j < mine", "score == best and j > mine"),
    "first ties to the highest id": ("if mine < 0 or score > best:", "if mine < 0 or score >= best:"),
    "no margin around the product": ("np.float32(best - margin)", "np.float32(best + 0.05)"),
    "norm left out": ("score = dot_of_rows(x, i, c, j) - half[j]", "score = dot_of_rows(x, i, c, j)"),
    "float32 decides": ("- half[mine] - error, False", "- half[mine] - error, True"),
    "float32 excludes without a margin": ("- half[j] + error", "- half[j] - 0.05"),
    "last tile is dropped": ("range(0, x.shape[0], TILE)", "range(0, x.shape[0] - TILE, TILE)"),
    "the first sixteen are skipped": ("range(0, columns, LANES)", "range(LANES, columns, LANES)"),
    "the own remainder outlives its centroid": ("labels[i], own[i] = mine, -np.inf", "labels[i] = mine"),
}


@pytest.mark.parametrize("way", ["grouped"], indirect=True)
def test_the_unchanged_loops_pass_uncompiled(loops, way):
    loops(None)
    assert not fails()


@pytest.mark.parametrize("way", ["remembered"], indirect=True)
def test_the_unchanged_loops_that_remember_pass_uncompiled(recalling, way):
    recalling(None)
    assert not fails()


@pytest.mark.parametrize("way", ["grouped"], indirect=True)
@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name, loops, way):
    loops(MUTANTS[name])
    assert fails()


@pytest.mark.parametrize("way", ["remembered"], indirect=True)
@pytest.mark.parametrize("name", REMEMBERED_MUTANTS)
def test_the_suite_catches_what_is_remembered_wrongly(name, recalling, way):
    recalling(REMEMBERED_MUTANTS[name])
    assert fails()


@pytest.mark.parametrize("name", OUTER_MUTANTS)
def test_the_suite_catches_a_wrong_bound(name, way, monkeypatch):
    right = projection.short_centroids
    for module in (grouped, remembered):
        wrong = lambda *given: np.float32(OUTER_MUTANTS[name](right(*given)))  # noqa: E731
        monkeypatch.setattr(module, "short_centroids", wrong)
    assert fails()
