import numpy as np

from uicgpu.events.interactions import DAY_US
from uicgpu.recommend.popularity import ClusterPopularity, Popularity, RecentPopularity


def test_popularity_counts_users_not_events(world):
    part = world.part(world.events([0, 0, 0, 1, 1], [0, 0, 1, 1, 2], n_items=4))
    assert Popularity().fit(part).score(world.everyone(part))[1].tolist() == [1, 2, 1, 0]


def test_recent_popularity_by_hand(world):
    # item 0: 20 and 10 days before the end; item 1: at the end; half-life 10 days
    part = world.part(world.events([0, 1, 1], [0, 0, 1], np.array([0, 10, 20]) * DAY_US))
    scores = RecentPopularity(10.0).fit(part).scores
    np.testing.assert_allclose(scores, [0.25 + 0.5 + 2e-6, 1 + 1e-6], rtol=1e-6)


def test_recent_popularity_per_user_does_not_see_later_events(world):
    events = world.events([0, 1, 1, 2], [0, 1, 0, 2], np.array([5, 1, 9, 30]) * DAY_US)
    part = world.part(events)
    block = world.everyone(part)
    arm = RecentPopularity(4.0, per_user=True).fit(part)
    times, items, users = part.interactions.last_times, part.interactions.items, part.interactions.users
    expected = np.zeros((3, 3))
    for row, now in enumerate(part.last_times):
        for time, item in zip(times, items, strict=True):
            if time <= now:
                expected[row, item] += 0.5 ** ((now - time) / DAY_US / 4.0)
    expected += 1e-6 * part.item_counts
    np.testing.assert_allclose(arm.score(block), expected, rtol=1e-5)
    assert users.size == 4


def test_recent_popularity_survives_centuries(world):
    times = np.array([-300, 0, 300]) * 365 * DAY_US
    scores = RecentPopularity(1.0).fit(world.part(world.events([0, 1, 2], [0, 1, 2], times))).scores
    assert np.isfinite(scores).all() and scores.argmax() == 2


def test_recent_popularity_without_times_is_popularity(world):
    part = world.part(world.events([0, 1, 1], [0, 0, 1]))
    scores = RecentPopularity().fit(part).scores
    assert scores[0] > scores[1] > 0


def test_cluster_popularity_by_hand(world):
    part = world.part(world.events([0, 1, 2, 3], [0, 0, 1, 1], n_users=5))
    arm = ClusterPopularity(np.array([0, 0, 1, -1, 1], np.int32)).fit(part)
    scores = arm.score(world.everyone(part))
    # cluster 0: both users chose item 0, half of all users did
    assert np.isclose(scores[0, 0], (2 + 20 * 0.5) / 22) and np.isclose(scores[0, 1], (0 + 20 * 0.5) / 22)
    # cluster 1 has one user with events (user 4 has none)
    assert np.isclose(scores[2, 1], (1 + 20 * 0.5) / 21)
    assert scores[3].tolist() == [0.5, 0.5]
