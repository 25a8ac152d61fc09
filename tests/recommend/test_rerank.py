import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.errors import InputError, SettingsError
from uicgpu.recommend import Catalogue, Recommender
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.recommend.repeat import RepeatItems
from uicgpu.recommend.rerank import rerank


def block_of(world, vectors, categories=None):
    events = world.events([0, 0, 0, 0], [0, 1, 2, 3], n_users=1, n_items=len(vectors))
    backend = choose_backend("cpu", threads=1)
    part = TrainingPart(events, Catalogue(np.asarray(vectors, np.float32), categories), backend)
    return part.block(np.array([0], np.int32))


def test_variety_by_hand(world):
    vectors = np.zeros((8, 3))
    vectors[[4, 5], 0] = 1
    vectors[6, 1] = 1
    block = block_of(world, vectors)
    total = np.full((1, 8), -np.inf)
    total[0, 4:7] = [3.0, 2.9, 2.0]
    assert rerank(total, block, 3, 0.0, 0.0)[0].tolist() == [4, 5, 6]
    assert rerank(total, block, 3, 0.6, 0.0)[0].tolist() == [4, 6, 5]
    assert rerank(total, block, 5, 0.6, 0.0)[0].tolist() == [4, 6, 5, -1, -1]


def test_calibration_follows_the_history(world):
    # three of four history items are "a": a list of four should hold about three
    categories = [("a",), ("a",), ("a",), ("b",)] + [("b",)] * 8 + [("a",)] * 8
    block = block_of(world, np.zeros((20, 3)), categories)
    total = np.full((1, 20), -np.inf)
    total[0, 4:] = -np.arange(16.0)
    assert set(rerank(total, block, 4, 0.0, 0.0)[0]) <= set(range(4, 12))
    calibrated = rerank(total, block, 4, 0.0, 0.9)[0]
    assert (calibrated >= 12).sum() == 3 and (calibrated < 12).sum() == 1


def test_filters_and_options_through_the_recommender(world):
    events = world.random(24)
    categories = [("even",) if item % 2 == 0 else ("odd",) for item in range(30)]
    catalogue = Catalogue(world.vectors(7, 30), categories, None)
    recommender = Recommender().fit(events, catalogue)
    plain = recommender.recommend(top=5)
    assert recommender.recommend(top=5, diversity=0.0).equals(plain)
    even = recommender.recommend(top=5, categories=["even"])
    assert even.height and (even["item"] % 2 == 0).all()
    varied = recommender.recommend(top=5, diversity=0.9)
    seen = set(zip(events.users.tolist(), events.items.tolist(), strict=True))
    assert not varied.equals(plain) and not seen & set(varied.select("user", "item").rows())

    def closeness(frame):
        values = []
        for _, own in frame.group_by("user"):
            vectors = catalogue.item_vectors[own["item"].to_numpy()]
            values.append((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean())
        return np.nanmean(values)

    assert closeness(varied) < closeness(plain)
    with pytest.raises(InputError, match="no item has the category 'evn'"):
        recommender.recommend(categories=["evn"])
    with pytest.raises(SettingsError, match="at most 1"):
        recommender.recommend(diversity=0.7, calibration=0.7)


def test_repeats_by_hand(world):
    day = 86_400_000_000
    events = world.events([0, 0, 0, 1], [0, 0, 1, 2], np.array([0, 10, 20, 90]) * day, n_items=4)
    part = world.part(events)
    scores = RepeatItems(10.0).fit(part).score(world.everyone(part))
    np.testing.assert_allclose(scores[0], [np.log(3) / 2, np.log(2), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(scores[1], [0, 0, np.log(2), 0], rtol=1e-6)
