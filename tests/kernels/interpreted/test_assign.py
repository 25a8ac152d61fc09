"""The Triton form of assign: every shape, dtype and tile, and proof that the suite can fail."""

import itertools

import numpy as np
import pytest
import torch

from uicgpu.kernels.assign import cuda
from uicgpu.kernels.assign.gpu_tiles import Tile, choose_tile

SMALL = [Tile(16, 16, 16, resident, 4, 1) for resident in (True, False)]
SHAPES = [(1, 1, 1), (3, 2, 7), (5, 9, 2), (40, 37, 50), (33, 34, 33), (17, 1, 16), (16, 16, 48)]
KINDS = [torch.float16, torch.bfloat16, torch.float32]


def integers(seed, n, d):
    return torch.from_numpy(np.random.default_rng(seed).integers(-4, 5, size=(n, d)).astype(np.float32))


def three(points, centroids, half_norms=None):
    """Labels and scores of the three largest, by a stable sort in float64; -1 and -inf where there is none."""
    x, c = points.double().numpy(), centroids.double().numpy()
    with np.errstate(all="ignore"):
        scores = x @ c.T - ((c * c).sum(axis=1) / 2 if half_norms is None else half_norms.double().numpy())
    scores[~np.isfinite(x).all(axis=1)] = -np.inf
    scores = np.concatenate([scores, np.full((len(x), 2), -np.inf)], axis=1)
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    values = np.take_along_axis(scores, ids, axis=1)
    return np.where(np.isneginf(values), -1, ids), values


def check_equal(found, points, centroids, half_norms=None):
    ids, values = three(points, centroids, half_norms)
    np.testing.assert_array_equal(found.labels.numpy(), ids[:, 0])
    np.testing.assert_array_equal(found.second_labels.numpy(), ids[:, 1])
    for got, column in zip((found.scores, found.second_scores, found.third_scores), values.T, strict=True):
        np.testing.assert_array_equal(got.numpy(), column.astype(np.float32))


def check_shapes(nearest, load):
    for (n, k, d), tile in itertools.product(SHAPES, SMALL):
        guards = load.guards()
        x, c = integers(1, n, d).half(), integers(2, k, d).half()
        norms = guards.put((c.double() ** 2).sum(dim=1, keepdim=True).float() / 2)[:, 0]
        check_equal(nearest(guards.put(x, 3), guards.put(c, 5), norms, tile=tile), x, c)
        guards.check()


def check_ties(nearest, load):
    """Equal centroids in one tile and in several: the lowest id first, the next as second, the third as score."""
    c = integers(3, 6, 5).half()
    # 48 centroids in tiles of 16, every one eight times
    c = c[torch.from_numpy(np.random.default_rng(4).permutation(np.repeat(np.arange(6), 8)))]
    x = integers(5, 30, 5).half()
    for tile in SMALL:
        check_equal(nearest(x, c, tile=tile), x, c)


def check_norms_are_the_callers(nearest, load):
    x, c = integers(6, 20, 9).half(), integers(7, 19, 9).half()
    zeros = torch.zeros(19)
    check_equal(nearest(x, c, zeros, tile=SMALL[0]), x, c, zeros)


def check_rows_that_are_not_finite(nearest, load):
    x, c = integers(8, 40, 20).half(), integers(9, 20, 20).half()
    c[3] = 0  # infinity times zero is NaN, infinity times another number is infinite
    for row, column, value in ((0, 0, np.nan), (17, 19, np.inf), (39, 5, -np.inf)):
        x[row, column] = value
    for tile in SMALL:
        found = nearest(x, c, tile=tile)
        check_equal(found, x, c)
        assert found.labels[[0, 17, 39]].tolist() == [-1, -1, -1]


def check_rows_beyond_int32(nearest, load):
    """Row 2048 starts at element 2^31."""
    rows = load.far_rows(torch.float16)
    rows[2048] = 1
    tile = Tile(2048, 16, 16, True, 4, 1)
    c = torch.ones((1, 16), dtype=torch.float16)
    assert nearest(rows, c, tile=tile).scores[2048] == 8  # 16 - 16 / 2
    assert nearest(c, rows, torch.zeros(2049), tile=Tile(16, 2048, 16, False, 4, 1)).labels.tolist() == [2048]


CHECKS = [
    check_shapes,
    check_ties,
    check_norms_are_the_callers,
    check_rows_that_are_not_finite,
    check_rows_beyond_int32,
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check, load):
    check(load.guarded(cuda.nearest_three), load)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["ieee", "tf32x3"])
def test_dtypes(kind, precision, load):
    """In the interpreter bfloat16 operands go through float32: it would multiply their bit patterns."""
    for tile in SMALL:
        x, c = integers(1, 40, 50).to(kind), integers(2, 37, 50).to(kind)
        check_equal(load.guarded(cuda.nearest_three)(x, c, precision=precision, tile=tile), x, c)


@pytest.mark.parametrize("d", [1, 16, 50, 384, 768, 1024])
@pytest.mark.parametrize("architecture", [80, 89, 90])
def test_the_tiles_that_ship(d, architecture, load):
    x, c = integers(1, 130, d).half(), integers(2, 131, d).half()
    tile = choose_tile(d, 2, architecture)
    check_equal(load.guarded(cuda.nearest_three)(x, c, tile=tile), x, c)


