from __future__ import annotations

import numpy as np
import pytest

from uicgpu.errors import InputError
from uicgpu.finetune.behaviour import build_history, distinct
from uicgpu.finetune.blocks import BlockSampler
from uicgpu.finetune.negatives import near_texts


@pytest.fixture
def history(world):
    return build_history(world[0], distinct(world[1]))


def test_every_pair_is_a_text_of_its_user_and_every_text_of_a_user_is_marked(history):
    known = history.matrix().toarray() > 0
    sampler = BlockSampler(history, 24, 200, 0, "test")
    for step in range(5):
        block = sampler.draw(step)
        assert np.unique(block.texts).size == 24
        assert block.members[block.pair_users, block.targets].all()
        # a row of members is the whole intersection of one user with the block: no false negative
        rows = {tuple(row) for row in known[:, block.texts].tolist()}
        assert all(tuple(row) in rows for row in block.members.tolist())
        assert (block.members.sum(axis=1) >= 2).all()


def test_a_step_is_always_the_same_block(history):
    one, other = (BlockSampler(history, 24, 200, 5, "test").draw(7) for _ in range(2))
    assert np.array_equal(one.texts, other.texts)
    assert np.array_equal(one.targets, other.targets)


def test_a_user_with_most_of_the_block_is_left_out(build):
    users = [0] * 40 + [user for user in range(1, 41) for _ in range(4)]
    items = list(range(40)) + [(user + step) % 40 for user in range(40) for step in range(4)]
    events = build.events(users, items, list(range(len(users))), 41, 40)
    sampler = BlockSampler(build_history(events, distinct([f"text {n:02d}" for n in range(40)])), 40, 500, 0, "test")
    assert sampler.draw(0).members.sum(axis=1).max() <= 20


def test_no_block_without_two_shared_texts(build):
    with pytest.raises(InputError, match="two users or more"):
        BlockSampler(build_history(build.events([0, 1], [0, 1], [1, 2], 2, 2), distinct(["a", "b"])), 8, 8, 0, "test")


def test_near_texts_are_the_nearest_but_no_twins():
    angles = np.deg2rad([0, 1, 30, 60, 170])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert near_texts(vectors, nearest=2).tolist()[0] == [2, 3]  # 1 degree away is a twin


def test_near_texts_fill_their_share_of_the_block(history):
    sampler = BlockSampler(history, 20, 200, 0, "test")
    near = np.tile(np.arange(10), (sampler.eligible.size, 1))
    even = np.mean([np.isin(sampler.draw(step).texts, sampler.eligible[:10]).sum() for step in range(20)])
    sampler.add_near(near, 0.5)
    hard = [sampler.draw(step) for step in range(20)]
    assert all(np.unique(block.texts).size == 20 for block in hard)
    assert np.mean([np.isin(block.texts, sampler.eligible[:10]).sum() for block in hard]) > even + 3
