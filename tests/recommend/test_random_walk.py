import numpy as np
import pytest

from uicgpu.recommend.random_walk import RandomWalk


@pytest.mark.parametrize(("alpha", "beta", "keep"), [(1.0, 0.0, 100), (0.8, 0.4, 100), (1.2, 0.6, 4)])
def test_weights_against_walks_one_by_one(world, alpha, beta, keep):
    part = world.part(world.random(3, users=25, items=12))
    matrix = world.dense(part)
    by_item, by_user = matrix.sum(axis=0), matrix.sum(axis=1)
    expected = np.zeros((12, 12))
    for target in range(12):
        walks = np.zeros(12)
        for source in range(12):
            if source == target:
                continue
            for user in range(25):
                if matrix[user, source] and matrix[user, target]:
                    step = (1 / by_item[source]) ** alpha * (1 / by_user[user]) ** alpha
                    walks[source] += step / by_item[target] ** beta
        for source in np.lexsort((np.arange(12), -walks))[:keep]:
            expected[source, target] = walks[source]
    arm = RandomWalk(alpha, beta, keep).fit(part)
    np.testing.assert_allclose(arm.weights.toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(arm.score(world.everyone(part)), matrix @ expected, rtol=1e-5)


def test_threads_do_not_change_a_byte(world):
    events = world.random(4, users=60, items=600, share=0.05)
    one, two = (RandomWalk(0.8, 0.4, 20).fit(world.part(events, threads=threads)).weights for threads in (1, 2))
    assert one.data.tobytes() == two.data.tobytes() and (one.indices == two.indices).all()
