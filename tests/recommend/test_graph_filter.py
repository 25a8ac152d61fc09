import numpy as np
import pytest

from uicgpu.recommend import graph_filter
from uicgpu.recommend.graph_filter import GraphFilter


def weights_by_formula(matrix, factors, strength):
    """Y^T Y + strength n^-.5 V V^T n^.5 with a dense decomposition; diagonal left out of the first part only."""
    by_item, by_user = np.maximum(matrix.sum(axis=0), 1), np.maximum(matrix.sum(axis=1), 1)
    normal = by_user[:, None] ** -0.5 * matrix * by_item**-0.5
    step = normal.T @ normal
    np.fill_diagonal(step, 0)
    waves = np.linalg.svd(normal)[2][:factors].T
    return step + strength * by_item[:, None] ** -0.5 * (waves @ waves.T) * by_item**0.5


@pytest.mark.parametrize(("factors", "strength"), [(3, 0.3), (8, 1.0)])
def test_scores_against_a_dense_decomposition(world, factors, strength):
    part = world.part(world.random(6))
    matrix = world.dense(part)
    expected = matrix @ weights_by_formula(matrix, factors, strength)
    scores = GraphFilter(factors, strength).fit(part).score(world.everyone(part))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_more_factors_than_the_matrix_has_and_none_at_all(world):
    part = world.part(world.events([0, 0, 1], [0, 1, 1]))
    assert GraphFilter(64).fit(part).vectors.shape == (2, 1)
    lonely = world.part(world.events([0, 0], [0, 1]))
    assert not GraphFilter(64).fit(lonely).vectors.any()


def test_the_neighbours_are_cut_and_threads_do_not_change_a_byte(world, monkeypatch):
    monkeypatch.setattr(graph_filter, "STEP_NEIGHBOURS", 5)
    events = world.random(4, users=60, items=600, share=0.05)
    one, two = (GraphFilter(8).fit(world.part(events, threads=threads)) for threads in (1, 2))
    assert np.bincount(one.weights.indices, minlength=600).max() == 5
    assert one.vectors.tobytes() == two.vectors.tobytes()
    block = one.score(world.everyone(world.part(events)))
    assert block.tobytes() == two.score(world.everyone(world.part(events))).tobytes()


def test_the_named_items_are_those_that_add_most(world):
    part = world.part(world.random(5))
    arm = GraphFilter(6, 1.0).fit(part)
    block, weights = world.everyone(part), weights_by_formula(world.dense(part), 6, 1.0)
    rows, items = np.nonzero(world.dense(part) == 0)
    for row, item, entry in zip(rows, items, arm.strongest(block, rows, items.astype(np.int32), 1)[:, 0], strict=True):
        history = block.items[block.offsets[row] : block.offsets[row + 1]]
        assert np.isclose(weights[block.items[entry], item], weights[history, item].max(), rtol=1e-4)
