"""The k-d tree of few columns: its parts by hand, its searches against products and dense matrices, and seeded bugs."""

import inspect
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from uicgpu.kernels.spanning_tree import box_search as module
from uicgpu.kernels.spanning_tree import nearest as find_nearest
from uicgpu.kernels.spanning_tree import spanning_tree
from uicgpu.kernels.spanning_tree.boxes import FAN, LEAF, Boxes, squares_in_leaf, squares_to_boxes
from uicgpu.kernels.spanning_tree.nearest import Cloud


def points(kind, n, d, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "whole":
        return rng.integers(-2, 3, (n, d)).astype(np.float32)
    spread = rng.standard_normal((n, d)) * np.repeat([1.0, 0.05], [n // 2, n - n // 2])[:, None]
    return (spread + 3 * rng.standard_normal((5, d))[rng.integers(0, 5, n)]).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, LEAF, LEAF + 1, 5 * LEAF + 3, 17 * LEAF, 600 * LEAF // 4])
def test_every_point_is_in_one_leaf_and_in_all_boxes_above(n):
    x = points("normal", n, 3)
    tree = Boxes(x)
    assert sorted(tree.order.tolist()) == list(range(n))
    assert tree.first[0] == 0 and tree.first[-1] == n and np.diff(tree.first).max() <= LEAF
    seen = []

    def down(child, low, high):
        if child < 0:
            leaf = -1 - child
            seen.append(leaf)
            own = x[tree.order[tree.first[leaf] : tree.first[leaf + 1]]]
            assert (own >= low).all() and (own <= high).all()
            np.testing.assert_array_equal(tree.blocks[leaf, :, : len(own)].T, own)
            assert np.isinf(tree.blocks[leaf, :, len(own) :]).all()
            return
        for place in range(tree.root if child == 0 else FAN):
            first = tree.children[child]
            inner = tree.low[child, :, place], tree.high[child, :, place]
            assert child == 0 or ((inner[0] >= low).all() and (inner[1] <= high).all())
            down(first + place if first >= 0 else first - place, *inner)

    down(0, None, None)
    assert seen == list(range(len(tree.first) - 1))


def test_squares_by_hand():
    low, high = np.full((2, FAN), -1, np.float32), np.ones((2, FAN), np.float32)
    low[:, 1], high[:, 1] = 3, 4
    low[:, 7], high[:, 7] = np.inf, -np.inf
    out = np.empty(FAN, np.float32)
    assert squares_to_boxes(np.array([0, 2], np.float32), low, high, out) == 1
    assert out.tolist() == [1, 10, 1, 1, 1, 1, 1, np.inf]
    block = np.full((3, LEAF), np.inf, np.float32)
    block[:, :2] = [[1, 4], [1, 4], [1, 5]]
    out = np.empty(LEAF, np.float32)
    assert squares_in_leaf(np.array([1, 1, 3], np.float32), block, out) == 4
    assert out[:2].tolist() == [4, 22] and np.isinf(out[2:]).all()


@settings(max_examples=25, deadline=None)
@given(d=st.integers(1, 30), seed=st.integers(0, 10**6), scale=st.sampled_from([1e-18, 1e-3, 1.0, 1e15]))
def test_bounds_hold(d, seed, scale):
    x = points("normal", 200, d, seed) * np.float32(scale)
    tree, point = Boxes(x), points("normal", 1, d, seed + 1)[0] * np.float32(scale)
    exact = cdist(point[None].astype(np.float64), x.astype(np.float64), "sqeuclidean")[0]
    out = np.empty(LEAF, np.float32)
    for leaf in range(len(tree.blocks)):
        rows = tree.order[tree.first[leaf] : tree.first[leaf + 1]]
        least = squares_in_leaf(point, tree.blocks[leaf], out)
        assert least == out.min() and (out[: len(rows)] <= exact[rows] * tree.slack + module.FLOOR).all()


@pytest.mark.parametrize("kind", ["whole", "normal"])
@pytest.mark.parametrize("d", [1, 2, 7, 16, 30])
def test_boxes_and_products_give_the_same_bytes(kind, d, monkeypatch):
    x = points(kind, 900, d, d)
    found = [*find_nearest(Cloud(x), 9), *spanning_tree(x, 5)]
    monkeypatch.setattr(sys.modules[Cloud.__module__], "MOST_COLUMNS", 0)
    wanted = [*find_nearest(Cloud(x), 9), *spanning_tree(x, 5)]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.tobytes() == theirs.tobytes()


MUTANTS = {
    "ties to any row": ("j > rows[i, place] and rows[i, place] >= 0", "True"),
    "the point itself": ("itself = i if own else -1", "itself = -1"),
    "a fan forgets a child": (
        "for c in range(width):\n        if squares",
        "for c in range(width - 1):\n        if squares",
    ),
    "component of a box": ("common[node, c] == home", "common[node, c] >= 0"),
    "core distances of a pair": ("w = max(square_between(point, x[j], space), core[i], core[j])", "w = core[i]"),
    "limits too tight": ("limit = squares[i, count - 1] * slack", "limit = squares[i, count - 1] * 0.7"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name, monkeypatch):
    source = inspect.getsource(module)
    assert MUTANTS[name][0] in source
    source = source.replace(*MUTANTS[name])
    source = source.replace("from uicgpu.kernels.compilation import compiled", "compiled = lambda function: function")
    mutant = types.ModuleType("mutant")
    exec(compile(source, "<mutant>", "exec"), mutant.__dict__)
    x = points("whole" if name == "ties to any row" else "normal", 500, 3, 4)
    x[::2] += 100  # two groups far apart: the last edge runs between boxes of one component each
    monkeypatch.setattr("uicgpu.kernels.spanning_tree.tree.FEW_NEIGHBOURS", 1)
    wanted = [*find_nearest(Cloud(x), 4), *spanning_tree(x, 2), *spanning_tree(x, 6)]
    monkeypatch.setattr(sys.modules[Cloud.__module__], "nearest_in_boxes", mutant.nearest_in_boxes)
    for name in ("outward_in_boxes", "summarise"):
        monkeypatch.setattr(f"uicgpu.kernels.spanning_tree.tree.{name}", getattr(mutant, name))
    with pytest.raises((AssertionError, ValueError, IndexError)):
        found = [*find_nearest(Cloud(x), 4), *spanning_tree(x, 2), *spanning_tree(x, 6)]
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
