"""Losses: sampled forms of "softmax over what the user acts on next".

The full objective is the cross-entropy ``-log p(i | u)`` with ``p(i | u) = exp(s(u, i)) / sum_j exp(s(u, j))`` over all
items ``j``. A step cannot encode all items, so the sum runs over a block of them; which items are in the block, which
are masked and how popularity enters is what the functions below differ in.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

MASKED: Final = -1e4
"""Logit of what must not be a negative: its share of the softmax is 0 in every number format."""


def user_block_loss(
    vectors: Tensor,
    members: Tensor,
    pair_users: Tensor,
    targets: Tensor,
    log_draw: Tensor,
    temperature: float = 0.1,
    popularity: float = 0.5,
) -> Tensor:
    """Leave one out over a user's texts in the block.

    For a pair (u, t): ``q = unit(sum of the user's vectors in the block, less v_t)``, logits over all texts j of the
    block ``cos(q, v_j) / temperature + popularity * log Q(j)``; the user's other texts are masked; cross-entropy on t,
    mean over the pairs.

    Parameters
    ----------
    vectors
        [B, dim], unit rows, with gradient.
    members
        bool [users, B].
    pair_users, targets
        int64 [M].
    log_draw
        float32 [B], log Q.
    temperature
        Divides the cosines.
    popularity
        Share of log Q that explains popularity away. Texts are drawn evenly, so 1 leaves nothing of it for the vectors
        to learn and 0 pushes all of it into them.

    Notes
    -----
    Texts of the block are encoded once whatever the number of pairs: one matrix product sums for all users.
    """
    sums = members.to(vectors.dtype) @ vectors
    queries = functional.normalize(sums[pair_users] - vectors[targets], dim=1, eps=1e-6)
    logits = queries @ vectors.T / temperature + popularity * log_draw
    others = members[pair_users].clone()
    others[torch.arange(targets.shape[0], device=targets.device), targets] = False
    return functional.cross_entropy(logits.float().masked_fill(others, MASKED), targets)


def pair_loss(
    queries: Tensor,
    positives: Tensor,
    same_user: Tensor,
    log_draw: Tensor,
    temperature: float = 0.05,
    correction: float = 0.0,
) -> Tensor:
    """Multiple negatives (InfoNCE): row i of ``positives`` is right for row i of ``queries``, the rest is wrong.

    ``logits_ij = cos(q_i, p_j) / temperature - correction * log Q(j)``, cross-entropy on the diagonal. Used for
    pairs of texts of one user, and for history text to next item.

    Parameters
    ----------
    queries, positives
        [M, dim] and [M or more, dim], unit rows. Extra rows are hard negatives.
    same_user
        bool [M, columns]: True where column j is a text of the user of row i; masked unless it is the positive.
    log_draw
        float32 [columns], log of the probability with which each positive is drawn.
    correction
        1 is the classical log-Q correction (Bengio and Senecal 2008). Positives are drawn by popularity here, so it
        puts popularity *into* the vectors: right for warm retrieval, wrong for cold items.
    """
    logits = queries @ positives.T / temperature - correction * log_draw
    rows = torch.arange(queries.shape[0], device=queries.device)
    masked = same_user.clone()
    masked[rows, rows] = False
    return functional.cross_entropy(logits.float().masked_fill(masked, MASKED), rows)


def uniformity(vectors: Tensor, most: int = 2000) -> float:
    """Log of the mean ``exp(-2 |x - y|^2)`` over pairs (Wang and Isola 2020): lower is more uniform, 0 is collapse."""
    few = vectors[:most].double()
    return float(torch.pdist(few).pow(2).mul(-2).exp().mean().log()) if few.shape[0] > 1 else 0.0


def spread_uniformity(vectors: NDArray[np.float32]) -> float:
    """:func:`uniformity` of up to 1,000 rows [n, dim], evenly spread: the same rows for every encoder."""
    few = vectors[np.linspace(0, vectors.shape[0] - 1, min(1000, vectors.shape[0])).astype(np.int64)]
    return uniformity(torch.from_numpy(few))


def alignment(left: Tensor, right: Tensor) -> float:
    """Mean squared distance of positive pairs (Wang and Isola 2020); lower is closer."""
    return float((left.double() - right.double()).pow(2).sum(1).mean()) if left.shape[0] else 0.0
