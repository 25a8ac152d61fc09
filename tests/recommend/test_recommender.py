import numpy as np
import polars as pl
import pytest

from uicgpu.backends import choose_backend
from uicgpu.errors import InputError, SettingsError, UicError
from uicgpu.recommend import Catalogue, Recommender, recommend_all
from uicgpu.recommend.arms import FULL_ONLY, METHODS, arms_in_blend, arms_shown
from uicgpu.recommend.cold import Rung, ladder_weights, rungs, short_history_weights
from uicgpu.recommend.ease import BUDGET_SHARE
from uicgpu.recommend.grids import GRIDS, grid
from uicgpu.recommend.reasons import quote
from uicgpu.recommend.rows import check_finite
from uicgpu.settings import Settings


def catalogue_of(events, vectors=None, texts=None):
    return Catalogue(np.zeros((events.n_items, 3), np.float32) if vectors is None else vectors, None, texts)


def test_checkerboard_through_the_default_blend(checkerboard):
    frame = Recommender().fit(checkerboard, catalogue_of(checkerboard)).recommend(top=1)
    assert frame["item"].to_list() == list(range(50))
    assert frame["source"].unique().to_list() == ["ease"]


def test_no_seen_items_no_repeats_ranks_from_one(world):
    events = world.random(20)
    frame = Recommender().fit(events, catalogue_of(events)).recommend(top=5)
    seen = set(zip(events.users.tolist(), events.items.tolist(), strict=True))
    assert not seen & set(frame.select("user", "item").rows())
    for _, own in frame.group_by("user"):
        assert own["rank"].to_list() == list(range(1, own.height + 1))
        assert own["item"].n_unique() == own.height
        assert (np.diff(own["score"].to_numpy()) <= 0).all()
    assert frame.schema == {
        "user": pl.Int32,
        "rank": pl.Int32,
        "item": pl.Int32,
        "score": pl.Float32,
        "source": pl.String,
        "reason": pl.String,
    }
    assert frame["reason"].str.len_chars().min() > 0


def test_longer_than_the_catalogue_gives_shorter_lists_and_all_seen_gives_none(world):
    events = world.events([0, 0, 0, 1], [0, 1, 2, 0], n_items=4)
    frame = Recommender().fit(events, catalogue_of(events)).recommend(top=50)
    assert frame.filter(pl.col("user") == 0).height == 0  # item 3 has neither events nor text
    assert frame.filter(pl.col("user") == 1)["item"].to_list() == [1, 2]


def test_repeats_when_allowed(world):
    events = world.events([0, 0, 1], [0, 1, 0])
    frame = Recommender(allow_repeat=True).fit(events, catalogue_of(events)).recommend(top=2)
    assert frame.height == 4


def test_one_user_one_item(world):
    events = world.events([0], [0])
    assert Recommender().fit(events, catalogue_of(events)).recommend().height == 0


def test_no_events_is_an_error_and_so_are_foreign_users_and_vectors(world):
    events = world.events([0], [0])
    with pytest.raises(InputError, match="no events"):
        Recommender().fit(events.take(np.zeros(1, bool)), catalogue_of(events))
    with pytest.raises(InputError, match="user code 3"):
        Recommender().fit(events, catalogue_of(events)).recommend(np.array([3]))
    with pytest.raises(InputError, match="item vectors"):
        Recommender().fit(events, Catalogue(np.zeros((7, 3), np.float32)))
    with pytest.raises(SettingsError, match="no such settings"):
        Recommender({"arms": {"item_item": {"k": 3}}}).fit(events, catalogue_of(events))
    with pytest.raises(UicError, match="'ease' produced"):
        check_finite(np.array([[np.nan]], np.float32), "ease")


