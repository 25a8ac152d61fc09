from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from uicgpu.finetune.objective import alignment, pair_loss, uniformity, user_block_loss


def slow_user_block(vectors, members, users, targets, log_draw, temperature, popularity) -> float:
    """Pair by pair, without one matrix product."""
    total = 0.0
    for user, target in zip(users.tolist(), targets.tolist(), strict=True):
        own = [j for j in range(len(vectors)) if members[user, j] and j != target]
        query = functional.normalize(sum(vectors[j] for j in own), dim=0)
        logits = {
            j: float(query @ vectors[j]) / temperature + popularity * float(log_draw[j])
            for j in range(len(vectors))
            if j not in own
        }
        total -= logits[target] - math.log(sum(math.exp(value) for value in logits.values()))
    return total / len(targets)


def test_user_block_loss_is_the_softmax_over_all_but_the_users_other_texts():
    random = torch.Generator().manual_seed(0)
    vectors = functional.normalize(torch.randn(9, 5, generator=random, dtype=torch.float64), dim=1)
    members = torch.rand(4, 9, generator=random) < 0.5
    members[:, :2] = True
    users, targets = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([0, 1, 0, 1, 0])
    log_draw = torch.randn(9, generator=random)
    found = float(user_block_loss(vectors, members, users, targets, log_draw, 0.1, 0.5))
    assert found == pytest.approx(slow_user_block(vectors, members, users, targets, log_draw, 0.1, 0.5), rel=1e-5)


def test_a_users_other_texts_are_never_negatives():
    vectors = functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    members = torch.tensor([[True, True, True, False, False, False]])
    users, targets = torch.tensor([0]), torch.tensor([0])
    # without a stranger in the block there is nothing to tell apart
    alone = user_block_loss(vectors[:3], members[:, :3], users, targets, torch.zeros(3))
    assert float(alone) == pytest.approx(0.0, abs=1e-6)


def test_pair_loss_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = pair_loss(queries, queries, torch.zeros(2, 2, dtype=torch.bool), torch.zeros(2), temperature=1.0)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1)))
    masked = pair_loss(queries, queries, torch.ones(2, 2, dtype=torch.bool), torch.zeros(2))
    assert float(masked) == pytest.approx(0.0, abs=1e-6)


def test_log_q_takes_popularity_off_a_popular_negative():
    queries = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    free, apart = (
        pair_loss(
            queries, queries, torch.zeros(2, 2, dtype=torch.bool), torch.tensor([0.0, 1.0]), 1.0, correction=correction
        )
        for correction in (0.0, 1.0)
    )
    expected = [math.log(1 + math.exp(0.8 - 1 - 1)), math.log(1 + math.exp(0.8 - 1 + 1))]
    assert float(apart) == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert float(free) != pytest.approx(float(apart))


def test_collapse_shows():
    same = torch.ones(10, 4) / 2
    assert uniformity(same) == pytest.approx(0.0, abs=1e-9)
    assert uniformity(functional.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)), dim=1)) < -1
    assert alignment(same, same) == 0.0
