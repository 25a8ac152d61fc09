import numpy as np

from uicgpu.backends import choose_backend
from uicgpu.evaluation.ablation import RANDOM, REAL, cluster_arms, group_users, learn_variants
from uicgpu.recommend.blend import Candidates
from uicgpu.recommend.held_back import fold_of
from uicgpu.recommend.inputs import Catalogue, TrainingPart
from uicgpu.settings import Settings


def part_of(events):
    vectors = np.zeros((events.n_items, 2), np.float32)
    vectors[np.arange(events.n_items), np.arange(events.n_items) % 2] = 1
    return TrainingPart(events, Catalogue(vectors), choose_backend("cpu", threads=1))


def test_real_clusters_find_the_tastes_and_random_groups_have_the_same_sizes(world):
    events = world.tastes(0)
    groups = group_users(part_of(events), Settings(k=2))
    real = groups[REAL]
    assert all(np.unique(real[taste::2]).size == 1 for taste in (0, 1)) and real[0] != real[1]
    for name in RANDOM:
        assert (np.bincount(groups[name]) == np.bincount(real)).all() and (groups[name] != real).any()
    assert (groups[RANDOM[0]] != groups[RANDOM[1]]).any()


def test_users_without_interests_belong_to_no_group(world):
    events = world.events([0, 1, 3], [0, 1, 1], n_users=4, n_items=2)
    part = part_of(events)
    groups = group_users(part, Settings(k=2))
    assert groups[REAL][2] == -1
    arm = cluster_arms(part, groups)[REAL]
    np.testing.assert_allclose(arm.score(part.block(np.array([2], np.int32)))[0], part.item_counts / 3, rtol=1e-6)


def test_every_grouping_learns_its_own_weights():
    hits = np.eye(12, dtype=bool)
    flat, right = np.zeros((12, 12), np.float32), hits.astype(np.float32)
    items = np.tile(np.arange(12, dtype=np.int32), (12, 1))
    candidates = Candidates(items, {"ease": flat, REAL: right, "random 1": flat}, hits, np.ones(12, np.int64))
    weights = learn_variants(candidates, ("ease",), (REAL, "random 1"), fold_of(12, 0))
    assert REAL in weights[REAL] and weights["random 1"] == {"ease": 1.0}
