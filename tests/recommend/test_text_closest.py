import numpy as np
import pytest

from uicgpu.recommend.text_closest import ClosestTexts


def slow_scores(part, user, closest, neighbours):
    """The definition, item by item in float64."""
    directions = part.directions.astype(np.float64)
    known = np.flatnonzero(part.known & part.has_text)
    history = set(part.interactions.history(user).tolist())
    scores = np.zeros(part.events.n_items)
    for item in np.flatnonzero(part.has_text):
        others = known[known != item]
        cosines = directions[others] @ directions[item]
        near = np.lexsort((others, -cosines))[:neighbours]
        values = sorted((c for o, c in zip(others[near], cosines[near], strict=True) if o in history and c > 0))
        scores[item] = sum(values[::-1][:closest]) / closest
    return scores


@pytest.mark.parametrize(("closest", "neighbours"), [(1, 4), (3, 100), (5, 8)])
def test_the_mean_of_the_largest_cosines_to_the_history(world, closest, neighbours):
    events = world.random(21)
    vectors = world.vectors(5, events.n_items)
    vectors[7] = 0
    part = world.part(events, vectors)
    scores = ClosestTexts(closest, neighbours).fit(part).score(world.everyone(part))
    for user in (0, 3, 11):
        np.testing.assert_allclose(scores[user], slow_scores(part, user, closest, neighbours), atol=1e-5)


def test_one_interest_of_two_is_enough(world):
    """User 0 likes two unlike things. Item 2 is the sequel of one of them, item 3 lies between both."""
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.99, 0, 0.14], [0.5, 0.5, 0.7], [0, 0, -1]], np.float32)
    part = world.part(world.events([0, 0, 1, 1, 2], [0, 1, 2, 4, 3], n_items=5), vectors)
    model = ClosestTexts(closest=1).fit(part)
    scores = model.score(world.everyone(part))
    assert scores[0, 2] > scores[0, 3]
    entries = model.strongest(world.everyone(part), np.array([0]), np.array([2], np.int32), 1)
    assert entries.tolist() == [[0]], "the reason names the item that it is the sequel of"


def test_an_item_without_events_is_judged_and_a_user_without_history_gets_nothing(world):
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    part = world.part(world.events([0, 1, 2], [0, 1, 2], n_items=4, n_users=4), vectors)
    scores = ClosestTexts().fit(part).score(world.everyone(part))
    assert scores[0, 3] == scores[0].max() > 0
    assert not scores[3].any()
