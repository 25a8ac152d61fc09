import numpy as np
import pytest

from uicgpu.recommend.ease import Ease
from uicgpu.recommend.ease_text import RecentTextEase, TextEase


def similarities(vectors, known, neighbours, strength):
    """Column j: the closest known items of j, squared cosine; a loop on purpose."""
    items = len(vectors)
    table = np.zeros((items, items))
    for target in np.flatnonzero(known):
        cosines = vectors.astype(np.float64) @ vectors[target]
        order = [i for i in np.lexsort((np.arange(items), -cosines)) if i != target and known[i]]
        for source in order[:neighbours]:
            table[source, target] = strength * max(cosines[source], 0) ** 2
    return table


def constrained_solve(matrix, ridge, pull):
    """Minimise per column |x_j - X b|^2 + sum d_i (b_i - pull_ij)^2 with b_j = 0, the diagonal left out."""
    items = matrix.shape[1]
    weights = np.zeros((items, items))
    for target in range(items):
        others = np.delete(np.arange(items), target)
        part = matrix[:, others]
        left = part.T @ part + np.diag(ridge[others])
        right = part.T @ matrix[:, target] + ridge[others] * pull[others, target]
        weights[others, target] = np.linalg.solve(left, right)
    return weights


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize(("penalty", "dropout"), [(5.0, 0.0), (2.0, 0.3)])
def test_scores_against_a_direct_constrained_solve(world, form, penalty, dropout):
    part = world.part(world.random(10), world.vectors(3, 30))
    ease = Ease(penalty, dropout, form=form).fit(part)
    arm = TextEase(ease, strength=0.4, neighbours=6).fit(part)
    matrix = world.dense(part)
    ridge = penalty + dropout / (1 - dropout) * matrix.sum(axis=0)
    expected = constrained_solve(matrix, ridge, similarities(part.directions, part.known, 6, 0.4))
    unseen = matrix == 0
    scores = arm.score(world.everyone(part))
    np.testing.assert_allclose(scores[unseen], (matrix @ expected)[unseen], rtol=2e-4, atol=2e-5)


def test_no_strength_is_plain_ease(world):
    part = world.part(world.random(11), world.vectors(3, 30))
    ease = Ease(10.0).fit(part)
    block, unseen = world.everyone(part), world.dense(part) == 0
    pulled = TextEase(ease, strength=0.0, neighbours=5).fit(part).score(block)
    np.testing.assert_allclose(pulled[unseen], ease.score(block)[unseen], rtol=1e-4, atol=1e-5)


def test_a_rare_item_profits_from_its_text(world):
    # item 11 was chosen once, by somebody with no other item; its text equals that of item 0
    who, what = np.nonzero(np.ones((20, 4), bool))
    events = world.events([*who, 20], [*what, 11], n_users=21, n_items=12)
    vectors = world.vectors(8, 12)
    vectors[11] = vectors[0]
    part = world.part(events, vectors)
    ease = Ease(5.0).fit(part)
    block = part.block(np.array([3], np.int32))
    assert ease.score(block)[0, 11] <= 1e-6
    assert TextEase(ease, 0.3, 2).fit(part).score(block)[0, 11] > 0.01


@pytest.mark.parametrize("recent", [False, True])
def test_a_named_item_carries_the_score(world, recent):
    part = world.part(world.random(12, users=60), world.vectors(4, 30))
    ease = Ease(5.0).fit(part)
    arm = (RecentTextEase(ease, 0.3, 8, 3.0) if recent else TextEase(ease, 0.3, 8)).fit(part)
    block = world.everyone(part)
    scores, entries = arm.score(block), arm.entries(block)
    rows, items = np.nonzero(world.dense(part)[:20] == 0)
    named = arm.strongest(block, rows, items.astype(np.int32), 1)[:, 0]
    for row, item, entry in zip(rows[::7], items[::7], named[::7], strict=True):
        shares = []
        for place in range(block.offsets[row], block.offsets[row + 1]):
            alone = np.zeros((1, 30))
            alone[0, block.items[place]] = entries[place]
            shares.append(_score_of(arm, alone)[item])
        assert np.isclose(sum(shares), scores[row, item], atol=1e-4)
        if entry >= 0:
            assert np.isclose(shares[entry - block.offsets[row]], max(shares), atol=1e-6)
        else:
            assert max(shares) <= 1e-6


def _score_of(arm, history):
    """x B by the formula, in float64."""
    ease = arm.ease
    inverse = -ease.weights.astype(np.float64) * ease.diagonal
    np.fill_diagonal(inverse, ease.diagonal)
    projected = history[0, ease.head] @ inverse
    wide = np.zeros(history.shape[1])
    wide[ease.head] = projected
    diagonal = np.ones(history.shape[1])
    diagonal[ease.head] = ease.diagonal
    return wide @ arm.prior.toarray() - wide * arm.scale / diagonal


def test_similar_texts_leave_out_the_item_itself_and_name_none_without_events(world):
    events = world.events([0, 0, 0, 1], [0, 1, 2, 2], n_items=5)
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 1, 0], [0, 0, 0]], np.float32)
    part = world.part(events, vectors)
    near, cosines = part.similar_texts(2)
    assert (near[4] == -1).all() and not {3, 4} & set(near.ravel().tolist())
    assert near[3, 0] == 1 and near[3, 1] == 2, "an item without events has neighbours, equal text first"
    assert near[1, 0] == 2 and near[2, 0] == 1 and cosines[1, 0] > 0.5
    assert part.similar_texts(1)[0].tolist() == near[:, :1].tolist()
