"""The metrics beside RecTools' and LensKit's: the same numbers, and how long they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.bench.measure import Arm, machine, summary, take_turns
from uicgpu.bench.ranking_peers import installed, lenskit_metrics, rectools_metrics
from uicgpu.evaluation.ranking import LONGEST_LIST, Truth, hits_of, ranking_metrics
from uicgpu.randomness import generator

OURS: Final = "uicgpu"
USERS_PER_UNIT: Final = 10
ITEMS: Final = 20_000
MOST_HELD_OUT: Final = 30


def random_lists(users: int, items: int, seed: int = 0) -> tuple[NDArray[np.int32], Truth]:
    """Random lists of 20 distinct items, some shorter, and 1 to 30 held-out items per user, some of them listed."""
    random = generator(seed, "bench/evaluate")
    # Distinct by construction: a stride that has no factor in common with the number of items.
    start = random.integers(0, items, users)
    lists = ((start[:, None] + 7919 * np.arange(LONGEST_LIST)) % items).astype(np.int32)
    shorter = random.random(users) < 0.05
    lists[shorter, 12:] = -1
    wanted, offsets = [], [0]
    for row in range(users):
        size = int(random.integers(1, MOST_HELD_OUT + 1))
        hits = lists[row][(lists[row] >= 0) & (random.random(LONGEST_LIST) < 0.2)][:size]
        own = np.unique(np.concatenate([hits, random.integers(0, items, size - hits.size)]))
        wanted.append(own.astype(np.int32))
        offsets.append(offsets[-1] + own.size)
    return lists, Truth(np.arange(users, dtype=np.int32), np.array(offsets, np.int64), np.concatenate(wanted), 0)


def bench_evaluate(
    *, count: int = 1500, rounds: int = 5, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure the metrics of ``10 * count`` users.

    LensKit computes fewer metrics than RecTools, which computes all of ours but MAP, at 10 and 20. Peers that are not
    installed are named in ``missing`` and left out.
    """
    lists, truth = random_lists(USERS_PER_UNIT * count, ITEMS)

    def ours() -> dict[str, float]:
        values = ranking_metrics(hits_of(lists, truth), truth.sizes)
        return {name: float(value.mean()) for name, value in values.items()}

    makers = {"rectools": rectools_metrics, "lenskit": lenskit_metrics}
    there = [name for name in makers if name in installed()]
    calls = {name: makers[name](lists, truth.users, truth.offsets, truth.items) for name in there}
    told = ours()
    agreement = {}
    for name, call in calls.items():
        theirs = call()
        agreement[name] = {metric: abs(value - told[metric]) for metric, value in theirs.items() if metric in told}
    arms = [Arm(OURS, ours, ours), *(Arm(name, call) for name, call in calls.items())]
    seconds, _ = take_turns(arms, rounds, 1, "processor", say)
    return {
        "users": len(truth),
        "items": ITEMS,
        "metrics": told,
        "largest_difference": agreement,
        "processor_time_1_thread": summary(seconds, OURS),
        "missing": sorted(set(makers) - set(there)),
        "machine": machine(),
    }