def test_threads_memory_and_blocks_do_not_change_a_byte(world):
    events = world.random(21, users=300, items=120, share=0.1)
    catalogue = catalogue_of(events, world.vectors(5, 120), [f"text {item}" for item in range(120)])
    learned = {"weights": {"ease": 1.0, "text": 0.4, "user_neighbours": 0.4, "ease_recent": 0.4}}
    frames = []
    for threads, memory in ((1, 2**30), (2, 2**30), (1, 400_000)):
        backend = choose_backend("cpu", threads=threads, memory=memory)
        recommender = Recommender(learned, backend).fit(events, catalogue)
        frames.append(recommender.recommend(top=7))
    sizes = [len(block) for block in recommender.blocks(np.arange(300, dtype=np.int32))]
    assert len(sizes) > 5
    assert frames[0].equals(frames[1]) and frames[0].equals(frames[2])
    some = np.array([250, 3, 77], np.int32)
    alone = recommender.recommend(some, top=7)
    assert alone.equals(pl.concat([frames[0].filter(pl.col("user") == user) for user in some]))


def test_the_ladder(world):
    # user 0: five known items; user 1: two; user 2: only an item that the fit never saw; user 3: nothing
    fitted = world.events([0] * 5 + [1, 1, 4], [0, 1, 2, 3, 4, 0, 1, 5], n_users=5, n_items=7)
    vectors = world.vectors(6, 7)
    part = world.part(fitted, vectors)
    histories = part.histories(world.events([0] * 5 + [1, 1, 2, 4], [0, 1, 2, 3, 4, 0, 1, 6, 5], n_users=5, n_items=7))
    block = histories.block(np.arange(5, dtype=np.int32))
    expected = [Rung.BLEND, Rung.SHORT_HISTORY, Rung.TEXT_ONLY, Rung.NO_HISTORY, Rung.SHORT_HISTORY]
    assert rungs(block, part).tolist() == expected


def test_ladder_weights_skip_missing_arms_and_keep_popularity_below():
    table = ladder_weights({"ease": 1.0, "text": 0.4}, {"ease": 1.0, "popularity": 0.3}, ("popularity", "ease"))
    assert table["popularity"].tolist() == [0.001, 0.301, 0.001, 1.001]
    assert table["ease"].tolist() == [1.0, 1.0, 0.0, 0.0]
    lately = ladder_weights({}, {}, ("popularity", "recent_popularity"))
    assert lately["recent_popularity"][Rung.NO_HISTORY] == 1 and lately["popularity"][Rung.NO_HISTORY] == 0.001


def test_short_histories_lean_on_popularity():
    pulled = short_history_weights({"ease": 1.0, "text": 0.5}, "popularity", 0.2)
    assert pulled == {"ease": 1.0, "text": 0.5, "popularity": 0.3}
    assert short_history_weights({"ease": 1.0}, "popularity", 0.0) == {"ease": 1.0}


def test_users_without_history_see_what_is_popular_lately(world):
    day = 86_400_000_000
    users, items = [0, 1, 2, 3, 4], [0, 0, 0, 1, 1]
    events = world.events(users, items, np.array([0, 0, 0, 400, 400]) * day, n_users=6)
    recommender = Recommender().fit(events, catalogue_of(events))
    frame = recommender.recommend(np.array([5]))
    assert frame["item"].to_list() == [1, 0]
    assert frame["reason"][0] == "popular with everyone lately"
    assert recommender.rung_counts == {"no_history": 1}


def test_users_without_history_see_what_their_cluster_chooses(world):
    events = world.events(np.arange(80), [0] * 40 + [1] * 20 + [2] * 20, n_users=81)
    labels = np.array([0] * 40 + [1] * 20 + [0] * 20 + [1], np.int32)
    settings, backend = Settings(events=(), top=1), choose_backend("cpu")
    asked = np.array([80], np.int32)
    made = recommend_all(events, catalogue_of(events), None, settings, backend, cluster_labels=labels, users=asked)
    assert made.select("item", "source").rows() == [(1, "cluster_popularity")]


