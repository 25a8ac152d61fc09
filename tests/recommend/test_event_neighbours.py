import numpy as np
import pytest

from uicgpu.recommend.event_neighbours import EventNeighbours


@pytest.mark.parametrize(("power", "idf"), [(1.0, 0.0), (3.0, 1.0)])
def test_votes_against_a_dense_loop(world, power, idf):
    part = world.part(world.random(30))
    arm = EventNeighbours(7, power, idf).fit(part)
    matrix = world.dense(part)
    weighted = matrix * np.log1p(len(matrix) / np.maximum(matrix.sum(axis=0), 1)) ** idf
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    expected = np.zeros_like(matrix)
    for user in range(len(matrix)):
        cosines = unit @ unit[user]
        cosines[user] = -1
        for other in np.lexsort((np.arange(len(matrix)), -cosines.round(12)))[:7]:
            expected[user] += max(cosines[other], 0) ** power * matrix[other]
    np.testing.assert_allclose(arm.score(world.everyone(part)), expected, rtol=1e-5, atol=1e-6)


def test_foreign_histories_may_meet_themselves(world):
    part = world.part(world.random(31))
    arm = EventNeighbours(5).fit(part)
    again = part.histories(part.events)
    users, weights = arm.nearest(again.block(np.array([3], np.int32)))
    assert users[0, 0] == 3 and np.isclose(weights[0, 0], 1)
    assert 3 not in arm.nearest(part.block(np.array([3], np.int32)))[0]


def test_nobody_near(world):
    part = world.part(world.events([0, 1], [0, 1]))
    arm = EventNeighbours(5).fit(part)
    assert (arm.score(world.everyone(part)) == 0).all()
    assert (arm.nearest(world.everyone(part))[0] == -1).all()
