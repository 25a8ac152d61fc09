import numpy as np

from uicgpu.recommend.soft_clusters import SoftClusterPopularity


def test_scores_against_a_dense_sum(world):
    part = world.part(world.random(50), world.vectors(9, 30))
    arm = SoftClusterPopularity(4, 0.2).fit(part)
    matrix, centres = world.dense(part), arm.centroids.astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-6)
    raised = np.exp(part.user_vectors.astype(np.float64) @ centres.T / 0.2)
    belongs = raised / raised.sum(axis=1, keepdims=True)
    table = (belongs.T @ matrix + 20 * matrix.mean(axis=0)) / (belongs.sum(axis=0)[:, None] + 20)
    np.testing.assert_allclose(arm.score(world.everyone(part)), belongs @ table, rtol=1e-4)


def test_two_kinds_of_users_are_told_apart(world):
    # users 0 to 29 choose among items 0 to 4, the others among 5 to 9, and the texts say so
    who, what = np.nonzero(np.kron(np.eye(2), np.ones((30, 5))) * (np.random.default_rng(0).random((60, 10)) < 0.6))
    vectors = np.kron(np.eye(2), np.ones((5, 1))) + 0.01 * world.vectors(2, 10, 2)
    part = world.part(
        world.events(who, what, n_users=60, n_items=10), vectors / np.linalg.norm(vectors, axis=1)[:, None]
    )
    scores = SoftClusterPopularity(2, 0.05).fit(part).score(world.everyone(part))
    assert scores[0, :5].min() > scores[0, 5:].max() and scores[59, 5:].min() > scores[59, :5].max()


def test_fewer_users_than_clusters_and_none_with_a_text(world):
    part = world.part(world.events([0, 1], [0, 1]), world.vectors(1, 2))
    assert len(SoftClusterPopularity(20).fit(part).centroids) <= 2
    blank = world.part(world.events([0, 1, 1], [0, 0, 1]))
    scores = SoftClusterPopularity(20).fit(blank).score(world.everyone(blank))
    assert (scores[:, 0] > scores[:, 1]).all(), "without texts it is popularity"


def test_threads_do_not_change_a_byte(world):
    events, vectors = world.random(7, users=300, items=60), world.vectors(1, 60)
    parts = [world.part(events, vectors, threads=threads) for threads in (1, 2)]
    one, two = (SoftClusterPopularity(8).fit(part).score(world.everyone(part)) for part in parts)
    assert one.tobytes() == two.tobytes()
