import numpy as np

from uicgpu.recommend import neighbours
from uicgpu.recommend.neighbours import UserNeighbours


def naive(vectors, matrix, number, power):
    scores = np.zeros(matrix.shape)
    for user in range(len(vectors)):
        cosines = vectors @ vectors[user]
        others = sorted((-cosines[other], other) for other in range(len(vectors)) if other != user)
        for negative, other in others[:number]:
            scores[user] += max(-negative, 0) ** power * matrix[other]
    return scores


def test_votes_against_naive_loops(world):
    events = world.random(6)
    part = world.part(events, world.vectors(0, events.n_items))
    block = world.everyone(part)
    arm = UserNeighbours(7, 3.0).fit(part)
    expected = naive(part.user_vectors.astype(np.float64), world.dense(part), 7, 3.0)
    np.testing.assert_allclose(arm.score(block), expected, rtol=1e-4, atol=1e-6)


def test_supporters_count_neighbours_who_chose_the_item(world):
    events = world.random(7)
    part = world.part(events, world.vectors(1, events.n_items))
    block, matrix = world.everyone(part), world.dense(part)
    arm = UserNeighbours(5, 1.0).fit(part)
    users, _ = arm.nearest(block)
    rows, items = np.array([0, 0, 9]), np.array([1, 2, 4], np.int32)
    chose, voting = arm.supporters(block, rows, items)
    for row, item, count, total in zip(rows, items, chose, voting, strict=True):
        near = users[row][users[row] >= 0]
        assert row not in near
        assert count == matrix[near, item].sum() and total == near.size


def test_without_texts_nobody_votes(world):
    part = world.part(world.random(8))
    arm = UserNeighbours().fit(part)
    assert (arm.score(world.everyone(part)) == 0).all()


def test_a_sample_of_references_is_seeded(world, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_REFERENCES", 10)
    events = world.random(9)
    part = world.part(events, world.vectors(2, events.n_items))
    first, again, other = (UserNeighbours(seed=seed).fit(part).references for seed in (0, 0, 1))
    assert first.size == 10 and (first == again).all() and (first != other).any()
