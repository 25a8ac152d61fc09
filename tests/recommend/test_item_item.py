import numpy as np
import pytest

from uicgpu.recommend import co_occurrence
from uicgpu.recommend.item_item import ItemItem


def naive(matrix, exponent, keep):
    counts, items = matrix.sum(axis=0), matrix.shape[1]
    weights = np.zeros((items, items))
    for target in range(items):
        found = []
        for other in range(items):
            both = (matrix[:, other] * matrix[:, target]).sum()
            if other != target and both:
                found.append((-both * counts[other] ** -exponent * counts[target] ** -exponent, other))
        for weight, other in sorted(found)[:keep]:
            weights[other, target] = -weight
    return weights


@pytest.mark.parametrize(("exponent", "keep"), [(0.0, 3), (0.5, 5), (0.3, 100)])
def test_weights_and_scores_against_naive_loops(world, exponent, keep):
    part = world.part(world.random(3))
    arm = ItemItem(exponent, keep).fit(part)
    matrix = world.dense(part)
    expected = naive(matrix, exponent, keep)
    np.testing.assert_allclose(arm.weights.toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(arm.score(world.everyone(part)), matrix @ expected, rtol=1e-5)


def test_ties_are_kept_by_lower_item(world):
    # items 1, 2, 3 occur equally often with item 0
    part = world.part(world.events([0] * 4, [0, 1, 2, 3]))
    weights = ItemItem(0.5, 2).fit(part).weights.toarray()
    assert np.flatnonzero(weights[:, 0]).tolist() == [1, 2]
    assert np.flatnonzero(weights[:, 3]).tolist() == [0, 1]


def test_only_the_latest_items_of_a_long_history_count(world, monkeypatch):
    monkeypatch.setattr(co_occurrence, "LONGEST_HISTORY", 2)
    part = world.part(world.events([0, 0, 0], [0, 1, 2], [1, 3, 2]))
    weights = ItemItem(0.0, 5).fit(part).weights.toarray()
    assert weights[1, 2] == 1 and weights[0].sum() == 0


def test_threads_do_not_change_a_byte(world):
    events = world.random(4, users=60, items=600, share=0.05)
    one, two = (ItemItem(0.5, 20).fit(world.part(events, threads=threads)).weights for threads in (1, 2))
    assert one.data.tobytes() == two.data.tobytes() and (one.indices == two.indices).all()


def test_deleting_the_named_items_lowers_the_score(world):
    part = world.part(world.random(5))
    arm = ItemItem(0.5, 10).fit(part)
    block = world.everyone(part)
    rows, items = np.array([0, 7]), np.array([3, 5], np.int32)
    entries = arm.strongest(block, rows, items, 2)
    weights = arm.weights.toarray()
    for row, item, named in zip(rows, items, entries, strict=True):
        history = block.items[block.offsets[row] : block.offsets[row + 1]]
        best = sorted(history, key=lambda i, item=item: (-weights[i, item], i))[:2]
        assert block.items[named].tolist() == best
        assert weights[best, item].min() > 0
