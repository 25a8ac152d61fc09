import numpy as np
import pytest

from uicgpu.recommend.ease import Ease
from uicgpu.recommend.ease_rows import TextRowsEase


def weights_by_inversion(part, matrix, ridge, strength):
    """EASE on the events with one more row per axis of the texts, inverted as it is written down."""
    rows = np.sqrt(strength) * part.directions.astype(np.float64).T
    wide = np.vstack([matrix, rows])
    inverse = np.linalg.inv(wide.T @ wide + np.diag(ridge))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize(("dropout", "strength"), [(0.0, 3.0), (0.3, 200.0)])
def test_scores_against_an_inversion_with_the_rows(world, form, dropout, strength):
    part = world.part(world.random(10), world.vectors(3, 30))
    arm = TextRowsEase(Ease(5.0, dropout, form=form).fit(part), strength).fit(part)
    matrix = world.dense(part)
    expected = matrix @ weights_by_inversion(part, matrix, 5.0 + dropout / (1 - dropout) * matrix.sum(axis=0), strength)
    unseen = matrix == 0
    scores = arm.score(world.everyone(part))
    np.testing.assert_allclose(scores[unseen], expected[unseen], rtol=1e-3, atol=2e-5)


def test_no_strength_is_plain_ease_and_the_tail_outside_the_head_has_no_opinion(world):
    part = world.part(world.random(11), world.vectors(3, 30))
    ease = Ease(10.0, most_items=20).fit(part)
    block, unseen = world.everyone(part), world.dense(part) == 0
    scores = TextRowsEase(ease, 1e-9).fit(part).score(block)
    np.testing.assert_allclose(scores[unseen], ease.score(block)[unseen], rtol=1e-4, atol=1e-5)
    assert not scores[:, ease.position < 0].any()


def test_a_rare_item_profits_from_its_text(world):
    # item 11 was chosen once, by somebody with no other item; its text equals that of item 0,
    # which user 21 chose
    who, what = np.nonzero(np.ones((20, 4), bool))
    events = world.events([*who, 20, 21], [*what, 11, 0], n_users=22, n_items=12)
    vectors = np.eye(12)
    vectors[11] = vectors[0]
    part = world.part(events, vectors)
    ease = Ease(5.0).fit(part)
    block = part.block(np.array([21], np.int32))
    assert TextRowsEase(ease, 30.0).fit(part).score(block)[0, 11] > ease.score(block)[0, 11] + 0.05


def test_a_named_item_carries_the_score(world):
    part = world.part(world.random(12, users=60), world.vectors(4, 30))
    arm = TextRowsEase(Ease(5.0).fit(part), 20.0).fit(part)
    matrix, block = world.dense(part), world.everyone(part)
    weights = weights_by_inversion(part, matrix, np.full(30, 5.0), 20.0)
    rows, items = np.nonzero(matrix[:20] == 0)
    named = arm.strongest(block, rows, items.astype(np.int32), 1)[:, 0]
    for row, item, entry in zip(rows, items, named, strict=True):
        history = block.items[block.offsets[row] : block.offsets[row + 1]]
        best = weights[history, item].max()
        assert (entry < 0) == (best <= 0)
        assert entry < 0 or np.isclose(weights[block.items[entry], item], best, atol=1e-5)


def test_threads_do_not_change_a_byte(world):
    events, vectors = world.random(7, users=80, items=600, share=0.05), world.vectors(1, 600)
    parts = [world.part(events, vectors, threads=threads) for threads in (1, 2)]
    one, two = (TextRowsEase(Ease(5.0).fit(part), 20.0).fit(part).score(world.everyone(part)) for part in parts)
    assert one.tobytes() == two.tobytes()
