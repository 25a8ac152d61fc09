import numpy as np

from uicgpu.recommend.sequential import SequentialItems, count_transitions


def test_transitions_by_hand(world):
    # user 0: {0, 1} then {2}; user 1: {2} then {0} then {1}
    events = world.events([0, 0, 0, 1, 1, 1], [0, 1, 2, 2, 0, 1], [1, 1, 2, 1, 2, 3])
    table = count_transitions(world.part(events)).toarray()
    # in one basket: 0 with 1; next: 0 -> 2, 1 -> 2, 2 -> 0, 0 -> 1
    assert table.tolist() == [[0, 2, 1], [1, 0, 1], [1, 0, 0]]


def test_scores_by_hand(world):
    events = world.events([0, 0, 0, 1, 1, 1], [0, 1, 2, 2, 0, 1], [1, 1, 2, 1, 2, 3])
    part = world.part(events)
    arm = SequentialItems(1.0, 0.5).fit(part)
    expected = np.array([[0, 2, 1], [1, 0, 1], [1, 0, 0]]) / 2  # every item has two users
    np.testing.assert_allclose(arm.weights.toarray(), expected)
    scores = arm.score(world.everyone(part))
    np.testing.assert_allclose(scores[1], np.array([0.5, 1, 0.25]) @ expected)  # 2 lies two baskets back, 0 one


def test_users_do_not_run_into_each_other(world):
    events = world.events([0, 1, 2], [0, 1, 2], [1, 2, 3])
    assert count_transitions(world.part(events)).nnz == 0


def test_named_items_add_most(world):
    part = world.part(world.random(32))
    arm = SequentialItems(2.0, 0.5).fit(part)
    block = world.everyone(part)
    weights, entries = arm.weights.toarray(), arm.entries(block)
    rows, items = np.array([0, 1, 2]), np.array([5, 6, 7], np.int32)
    for row, item, entry in zip(rows, items, arm.strongest(block, rows, items, 1)[:, 0], strict=True):
        places = np.arange(block.offsets[row], block.offsets[row + 1])
        shares = entries[places] * weights[block.items[places], item]
        assert shares[entry - block.offsets[row]] == shares.max()
