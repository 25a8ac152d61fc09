import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.recommend import cells, neighbours
from uicgpu.recommend.cells import Cells
from uicgpu.recommend.neighbours import UserNeighbours


def groups(count=2000, dim=12, seed=0):
    """Unit vectors around twenty directions."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(20, dim))[random.integers(0, 20, count)] + 0.5 * random.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_all_cells_are_an_exact_search(monkeypatch):
    monkeypatch.setattr(cells, "PROBES", 10**6)
    vectors, backend = groups(), choose_backend("cpu", threads=1)
    scores, rows = Cells(vectors, 0, backend).search(vectors[:50], 30)
    expected = backend.top_k(vectors[:50], vectors, 30)
    assert (rows == expected[1]).all() and (scores == expected[0]).all()


def test_few_cells_find_nearly_all_and_only_true_scores():
    vectors, backend = groups(), choose_backend("cpu", threads=1)
    index = Cells(vectors, 0, backend)
    assert len(index.centroids) == 44 and sorted(index.rows) == list(range(2000))
    scores, rows = index.search(vectors[:300], 30)
    exact = backend.top_k(vectors[:300], vectors, 30)[1]
    recall = np.mean([len(set(own) & set(best)) / 30 for own, best in zip(rows, exact, strict=True)])
    assert recall > 0.95
    np.testing.assert_allclose(scores, (vectors[:300, None] * vectors[rows]).sum(axis=2), rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_query_does_not_depend_on_its_block_nor_on_threads():
    vectors = groups(seed=1)
    one, two = (Cells(vectors, 0, choose_backend("cpu", threads=threads)) for threads in (1, 2))
    together = one.search(vectors[:40], 10)
    for row in (0, 17, 39):
        alone = two.search(vectors[row : row + 1], 10)
        assert alone[0].tobytes() == together[0][row].tobytes() and (alone[1][0] == together[1][row]).all()


def test_more_wanted_than_the_cells_hold_is_padded(monkeypatch):
    monkeypatch.setattr(cells, "PROBES", 1)
    vectors = groups(count=30)
    scores, rows = Cells(vectors, 0, choose_backend("cpu", threads=1)).search(vectors[:5], 25)
    held = (rows >= 0).sum(axis=1)
    assert (held < 25).all() and (held > 0).all()
    assert np.isneginf(scores[rows < 0]).all() and np.isfinite(scores[rows >= 0]).all()


def test_users_are_searched_in_cells_where_there_are_many(world, monkeypatch):
    part = world.part(world.random(6, users=120), world.vectors(0, 30))
    exact = UserNeighbours(7, 3.0).fit(part).score(world.everyone(part))
    monkeypatch.setattr(neighbours, "MOST_EXACT", 100)
    near = UserNeighbours(7, 3.0).fit(part)
    assert near._cells is not None
    scores = near.score(world.everyone(part))
    assert scores.shape == exact.shape and np.corrcoef(scores.ravel(), exact.ravel())[0, 1] == pytest.approx(1, abs=0.2)
    users, _ = near.nearest(world.everyone(part))
    assert (users != np.arange(120)[:, None]).all()
