import numpy as np
import pytest

from uicgpu.recommend.ease import BUDGET_SHARE, Ease, RecentEase


def constrained_solve(matrix, penalty, dropout):
    """Solve for each column of B on its own, with its diagonal entry left out of the unknowns."""
    counts, items = matrix.sum(axis=0), matrix.shape[1]
    ridge = penalty + dropout / (1 - dropout) * counts
    weights = np.zeros((items, items))
    for target in range(items):
        others = np.delete(np.arange(items), target)
        part = matrix[:, others]
        weights[others, target] = np.linalg.solve(part.T @ part + np.diag(ridge[others]), part.T @ matrix[:, target])
    return weights


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize(("penalty", "dropout"), [(5.0, 0.0), (2.0, 0.3)])
def test_weights_against_a_direct_constrained_solve(world, form, penalty, dropout):
    part = world.part(world.random(10))
    arm = Ease(penalty, dropout, form=form).fit(part)
    matrix = world.dense(part)
    expected = constrained_solve(matrix, penalty, dropout)
    np.testing.assert_allclose(arm.weights, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(arm.score(world.everyone(part)), matrix @ expected, rtol=1e-4, atol=1e-5)


def test_primal_equals_dual(world):
    part = world.part(world.random(11, users=25, items=60))
    primal, dual = (Ease(20.0, 0.2, form=form).fit(part).weights for form in ("primal", "dual"))
    np.testing.assert_allclose(primal, dual, rtol=1e-5, atol=1e-8)


def test_the_head_follows_the_memory_budget(world):
    part = world.part(world.random(12, users=200, items=80), memory=64 * 2**20)
    part.backend.memory = int(20 * 30**2 / BUDGET_SHARE) + 1
    arm = Ease(5.0, form="primal").fit(part)
    assert arm.head.size == 30
    assert part.item_counts[arm.head].min() >= np.delete(part.item_counts, arm.head).max()
    scores = arm.score(world.everyone(part))
    assert (scores[:, arm.position < 0] == 0).all()
    expected = constrained_solve(world.dense(part)[:, arm.head], 5.0, 0.0)
    np.testing.assert_allclose(arm.weights, expected, rtol=1e-4, atol=1e-7)


def test_recent_history_counts_most(world):
    events = world.events([0] * 4 + [1] * 2, [0, 1, 2, 3, 0, 1], [1, 2, 2, 3, 1, 2])
    part = world.part(events)
    ease = Ease(1.0).fit(part)
    block = world.everyone(part)
    # user 0, latest first: item 3; then 1 and 2 of one moment; then 0
    by_event = np.array([0.5**3, 0.5, 0.5, 1])
    by_basket = np.array([0.5**2, 0.5, 0.5, 1])
    for unit, history in (("event", by_event), ("basket", by_basket)):
        scores = RecentEase(ease, 1.0, unit).score(block)[0]
        np.testing.assert_allclose(scores, history @ ease.weights.astype(np.float64), rtol=1e-5)


def test_items_without_events_stay_outside(world):
    part = world.part(world.events([0, 1, 1], [0, 0, 2], n_items=5))
    arm = Ease(1.0).fit(part)
    assert arm.head.tolist() == [0, 2]
    assert (arm.score(world.everyone(part))[:, [1, 3, 4]] == 0).all()


def test_checkerboard(world, checkerboard):
    part = world.part(checkerboard)
    scores = Ease(5.0).fit(part).score(world.everyone(part))
    scores[part.interactions.users, part.interactions.items] = -np.inf
    assert (scores.argmax(axis=1) == np.arange(50)).all()
