import numpy as np
import polars as pl
import pytest

from uicgpu.backends import choose_backend
from uicgpu.errors import SettingsError
from uicgpu.recommend import Catalogue, Recommender
from uicgpu.recommend.new_items import NewItems


def two_shelves(world, new=4):
    """Users of even number choose items 0 to 9, the others 10 to 19; from 20 on items are new, of each kind."""
    random = np.random.default_rng(3)
    who, what = np.nonzero(random.random((60, 10)) < 0.5)
    what = what + 10 * (who % 2)
    shelf = np.concatenate([np.arange(20) // 10, np.arange(4) % 2])
    vectors = np.eye(2)[shelf] + 0.2 * random.normal(size=(24, 2))
    vectors = np.concatenate([vectors, 0.3 * random.normal(size=(24, 3))], axis=1)[: 20 + new]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    events = world.events(who, what, n_users=61, n_items=20 + new)
    return events, Catalogue(vectors.astype(np.float32), None, [f"thing {item}" for item in range(20 + new)])


def test_the_closest_texts_take_the_last_places(world):
    events, catalogue = two_shelves(world)
    part = world.part(events, catalogue.item_vectors)
    rung = NewItems(part, places=2)
    assert rung.items.tolist() == [20, 21, 22, 23]
    random = np.random.default_rng(1)
    total, cosines = random.normal(size=(8, 24)), random.normal(size=(8, 24)).astype(np.float32)
    total[:, 23] = -np.inf
    before, served = total.copy(), np.arange(8) != 5
    placed = rung.place(total, cosines, served, 6)
    assert (total[5] == before[5]).all() and not placed[5].any()
    for row in np.flatnonzero(served):
        known = cosines[row, :20]
        fitting = [item for item in (20, 21, 22) if cosines[row, item] > known.mean() + 0.5 * known.std()]
        fitting = sorted(fitting, key=lambda item, row=row: -cosines[row, item])[:2]
        best = np.argsort(-before[row, :20])[: 6 - len(fitting)].tolist()
        order = np.argsort(-total[row], kind="stable")[:6].tolist()
        assert order == best + fitting and np.flatnonzero(placed[row]).tolist() == sorted(fitting)


def test_new_items_reach_users_they_fit_and_say_why(world):
    events, catalogue = two_shelves(world)
    fitted = [Recommender(None, choose_backend("cpu", threads=threads)).fit(events, catalogue) for threads in (1, 2)]
    frames = [recommender.recommend(top=6, new_items=2) for recommender in fitted]
    assert frames[0].equals(frames[1])
    without = fitted[0].recommend(top=6)
    assert without["item"].max() < 20
    new = frames[0].filter(pl.col("item") >= 20)
    assert new.height > 40 and set(new["source"]) == {"new_item"}
    assert new["reason"].str.starts_with('its text is close to "thing').mean() > 0.9
    assert (new["item"] % 2 == new["user"] % 2).all()
    whole = fitted[0].recommend(np.array([60], np.int32), top=24, new_items=2)
    assert whole["item"].max() < 20, "without a history nothing fits"
    for user in range(61):
        own, before = (frame.filter(pl.col("user") == user) for frame in (frames[0], without))
        known = own.filter(pl.col("item") < 20)["item"].to_list()
        assert 6 >= own.height >= before.height and known == before["item"].to_list()[: len(known)]
        assert own["item"].to_list()[: len(known)] == known, "new items come last"
        assert len(known) >= min(before.height, 4) and (np.diff(own["score"].to_numpy()) <= 0).all()


def test_nothing_changes_where_nothing_is_new_or_nothing_has_a_text(world):
    for events, catalogue in (
        two_shelves(world, new=0),
        (two_shelves(world)[0], Catalogue(np.zeros((24, 5), np.float32))),
    ):
        recommender = Recommender().fit(events, catalogue)
        assert recommender.recommend(top=6, new_items=2).equals(recommender.recommend(top=6))


def test_a_filter_holds_for_new_items_too_and_places_have_to_be_in_the_list(world):
    events, catalogue = two_shelves(world)
    shelves = [("even",)] * 10 + [("odd",)] * 10 + [("even",), ("odd",)] * 2
    recommender = Recommender().fit(events, Catalogue(catalogue.item_vectors, shelves, catalogue.texts))
    odd = recommender.recommend(top=4, new_items=4, categories=["odd"])
    assert set(odd["item"]) <= {*range(10, 20), 21, 23} and {21, 23} <= set(odd["item"])
    with pytest.raises(SettingsError, match="5 places for new items in lists of 4"):
        recommender.recommend(top=4, new_items=5)
