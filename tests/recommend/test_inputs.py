import numpy as np


def test_a_block_holds_the_users_histories_in_the_order_asked(world):
    part = world.part(world.random(30))
    users = np.array([7, 2, 39], np.int32)
    block = part.block(users)
    for row, user in enumerate(users):
        own = slice(block.offsets[row], block.offsets[row + 1])
        assert block.items[own].tolist() == part.interactions.history(user).tolist()
        assert (part.interactions.users[block.rows[own]] == user).all()


def test_steps_back_count_events_and_baskets(world):
    part = world.part(world.events([0] * 5 + [1], [0, 1, 2, 3, 4, 0], [5, 5, 3, 9, 1, 2]))
    events_back, baskets_back = part.steps_back
    assert events_back.tolist() == [1, 1, 3, 0, 4, 0]
    assert baskets_back.tolist() == [1, 1, 2, 0, 3, 0]


def test_an_empty_part(world):
    events = world.events([0], [0])
    part = world.part(events.take(np.zeros(1, bool)))
    assert len(part.interactions) == 0 and not part.user_vectors.any()
    assert [steps.size for steps in part.steps_back] == [0, 0]
