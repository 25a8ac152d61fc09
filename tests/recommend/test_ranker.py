import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.recommend import Catalogue, Recommender
from uicgpu.recommend.blend import Candidates
from uicgpu.recommend.cold import Rung, rungs
from uicgpu.recommend.ranker import Labelled, Ranker, mix, train
from uicgpu.recommend.second_stage import SecondStage

pytest.importorskip("lightgbm", reason="LightGBM is not installed")
NAMES = ["z_one", "rank_one", "noise"]


def labelled(seed=0, users=110, width=30, useful=True) -> Labelled:
    """Candidates where the third feature decides what is chosen, and the arm knows a little."""
    random = np.random.default_rng(seed)
    items = np.tile(np.arange(width, dtype=np.int32), (users, 1))
    items[::7, width - 5 :] = -1
    secret = random.normal(size=items.shape)
    hits = (secret > 1.5) & (items >= 0)
    z = (random.normal(size=items.shape) + 0.5 * hits).astype(np.float32)
    inside = items >= 0
    shown = secret if useful else random.normal(size=items.shape)
    columns = [z, -z, shown]
    table = np.stack([column[inside] for column in columns], axis=1).astype(np.float32)
    chosen = np.maximum(hits.sum(axis=1), 1).astype(np.int64)
    return Labelled(Candidates(items, {"one": z}, hits, chosen), table, NAMES)


def test_a_seed_makes_one_model_and_text_keeps_it():
    data = labelled()
    model = train(data, 3)
    assert train(data, 3).model == model.model and train(data, 4).model != model.model
    assert Ranker(model.model).predict(data.table).tobytes() == model.predict(data.table).tobytes()
    assert model.predict(data.table)[7] == model.predict(data.table[7:8])[0]


def test_a_better_arm_never_lowers_the_score():
    data = labelled()
    model = train(data, 0)
    base = data.table[:50]
    for step in (0.1, 1.0, 5.0):
        better = base.copy()
        better[:, 0] += step
        assert (model.predict(better) >= model.predict(base)).all()
        better = base.copy()
        better[:, 1] -= step
        assert (model.predict(better) >= model.predict(base)).all()


def test_padding_does_not_enter_the_mix():
    random = np.random.default_rng(1)
    ranker, blend = random.normal(size=(2, 3, 6))
    inside = np.ones((3, 6), bool)
    inside[1, 4:] = False
    wide = [np.concatenate([array, np.full((3, 4), 9.0)], axis=1) for array in (ranker, blend)]
    padded = np.concatenate([inside, np.zeros((3, 4), bool)], axis=1)
    assert mix(*wide, padded)[:, :6].tobytes() == mix(ranker, blend, inside).tobytes()
    for row in range(3):
        own = mix(ranker, blend, inside)[row][inside[row]]
        z = [
            (array[row][inside[row]] - array[row][inside[row]].mean()) / array[row][inside[row]].std()
            for array in (ranker, blend)
        ]
        np.testing.assert_allclose(own, z[0] + z[1], atol=1e-12)


@pytest.fixture(scope="module")
def shop():
    """Learned settings with a small ranker, for events of 80 users."""
    random = np.random.default_rng(2)
    who, what = np.nonzero(random.random((80, 60)) < 0.15)
    return who, what, random.integers(0, 10**12, who.size)


def learned_of(recommender, mode="mix"):
    stage = SecondStage("off", ("ease", "item_item"), ["base"]).prepare(recommender.part)
    block = recommender.part.block(np.arange(80, dtype=np.int32))
    z = {name: recommender.z_scores(arm, block) for name, arm in recommender.arms.items()}
    items, table = stage.propose(block, z, False)
    hits = np.random.default_rng(3).random(items.shape) < 0.1
    hits &= items >= 0
    candidates = Candidates(items, {}, hits, np.maximum(hits.sum(axis=1), 1).astype(np.int64))
    model = train(Labelled(candidates, table, stage.features.names), 0).model
    return {
        "weights": {"ease": 1.0, "item_item": 0.4},
        "ranker": {"mode": mode, "arms": ["ease", "item_item"], "groups": ["base"], "model": model},
    }


@pytest.mark.parametrize("mode", ["mix", "alone"])
def test_ranked_lists_hold_the_same_rules(world, shop, mode):
    events = world.events(*shop, n_users=82, n_items=60)
    catalogue = Catalogue(np.zeros((60, 3), np.float32), None, [f"item {item}" for item in range(60)])
    plain = Recommender({"weights": {"ease": 1.0, "item_item": 0.4}}).fit(events, catalogue)
    learned = learned_of(plain, mode)
    frames = []
    for threads, memory in ((1, 2**30), (2, 2**30), (1, 300_000)):
        recommender = Recommender(learned, choose_backend("cpu", threads=threads, memory=memory))
        frames.append(recommender.fit(events, catalogue).recommend(top=60))
    assert frames[0].equals(frames[1]) and frames[0].equals(frames[2])
    frame, before = frames[0], plain.recommend(top=60)
    assert not frame.equals(before)
    seen = set(zip(events.users.tolist(), events.items.tolist(), strict=True))
    assert not seen & set(frame.select("user", "item").rows())
    assert frame["reason"].str.len_chars().min() > 0
    for user, own in frame.group_by("user"):
        assert own["item"].n_unique() == own.height
        assert (np.diff(own["score"].to_numpy()) <= 1e-6).all()
        assert set(own["item"]) == set(before.filter(before["user"] == user[0])["item"])


def test_users_with_short_histories_keep_the_ladder(world, shop):
    events = world.events(*shop, n_users=82, n_items=60)
    catalogue = Catalogue(np.zeros((60, 3), np.float32))
    plain = Recommender({"weights": {"ease": 1.0, "item_item": 0.4}}).fit(events, catalogue)
    ranked = Recommender(learned_of(plain)).fit(events, catalogue)
    users = np.arange(82, dtype=np.int32)
    short = users[rungs(plain.part.block(users), plain.part) != Rung.BLEND]
    assert short.size and ranked.recommend(short).equals(plain.recommend(short))


def test_a_model_without_its_arms_is_left_out_and_told(world, shop):
    events = world.events(*shop, n_users=80, n_items=60)
    catalogue = Catalogue(np.zeros((60, 3), np.float32))
    plain = Recommender({"weights": {"ease": 1.0, "item_item": 0.4}}).fit(events, catalogue)
    learned = learned_of(plain)
    learned["ranker"]["arms"] = ["ease", "text"]
    recommender = Recommender(learned).fit(events, catalogue)
    assert recommender.second is None and any("no ranker" in note for note in recommender.notes)
