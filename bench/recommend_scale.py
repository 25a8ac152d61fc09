"""Top-N for 100,000 users over 50,000 items within a memory budget, against the limit of one matrix product.

    python -m uicgpu.bench.recommend_scale

The shop is generated: a long tail of popularity, topics, texts that follow the topics, histories of unequal length. No
quality is measured on it; it has the sizes at which a table of items x items no longer fits, so EASE covers the most
frequent items and item-item and texts serve the rest.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends import choose_backend
from uicgpu.backends.workers import one_blas_thread
from uicgpu.bench.measure import machine, write_result
from uicgpu.events.interactions import EventTable
from uicgpu.randomness import generator
from uicgpu.recommend.ease import Ease
from uicgpu.recommend.inputs import Catalogue
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.rows import TILE, best_items, tiled_product

RESULTS: Final = Path(__file__).resolve().parent / "results" / "recommend-scale.json"
USERS: Final = 100_000
ITEMS: Final = 50_000
MEMORY: Final = 2**30
TOP: Final = 10
DIMENSIONS: Final = 64
TOPICS: Final = 200
YEAR_US: Final = 365 * 86_400_000_000
LIMIT_USERS: Final = 4096
"""Users of the two rows that one product is compared with; a rate needs no more."""
WEIGHTS: Final = {"ease": 1.0, "item_item": 0.4, "text_closest": 0.15}


def long_tail_shop(users: int, items: int, seed: int = 0) -> tuple[EventTable, NDArray[np.float32]]:
    """Events and item vectors of a generated shop.

    An item's popularity falls as 1 / (20 + rank). A user has two topics and takes four fifths of the history from
    them; the length of a history is log-normal with a median of 20 events, at least 2 and at most 500.
    """
    random = generator(seed, "bench/scale")
    topics = min(TOPICS, items)
    topic = random.integers(0, topics, items)
    share = 1.0 / (20.0 + np.arange(items))
    members = [np.flatnonzero(topic == number) for number in range(topics)]
    members = [own if own.size else np.arange(items) for own in members]
    lengths = np.clip(np.exp(random.normal(np.log(20), 0.9, users)), 2, 500).astype(np.int64)
    who = np.repeat(np.arange(users), lengths)
    tastes = random.integers(0, topics, (users, 2))
    own_topic = tastes[who, random.integers(0, 2, who.size)]
    anywhere = random.random(who.size) < 0.2
    what = np.empty(who.size, np.int64)
    what[anywhere] = random.choice(items, int(anywhere.sum()), p=share / share.sum())
    for number, own in enumerate(members):
        drawn = np.flatnonzero(~anywhere & (own_topic == number))
        what[drawn] = random.choice(own, drawn.size, p=share[own] / share[own].sum())
    pairs = np.unique(who * items + what)
    who, what = pairs // items, pairs % items
    times = random.integers(0, YEAR_US, pairs.size)
    order = np.lexsort((what, times, who))
    events = EventTable(
        who[order].astype(np.int32),
        what[order].astype(np.int32),
        times[order],
        np.zeros(pairs.size, np.int32),
        np.full(pairs.size, np.nan, np.float32),
        np.ones(pairs.size, np.float32),
        users,
        items,
    )
    centres = random.normal(size=(topics, DIMENSIONS))
    vectors = centres[topic] + 0.8 * random.normal(size=(items, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return events, vectors.astype(np.float32)


def bench_scale(users: int = USERS, items: int = ITEMS, memory: int = MEMORY) -> dict[str, Any]:
    """Fit and rank once, on one thread; processor seconds, rates, and the peak memory of this process.

    ``limit`` is one float32 product of user and item factors of length 64, tile by tile: whoever scores all pairs by
    factors pays at least that.
    """
    events, vectors = long_tail_shop(users, items)
    texts = [f"item {item}" for item in range(items)]
    backend = choose_backend("cpu", threads=1, memory=memory)
    recommender = Recommender({"weights": WEIGHTS}, backend)
    # Compiled code is loaded on a small shop first: what is measured is the work.
    small, small_vectors = long_tail_shop(200, 300)
    Recommender({"weights": WEIGHTS}, choose_backend("cpu", threads=1)).fit(
        small, Catalogue(small_vectors, None, ["text"] * 300)
    ).recommend(top=TOP)
    before = _peak()
    fitting, _ = _timed(lambda: recommender.fit(events, Catalogue(vectors, None, texts)))
    after_fit = _peak()
    ranking, lists = _timed(lambda: recommender.recommend(top=TOP))
    after_all = _peak()
    ease = recommender.arms["ease"]
    head = ease.head if isinstance(ease, Ease) else np.empty(0, np.int32)
    shown = lists["item"].to_numpy()
    limit, alone = _limits(users, items)
    return {
        "users": users,
        "items": items,
        "events": len(events),
        "top": TOP,
        "memory_budget_bytes": memory,
        "weights": WEIGHTS,
        "rungs": dict(recommender.rung_counts),
        "ease_head_items": int(head.size),
        "ease_head_share_of_events": round(float(np.isin(events.items, head).mean()), 4),
        "shown_outside_head_share": round(float(1 - np.isin(shown, head).mean()), 4),
        "distinct_items_shown": int(np.unique(shown).size),
        "fit_seconds": round(fitting, 1),
        "recommend_seconds": round(ranking, 1),
        "milliseconds_per_user": {
            "matrix product alone": round(1000 * limit, 4),
            "product and top 10": round(1000 * alone, 4),
            "recommender, four arms, with reasons": round(1000 * ranking / users, 4),
        },
        "million_pairs_per_second": {
            "matrix product alone": round(items / limit / 1e6, 1),
            "product and top 10": round(items / alone / 1e6, 1),
            "recommender, four arms, with reasons": round(users * items / ranking / 1e6, 1),
        },
        "peak_bytes": {"data and programs": before, "after fitting": after_fit, "after ranking": after_all},
        "machine": machine(),
    }


def scale_table(result: Mapping[str, Any]) -> str:
    """The documentation's table; a test compares the two."""
    lines = ["| work, one thread | per user | million scores per second |", "| --- | --- | --- |"]
    for name, milliseconds in result["milliseconds_per_user"].items():
        lines.append(f"| {name} | {milliseconds:.2f} ms | {result['million_pairs_per_second'][name]:,.0f} |")
    return "\n".join(lines)


def _limits(users: int, items: int) -> tuple[float, float]:
    """Seconds per user of the product alone, and of product and selection."""
    number = min(users, LIMIT_USERS) // TILE * TILE
    random = generator(0, "bench/factors")
    left = random.normal(size=(number, DIMENSIONS)).astype(np.float32)
    right = random.normal(size=(items, DIMENSIONS)).astype(np.float32)
    tile = np.empty((TILE, items), np.float32)

    def products() -> None:
        with one_blas_thread():
            for start in range(0, number, TILE):
                np.matmul(left[start : start + TILE], right.T, out=tile)

    def top_items() -> None:
        for start in range(0, number, TILE):
            best_items(tiled_product(left[start : start + TILE], right), TOP)

    # In turn, three times, the median of each: a busy machine hits both.
    rounds = [(_timed(products)[0], _timed(top_items)[0]) for _ in range(3)]
    limit, alone = np.median(np.array(rounds), axis=0) / number
    return float(limit), float(alone)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds and what the work returned."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def _peak() -> int:
    """The largest resident size of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and write the result file."""
    write_result(RESULTS, bench_scale())
    print(RESULTS)


if __name__ == "__main__":
    main()
