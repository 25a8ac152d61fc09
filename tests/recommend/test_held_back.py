import numpy as np
import pytest

from uicgpu.backends import choose_backend
from uicgpu.recommend import held_back
from uicgpu.recommend.blend import Candidates, best_single, learn_weights
from uicgpu.recommend.held_back import FOLDS, choose_base, choose_ranker, fold_of
from uicgpu.recommend.ranker import Labelled


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
    return Labelled(Candidates(items, {"one": z}, hits, chosen), table, ["z_one", "rank_one", "noise"])


def choose(data, threads=1):
    fold = fold_of(len(data.candidates.items), 0)
    base = choose_base(data.candidates, ("one",), fold)
    return choose_ranker(data, base, fold, 0, choose_backend("cpu", threads=threads))


def test_a_ranker_is_wanted_where_its_features_decide():
    choice = choose(labelled())
    assert choice.mode == "alone" and choice.scores["alone"] > choice.scores["mix"] > choice.scores["arm"]
    assert choose(labelled(), threads=2) == choice


def test_a_ranker_is_not_wanted_without_a_gain_or_with_few_users():
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    assert choose(labelled(useful=False)).mode == "off"
    few = choose(labelled(users=30))
    assert few.mode == "off" and "50 are needed" in few.reason and few.scores == {}


def arms_of_noise(users=60, arms=12, width=40, truth=None):
    """Arms that know nothing, or each of them a third of the truth."""
    random = np.random.default_rng(8)
    items = np.tile(np.arange(width, dtype=np.int32), (users, 1))
    hits = random.random(items.shape) < 0.1
    z = {f"arm {arm}": random.normal(size=items.shape).astype(np.float32) for arm in range(arms)}
    for arm, values in enumerate(z.values()):
        if truth is not None:
            values[truth % 3 == arm % 3] += 4 * hits[truth % 3 == arm % 3]
    return Candidates(items, z, hits, np.maximum(hits.sum(axis=1), 1).astype(np.int64))


def test_a_blend_of_noise_is_not_kept_and_one_that_helps_is():
    noise = arms_of_noise(truth=None)
    fold = fold_of(60, 0)
    assert len(learn_weights(noise, tuple(noise.z))) > 1, "on its own users even noise seems to help"
    base = choose_base(noise, tuple(noise.z), fold)
    assert base.weights == {best_single(noise, tuple(noise.z)): 1.0} and base.single
    useful = arms_of_noise(truth=np.arange(60), arms=3)
    base = choose_base(useful, tuple(useful.z), fold)
    assert base.weights == learn_weights(useful, tuple(useful.z)) and not base.single
    assert base.values["blend"].mean() > base.values["arm"].mean()


def test_what_judges_a_fold_was_learned_without_it():
    candidates = arms_of_noise(truth=np.arange(60), arms=3)
    fold = fold_of(60, 0)
    base = choose_base(candidates, tuple(candidates.z), fold)
    changed = Candidates(candidates.items, candidates.z, candidates.hits.copy(), candidates.chosen)
    changed.hits[fold == 1] = changed.hits[fold == 1][:, ::-1]
    again = choose_base(changed, tuple(candidates.z), fold)
    assert np.array_equal(again.scores[fold == 1], base.scores[fold == 1])
    assert not np.array_equal(again.scores[fold != 1], base.scores[fold != 1])


def test_few_users_keep_the_blend_unjudged():
    candidates = arms_of_noise(users=held_back.FEWEST_USERS - 1, truth=None)
    base = choose_base(candidates, tuple(candidates.z), fold_of(len(candidates.items), 0))
    assert base.weights == learn_weights(candidates, tuple(candidates.z)) and base.values == {}
    assert set(fold_of(7, 0)) == set(range(FOLDS))