@pytest.mark.parametrize("kind", KINDS)
def test_random_data(kind, load):
    rng = np.random.default_rng(5)
    x, c = (torch.from_numpy(rng.standard_normal((rows, 65)).astype(np.float32)).to(kind) for rows in (300, 40))
    found = cuda.nearest_three(x, c)
    ids, values = three(x, c)
    clear = -np.diff(values, axis=1).max(axis=1) > 1e-3
    np.testing.assert_array_equal(found.labels.numpy()[clear], ids[clear, 0])
    for got, column in zip((found.scores, found.second_scores, found.third_scores), values.T, strict=True):
        np.testing.assert_allclose(got.numpy(), column, rtol=1e-4, atol=1e-3)


def test_twice_the_same_bits():
    x, c = torch.randn(100, 33), torch.randn(20, 33)
    for first, second in zip(cuda.nearest_three(x, c), cuda.nearest_three(x, c), strict=True):
        assert first.numpy().tobytes() == second.numpy().tobytes()


def test_no_points():
    assert all(len(out) == 0 for out in cuda.nearest_three(torch.empty(0, 4), torch.ones(2, 4)))


def test_what_the_kernel_refuses():
    x = torch.ones(4, 6)
    for points, centroids in ((x, torch.ones(2, 5)), (x, torch.ones(0, 6)), (x, torch.ones(2, 6).half())):
        with pytest.raises(ValueError, match="centroids"):
            cuda.nearest_three(points, centroids)
    with pytest.raises(ValueError, match="unit stride"):
        cuda.nearest_three(x[:, ::2], torch.ones(2, 3))


MUTANTS = {
    "no column mask on resident points": (
        "mask=is_row[:, None] & inside[None, :], other=0.0)\n            chunks",
        "mask=is_row[:, None], other=0.0)\n            chunks",
    ),
    "no column mask on streamed points": (
        "mask=is_row[:, None] & inside[None, :], other=0.0)\n                c =",
        "mask=is_row[:, None], other=0.0)\n                c =",
    ),
    "no column mask on centroids": ("mask=is_centroid[:, None] & inside[None, :]", "mask=is_centroid[:, None]"),
    "centroids beyond the last have norm 0": ('mask=is_centroid, other=float("inf")', "mask=is_centroid, other=0.0"),
    "no row mask on a store": ("tl.store(scores + row, first, mask=is_row)", "tl.store(scores + row, first)"),
    "ties between tiles to the newer": ("wins = best > first", "wins = best >= first"),
    "ties inside a tile to the highest id": (
        "best_id = tl.min(tl.where(score == best[:, None], id_[None, :], 2147483647), axis=1)",
        "best_id = tl.max(tl.where(score == best[:, None], id_[None, :], -1), axis=1)",
    ),
    "second ties to the highest id": (
        "next_id = tl.min(tl.where(score == next_[:, None], id_[None, :], 2147483647), axis=1)",
        "next_id = tl.max(tl.where(score == next_[:, None], id_[None, :], -1), axis=1)",
    ),
    "the loser of two tiles is forgotten": (
        "rival = tl.where(wins, next_, second)\n",
        "rival = tl.where(wins, next_, second)\n        loser = rival\n",
    ),
    "second tie between tiles": ("(loser > rival) | (wins & (loser == rival))", "loser > rival"),
    "second tie to the newer": ("(loser > rival) | (wins & (loser == rival))", "loser >= rival"),
    "second of the wrong side": ("rival = tl.where(wins, next_, second)", "rival = tl.where(wins, second, next_)"),
    "third forgets this tile": ("tl.maximum(third, last)", "third"),
    "third forgets the middle": ("tl.minimum(second, best)", "tl.minimum(second, last)"),
    "index off by one": ("id_ = start + place", "id_ = start + place + 1"),
    "ids of the tile only": (
        "first_id = tl.where(wins, best_id, first_id)",
        "first_id = tl.where(wins, best_id - start, first_id)",
    ),
    "norm added": ("score = product - tl.load", "score = product + tl.load"),
    "norm instead of half": ("dim=1) / 2).float()", "dim=1)).float()"),
    "NaN stays a score": ('tl.where(tl.abs(score) < float("inf"), score, nothing)', "score"),
    "infinity stays a score": (
        'tl.where(tl.abs(score) < float("inf"), score, nothing)',
        "tl.where(score == score, score, nothing)",
    ),
    "the last chunk of columns is dropped": (
        "tl.static_range(0, D, BLOCK_D)",
        "tl.static_range(0, D - BLOCK_D + 1, BLOCK_D)",
    ),
    "the last tile of centroids is dropped": ("range(0, k, BLOCK_K)", "range(0, k - BLOCK_K + 1, BLOCK_K)"),
    "32-bit rows": ("tl.program_id(0).to(tl.int64)", "tl.program_id(0)"),
    "32-bit centroids": ("id_.to(tl.int64)[:, None]", "id_[:, None]"),
    "the stride of a row is its width": ("row[:, None] * point_stride", "row[:, None] * D"),
}
EQUIVALENT = {
    "a comparison written out": ("wins = best > first", "wins = (best > first) & True"),
    "the order of a sum": ("begin + column)[None, :]", "column + begin)[None, :]"),
}
"""Changes without effect: that they pass shows that the suite fails for a reason."""


def fails(nearest, load):
    for check in CHECKS:
        try:
            check(load.guarded(nearest), load)
        except (AssertionError, ValueError, IndexError):
            return True
        except Exception as error:  # the interpreter's own errors
            assert type(error).__module__.startswith("triton"), error
            return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_the_suite_catches(name, load):
    assert fails(load(cuda, MUTANTS[name]).nearest_three, load)


@pytest.mark.parametrize("name", [None, *EQUIVALENT])
def test_the_suite_lets_pass(name, load):
    assert not fails(load(cuda, EQUIVALENT.get(name)).nearest_three, load)
