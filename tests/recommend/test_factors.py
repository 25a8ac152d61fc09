import numpy as np

from uicgpu.recommend.factors import ImplicitFactors


def test_threads_do_not_change_a_byte(world):
    events = world.random(40, users=200, items=80)
    scores = []
    for threads in (1, 2):
        part = world.part(events, threads=threads)
        arm = ImplicitFactors(8, 1.0, 2.0, seed=3).fit(part)
        scores.append(part.backend.map(arm.score, [world.everyone(part)])[0])
    assert scores[0].tobytes() == scores[1].tobytes()


def test_the_users_factor_minimises_the_weighted_squares(world):
    part = world.part(world.random(41))
    arm = ImplicitFactors(4, 0.7, 3.0).fit(part)
    items, matrix = arm.item_factors.astype(np.float64), world.dense(part)
    found = arm.user_factors(world.everyone(part)).astype(np.float64)

    def loss(user, vector):
        weight = np.where(matrix[user] > 0, 3.0, 1.0)
        return (weight * (matrix[user] - items @ vector) ** 2).sum() + 0.7 * (vector**2).sum()

    random = np.random.default_rng(0)
    for user in range(5):
        best = loss(user, found[user])
        assert all(best <= loss(user, found[user] + 1e-2 * random.normal(size=4)) for _ in range(20))


def test_checkerboard_and_unknown_items(world, checkerboard):
    part = world.part(checkerboard)
    scores = ImplicitFactors(8, 1.0).fit(part).score(world.everyone(part))
    own = np.add.outer(np.arange(50), np.arange(50)) % 2 == 0
    assert scores[own].min() > scores[~own].max()
    small = world.part(world.events([0, 1], [0, 2], n_items=4))
    assert (ImplicitFactors(2).fit(small).score(world.everyone(small))[:, [1, 3]] == 0).all()


def test_named_items_are_shares_of_the_score(world):
    part = world.part(world.random(42))
    arm = ImplicitFactors(4, 0.7, 3.0).fit(part)
    block = world.everyone(part)
    scores = arm.score(block)
    ridge = arm._gram + 0.7 * np.eye(4)
    factors = arm.item_factors.astype(np.float64)
    own = factors[block.items[block.offsets[2] : block.offsets[3]]]
    shares = 3.0 * own @ np.linalg.solve(ridge + 2.0 * own.T @ own, factors[9])
    assert np.isclose(shares.sum(), scores[2, 9], atol=1e-4)
    named = arm.strongest(block, np.array([2]), np.array([9], np.int32), 1)[0, 0]
    assert named - block.offsets[2] == (shares.argmax() if shares.max() > 0 else named - block.offsets[2])
