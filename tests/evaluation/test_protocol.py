import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from uicgpu.backends import choose_backend
from uicgpu.evaluation import evaluate, evaluation_steps, learning
from uicgpu.evaluation.ranking import held_out
from uicgpu.evaluation.tuning import _last_items, tune
from uicgpu.events.split import TEST, split_events
from uicgpu.recommend import Catalogue, held_back, ranker, recommend_all
from uicgpu.recommend.arms import FULL_ONLY, METHODS
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.settings import Settings


def run(events, vectors=None, threads=1, advance=None, **given):
    vectors = np.zeros((events.n_items, 4), np.float32) if vectors is None else vectors
    settings = Settings(threads=threads, **{"bootstrap": 100, "k": 2, **given})
    return evaluate(events, Catalogue(vectors), settings, choose_backend("cpu", threads=threads), advance)


def tasteful_vectors(events, seed=0):
    """Texts of two topics, by the parity of the item."""
    random = np.random.default_rng(seed)
    vectors = random.normal(0, 0.5, (events.n_items, 6))
    vectors[np.arange(events.n_items), np.arange(events.n_items) % 2] += 2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def outcome():
    from importlib import util
    from pathlib import Path

    spec = util.spec_from_file_location("evaluate_worlds", Path(__file__).with_name("conftest.py"))
    worlds = util.module_from_spec(spec)
    spec.loader.exec_module(worlds)
    events = worlds.two_tastes()
    done = []
    found = run(events, tasteful_vectors(events), split="user-time", advance=done.append)
    return events, found, done


def test_the_blend_beats_popularity_where_tastes_differ(outcome):
    _, found, _ = outcome
    assert found.metrics["difference.blend-popularity.ndcg@10.low"] > 0
    assert found.metrics["evaluation.users"] == 80 and found.metrics["evaluation.split"] == "user-time"


def test_names_are_stable_and_numbers_are_numbers(outcome):
    _, found, done = outcome
    metrics = found.metrics
    assert metrics["ranking.repeat.ndcg@10"] is None
    assert all(metrics[f"ranking.{name}.ndcg@10"] is None for name in FULL_ONLY)
    for name in (*(name for name in METHODS[:-1] if name not in FULL_ONLY), "blend", "recommender"):
        for metric in (
            "ndcg@10",
            "ndcg@20",
            "recall@10",
            "recall@20",
            "precision@10",
            "hit_rate@10",
            "mrr@10",
            "map@10",
        ):
            value, low, high = (metrics[f"ranking.{name}.{metric}{end}"] for end in ("", ".low", ".high"))
            assert 0 <= low <= value <= high <= 1
    for pair in ("real-none", "random-none", "real-random"):
        assert metrics[f"ablation.{pair}.ndcg@10.low"] <= metrics[f"ablation.{pair}.ndcg@10"]
    for name in ("blend", "popularity"):
        for metric in ("coverage", "novelty", "diversity", "gini"):
            assert metrics[f"beyond.{name}.{metric}@10"] is not None
    assert all(value is None or isinstance(value, (str, int)) or np.isfinite(value) for value in metrics.values())
    assert json.loads(json.dumps([metrics, found.learned])) == [metrics, found.learned]
    assert sum(done) == evaluation_steps("quick")


def test_full_tuning_tries_every_arm_with_twelve_settings(outcome):
    events, _, _ = outcome
    done = []
    found = run(
        events, tasteful_vectors(events), advance=done.append, split="user-time", tune="full", allow_repeat=True
    )
    assert [name for name in METHODS if found.metrics[f"ranking.{name}.ndcg@10"] is None] == []
    assert {len(tried) for name, tried in found.learned["tried"].items() if name not in ("popularity", "text")} == {12}
    assert sum(done) == evaluation_steps("full") > evaluation_steps("quick")


def test_what_was_learned_serves_the_recommender(outcome):
    events, found, _ = outcome
    assert "recent_popularity" not in found.learned["weights"]
    assert found.learned["best_arm"] in METHODS
    settings = Settings(top=3)
    catalogue = Catalogue(tasteful_vectors(events))
    made = recommend_all(events, catalogue, found.learned, settings, choose_backend("cpu"))
    same_taste = made["item"].to_numpy() % 2 == made["user"].to_numpy() % 2
    assert same_taste.mean() > 0.95 and made["user"].n_unique() == 80


