import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.recommend.features import Features, candidate_ranks, feature_groups, feature_names, monotone, unite
from uicgpu.recommend.inputs import Catalogue, TrainingPart

DAY = 86_400_000_000


def part_of(events, vectors, categories=None):
    backend = choose_backend("cpu", threads=1)
    return TrainingPart(events, Catalogue(vectors, categories, None), backend)


def test_time_features_exist_under_one_cut_in_time_only(world):
    part = part_of(world.random(1), world.vectors(1, 30), [("a",)] * 30)
    on = {split: set(feature_groups(split, part)[0]) for split in ("time", "user-time", "leave-one-out", "user-random")}
    assert on["time"] == {"base", "time", "text", "text_timed", "category"}
    assert on["user-time"] == on["leave-one-out"] == {"base", "text", "text_timed", "category"}
    assert on["user-random"] == {"base", "text", "category"}
    assert feature_groups("user-time", part)[1] == ["time"]
    bare = part_of(world.random(1, timed=False), np.zeros((30, 3), np.float32))
    assert feature_groups("time", bare)[0] == ["base"]


def test_arms_are_monotone_and_nothing_else():
    names = feature_names(("ease", "text"), ["base", "text"])
    assert names[:4] == ["z_ease", "rank_ease", "z_text", "rank_text"]
    assert monotone(names) == [1, -1, 1, -1] + [0] * (len(names) - 4)


def test_ranks_against_a_sort():
    random = np.random.default_rng(0)
    scores = random.integers(0, 400, (6, 900)).astype(np.float32)
    scores[random.random(scores.shape) < 0.1] = -np.inf
    items = np.sort(random.permuted(np.tile(np.arange(900), (6, 1)), axis=1)[:, :80], axis=1).astype(np.int32)
    items[0, 70:] = -1
    found = candidate_ranks(scores, items)
    for row, place in np.ndindex(items.shape):
        if items[row, place] >= 0:
            rank = 1 + int((scores[row] > scores[row, items[row, place]]).sum())
            assert found[row, place] == (rank if rank <= 500 else 501)


def test_union_is_sorted_and_padded():
    assert unite([np.array([[3, 1], [2, -1]], np.int32), np.array([[1, 0], [2, -1]], np.int32)]).tolist() == [
        [0, 1, 3],
        [2, -1, -1],
    ]


def by_hand(part, block, row, item):
    """Features of one pair, written out."""
    history = block.items[block.offsets[row] : block.offsets[row + 1]]
    counts = np.log1p(part.item_counts)
    pairs = part.interactions
    told = [counts[item], np.log1p(history.size), counts[history].mean(), counts[item] - counts[history].mean()]
    own = pairs.items == item
    days = (part.now - pairs.last_times[own]) / DAY
    decayed = [np.log1p((0.5 ** (days / half)).sum()) for half in (7, 45)]
    age = min((part.now - pairs.first_times[own].min()) / DAY, 400)
    idle = (part.now - part.events.times[part.events.users == block.users[row]].max()) / DAY
    told += [age, *decayed, decayed[0] - decayed[1], idle]
    directions = part.directions.astype(np.float64)
    mean = part.catalogue.item_vectors[part.known].mean(axis=0)
    told += [
        (directions[history] @ directions[item]).max(),
        part.user_vectors[block.users[row]] @ directions[item],
        part.catalogue.item_vectors[item] @ (mean / np.linalg.norm(mean)),
    ]
    events_back = part.steps_back[0][block.rows[block.offsets[row] : block.offsets[row + 1]]]
    weight = 0.5 ** (events_back / 3) / np.log(2 + part.item_counts[history])
    last = weight @ directions[history]
    told.append(last @ directions[item] / np.linalg.norm(last))
    categories = part.catalogue.categories
    flat = [name for chosen in history for name in categories[chosen]]
    everywhere = [name for chosen in pairs.items for name in categories[chosen]]
    lifts, shares = [], []
    for name in categories[item]:
        q, g = flat.count(name) / max(len(flat), 1), everywhere.count(name) / len(everywhere)
        lifts.append(np.log((q + 0.02 * g + 1e-6) / (g + 1e-6)))
        shares.append(q)
    return [*told, np.mean(lifts) if lifts else 0, np.mean(shares) if shares else 0]


def test_features_against_a_slow_account(world):
    events = world.random(2)
    random = np.random.default_rng(3)
    names = np.array(["a", "b", "c"])
    categories = [tuple(names[: random.integers(0, 4)]) for _ in range(30)]
    part = part_of(events, world.vectors(4, 30), categories)
    features = Features(part, ("one",), ["base", "time", "text", "text_timed", "category"])
    block = part.block(np.arange(12, dtype=np.int32))
    known = np.flatnonzero(part.known).astype(np.int32)
    items = np.tile(known[:9], (12, 1))
    items[3, 5:] = -1
    z = {"one": random.normal(size=(12, 30)).astype(np.float32)}
    ranks = {"one": np.ones((12, 9), np.float32)}
    table = features.table(block, z, ranks, items)
    rows, places = np.nonzero(items >= 0)
    assert table.shape == (rows.size, len(features.names))
    for pair in range(0, rows.size, 5):
        row, item = rows[pair], items[rows[pair], places[pair]]
        expected = [z["one"][row, item], np.log(2), *by_hand(part, block, row, item)]
        np.testing.assert_allclose(table[pair], expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_features_do_not_depend_on_the_block(world, cut):
    part = part_of(world.random(5), world.vectors(6, 30), [("a", "b")] * 15 + [()] * 15)
    features = Features(part, (), ["base", "time", "text", "text_timed", "category"])
    items = np.tile(np.flatnonzero(part.known).astype(np.int32)[:7], (12, 1))

    def table(users):
        return features.table(part.block(users), {}, {}, items[: users.size])

    users = np.arange(12, dtype=np.int32)
    whole = table(users)
    pieces = [table(users[start : start + cut]) for start in range(0, 12, cut)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