def test_new_items_compete_only_where_text_has_a_weight(world):
    vectors = np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 4, 0]]
    events = world.events([0] * 4 + [1] * 2, [0, 1, 2, 3, 3, 4], n_users=3, n_items=6)
    silent = Recommender({"weights": {"ease": 1.0}}).fit(events, catalogue_of(events, vectors)).recommend()
    assert 5 not in silent["item"].to_list()
    told = Recommender({"weights": {"ease": 1.0, "text": 1.0}}).fit(events, catalogue_of(events, vectors)).recommend()
    assert 5 in told.filter(pl.col("user") == 0)["item"].to_list()
    assert told.filter(pl.col("user") == 2)["item"].to_list() == [3, 0, 1, 2, 4]  # without a history text says nothing


def test_reasons_name_the_items_that_count(world, checkerboard):
    texts = [f"item number {item}" for item in range(50)]
    frame = Recommender().fit(checkerboard, catalogue_of(checkerboard, texts=texts)).recommend(np.array([4]), top=1)
    assert frame["reason"][0] == 'because of "item number 0" and "item number 2"'


def test_each_source_has_its_sentence(world):
    events = world.random(22)
    texts = [f"text {item}" for item in range(events.n_items)]
    catalogue = catalogue_of(events, world.vectors(7, events.n_items), texts)
    starts = {
        "text": 'its text is close to "text',
        "user_neighbours": "users like you chose it (",
        "item_item": 'because of "text',
        "ease": 'because of "text',
        "ease_recent": 'because of "text',
        "ease_text": 'because of "text',
        "ease_text_recent": 'because of "text',
        "sequential": 'because of "text',
        "ials": 'because of "text',
        "user_neighbours_events": "users like you chose it (",
        "popularity": "popular with everyone",
        "recent_popularity": "popular with everyone lately",
    }
    for name, start in starts.items():
        frame = Recommender({"weights": {name: 1.0}}).fit(events, catalogue).recommend(np.array([1]), top=1)
        assert frame["source"][0] == name and frame["reason"][0].startswith(start)


def test_quotes_are_one_short_line():
    assert quote("a\n b") == '"a b"'
    long = quote("word " * 40)
    assert len(long) <= 63 and long.endswith('word…"')
    assert len(quote("字" * 200)) == 63


def test_the_head_of_ease_is_told(world):
    events = world.random(23, users=100, items=60)
    backend = choose_backend("cpu", threads=1, memory=64 * 2**20)
    backend.memory = int(20 * 20**2 / BUDGET_SHARE) + 1
    recommender = Recommender(None, backend).fit(events, catalogue_of(events))
    assert "EASE covers the 20 most frequent of 60 items" in recommender.notes[0]


def test_what_looks_at_the_future_stays_out_of_the_blend():
    assert "recent_popularity" in arms_in_blend("time")
    assert "recent_popularity" not in arms_in_blend("user-time") and "recent_popularity" in arms_shown("user-time")
    timed = {"recent_popularity", "sequential", "ease_recent", "ease_text_recent"}
    assert not timed & set(arms_shown("user-random")) and not timed & set(arms_in_blend("none"))
    assert set(arms_shown("time", "full")) - set(arms_shown("time", "quick")) == FULL_ONLY == FULL_ONLY & set(METHODS)


def test_every_arm_has_the_same_budget():
    for level, budget in (("off", 1), ("quick", 6), ("full", 12)):
        assert {len(entries) for name, entries in GRIDS[level].items() if name not in ("popularity", "text")} == {
            budget
        }
        for name in METHODS:
            entries = grid(name, level, {"ease_recent": {"unit": "basket", "half_life": 3.0}})
            assert len({str(entry) for entry in entries}) == len(entries) == len(GRIDS[level][name])
    assert {entry["half_life"] for entry in grid("ease_text_recent", "full", {})} == {20.0, 40.0}