def test_threads_do_not_change_a_byte(outcome):
    events, found, _ = outcome
    again = run(events, tasteful_vectors(events), threads=2, split="user-time")
    assert json.dumps(again.metrics) == json.dumps(found.metrics)
    assert json.dumps(again.learned) == json.dumps(found.learned)


@pytest.mark.parametrize("kind", ["time", "user-time"])
def test_test_events_cannot_change_what_is_learned(world, kind):
    events = world.tastes(1, users=40, items=30, chosen=10)
    vectors = tasteful_vectors(events)
    test = split_events(events, kind, 0).parts == TEST
    random = np.random.default_rng(2)
    items = events.items.copy()
    items[test] = random.integers(0, events.n_items, test.sum())
    weights = events.weights.copy()
    weights[test] = 9
    changed = replace(events, items=items, weights=weights)
    plain, other = (run(table, vectors, split=kind).learned for table in (events, changed))
    assert plain == other


@pytest.mark.parametrize("kind", ["time", "user-time"])
def test_test_events_cannot_change_a_tree_of_the_ranker(world, kind, monkeypatch):
    monkeypatch.setattr(ranker, "TREES", 20)
    monkeypatch.setattr(held_back, "FEWEST_USERS", 10)
    monkeypatch.setattr(held_back, "_gains", lambda better, simpler: True)
    events = world.tastes(9, users=90, items=40, chosen=10)
    test = split_events(events, kind, 0).parts == TEST
    random = np.random.default_rng(2)
    items = events.items.copy()
    items[test] = random.integers(0, events.n_items, test.sum())
    vectors = tasteful_vectors(events)
    plain, other = (run(table, vectors, split=kind).learned for table in (events, replace(events, items=items)))
    assert plain["ranker"]["model"] and ("time" in plain["ranker"]["groups"]) == (kind == "time")
    assert plain == other


def test_random_order_leaks_nothing_through_recency(world):
    found = run(world.tastes(3, timed=False), split="auto")
    assert found.learned["split"] == "user-random"
    assert not {"recent_popularity", "ease_recent", "sequential"} & set(found.learned["validation"])
    assert found.metrics["ranking.recent_popularity.ndcg@10"] is None
    assert found.metrics["ranking.ease.ndcg@10"] is not None


def test_no_split_gives_no_numbers_and_default_weights(world):
    found = run(world.tastes(4), split="none")
    assert found.metrics == {} and found.learned["weights"]["ease"] == 1.0 and found.learned["notes"]


def test_without_texts_the_arms_that_need_them_are_named(world):
    found = run(world.tastes(5, users=30), split="user-time")
    assert found.metrics["ranking.text.ndcg@10"] is None and found.metrics["ablation.clusters"] is None
    assert any("user_neighbours, ease_text" in note for note in found.learned["notes"])
    assert any("no ablation" in note for note in found.learned["notes"])


def test_cold_users_are_told_apart(world):
    # users 0-9 fill the past; 10-14 appear in the last tenth only
    old = np.repeat(np.arange(10), 9)
    new = np.repeat(np.arange(10, 15), 2)
    items = np.concatenate([np.tile(np.arange(9), 10), np.tile([0, 9], 5)])
    times = np.arange(old.size + new.size)
    events = world.events(np.concatenate([old, new]), items, times)
    found = run(events, split="time").metrics
    assert found["evaluation.cold_users"] == found["cold.fallback.users"] == 5
    assert found["evaluation.users"] == found["evaluation.warm_users"] == 0
    assert 0 < found["cold.fallback.ndcg@10"] < 1  # item 0 is popular, item 9 has no event in the past
    assert found["ranking.blend.ndcg@10"] is None


