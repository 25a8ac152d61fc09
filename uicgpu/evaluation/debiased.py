"""Hit rate and NDCG once very popular test items are thinned out: does a method know more than what sells?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.evaluation.ranking import Truth, hit_rate, hits_of, ndcg
from uicgpu.randomness import generator

REPEATS: Final = 3
IQR_FACTOR: Final = 1.5


def thin_out(truth: Truth, seed: int) -> Truth:
    """Keep at most Q3 + 1.5 IQR of the test pairs of each item, drawn by seed; quartiles over the items' test counts.

    Users who lose all pairs drop out (debiased metrics as in RecTools).
    """
    counts = np.bincount(truth.items)
    present = counts[counts > 0]
    if not present.size:
        return truth
    first, third = np.quantile(present, [0.25, 0.75])
    border = int(third + IQR_FACTOR * (third - first))
    order = np.lexsort((generator(seed, "evaluate/debiased").random(truth.items.size), truth.items))
    starts = np.concatenate(([0], np.cumsum(counts)))[truth.items[order]]
    kept = np.zeros(truth.items.size, np.bool_)
    kept[order] = np.arange(order.size) - starts < border
    return truth.keep(kept)


def debiased(lists: Mapping[str, NDArray[np.int32]], truth: Truth, seed: int) -> dict[str, dict[str, float | None]]:
    """``hit_rate@10`` and ``ndcg@10`` of every method, the mean over three draws."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in lists}
    for repeat in range(REPEATS):
        thin = thin_out(truth, seed + repeat)
        rows = np.flatnonzero(np.isin(truth.users, thin.users))
        for name, given in lists.items():
            if len(thin):
                hits = hits_of(given[rows], thin)[:, :10]
                found[name].append(
                    (float(hit_rate(hits, thin.sizes, 10).mean()), float(ndcg(hits, thin.sizes, 10).mean()))
                )
    return {
        name: {
            "hit_rate@10": float(np.mean([hit for hit, _ in values])) if values else None,
            "ndcg@10": float(np.mean([gain for _, gain in values])) if values else None,
        }
        for name, values in found.items()
    }