def test_repeats_stay_in_the_truth_when_allowed(world):
    users = np.repeat(np.arange(20), 10)
    events = world.events(users, np.tile([0, 1, 2, 3, 0, 1, 2, 3, 0, 1], 20), np.tile(np.arange(10), 20) * 20 + users)
    masked = run(events, split="user-time").metrics
    allowed = run(events, split="user-time", allow_repeat=True).metrics
    assert masked["evaluation.users"] == 0 and masked["evaluation.seen_test_items_removed"] == 40
    assert allowed["evaluation.users"] == 20 and allowed["ranking.blend.recall@10"] == 1
    assert allowed["ranking.repeat.recall@10"] == 1


def test_one_user_and_one_item(world):
    for events in (
        world.events([0], [0], [1]),
        world.events([0] * 6, range(6), range(6)),
        world.events(range(6), [0] * 6),
    ):
        found = run(events)
        assert found.learned["weights"] and found.metrics["evaluation.users"] in (0, 1)


def test_at_most_so_many_users_are_scored(world, monkeypatch):
    monkeypatch.setattr(learning, "TUNING_USERS", 20)
    found = run(world.tastes(6), split="user-time", evaluate_users=50)
    assert found.metrics["evaluation.users"] == 50 and found.metrics["evaluation.warm_users"] == 80


def test_tuning_keeps_the_best_of_its_grid(world):
    events = world.tastes(7)
    split = split_events(events, "user-time", 0)
    part = TrainingPart(split.train, Catalogue(tasteful_vectors(events)), choose_backend("cpu", threads=1))
    truth = held_out(split.validation, part.interactions)
    steps = []
    tuned = tune(
        ("popularity", "item_item", "ease"),
        part,
        truth,
        per_user=True,
        allow_repeat=False,
        seed=0,
        advance=steps.append,
    )
    assert sum(steps) == 13
    for name in tuned.arms:
        scores = [entry["ndcg@10"] for entry in tuned.tried[name]]
        chosen = tuned.tried[name][int(np.argmax(scores))]
        assert {**tuned.settings[name], "ndcg@10": chosen["ndcg@10"]} == chosen
        assert tuned.scores[name] == pytest.approx(max(scores), abs=1e-6)


@pytest.mark.parametrize("timed", [True, False])
def test_short_histories_are_the_last_items(world, timed):
    events = world.tastes(8, users=20, timed=timed)
    part = TrainingPart(events, Catalogue(tasteful_vectors(events)), choose_backend("cpu", threads=1))
    users = np.array([0, 3, 7], np.int32)
    cut = _last_items(part, users, 2, seed=0)
    assert np.unique(cut.users).tolist() == users.tolist() and len(cut) == 6
    for user in users:
        own = events.users == user
        kept = cut.items[cut.users == user]
        assert set(kept) <= set(events.items[own])
        if timed:
            last = events.items[own][np.argsort(events.times[own])[-2:]]
            assert sorted(kept) == sorted(last)
    histories = part.histories(cut)
    assert histories.pooler is part.pooler and histories.user_vectors[users].any(axis=1).all()


def film_events(folder):
    path = folder / "movielens-latest-small" / "ratings.csv"
    if not path.is_file():
        pytest.skip("no movielens-latest-small here")
    frame = pl.read_csv(path).filter(pl.col("rating") >= 3.5).sort("userId", "timestamp", "movieId")
    # the most chosen films keep the test small
    frame = frame.filter(
        pl.col("movieId").is_in(frame["movieId"].value_counts().sort("count", "movieId")["movieId"][-800:].implode())
    )
    codes = {name: frame[name].rank("dense").to_numpy().astype(np.int32) - 1 for name in ("userId", "movieId")}
    return codes["userId"], codes["movieId"], frame["timestamp"].to_numpy() * 1_000_000


def test_films_blend_above_popularity(world, shared_data):
    events = world.events(*film_events(shared_data))
    found = run(events, bootstrap=200)
    assert found.metrics["evaluation.split"] == "user-time"
    assert found.metrics["difference.blend-popularity.ndcg@10.low"] > 0
    assert found.metrics["ranking.ease.ndcg@10"] > found.metrics["ranking.popularity.ndcg@10"]
