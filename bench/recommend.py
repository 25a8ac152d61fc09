"""EASE, item-item and top-N beside RecTools and implicit, and top-N against the limit of one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from uicgpu.backends import choose_backend
from uicgpu.backends.workers import one_blas_thread
from uicgpu.bench.measure import Arm, machine, summary, take_turns
from uicgpu.bench.ranking_peers import implicit_item_item, installed, rectools_ease
from uicgpu.events.interactions import NO_TIME, EventTable
from uicgpu.randomness import generator
from uicgpu.recommend.ease import Ease
from uicgpu.recommend.inputs import Catalogue, TrainingPart
from uicgpu.recommend.item_item import ItemItem
from uicgpu.recommend.rows import TILE, best_items, exclude, tiled_product

OURS: Final = "uicgpu"
LIMIT: Final = "matrix product alone"
ITEMS: Final = 3000
PER_USER: Final = 40
TOP: Final = 20
PENALTY: Final = 200.0
NEIGHBOURS: Final = 100
WIDE_ITEMS: Final = 50_000
FACTORS: Final = 64
WIDE_BLOCK: Final = 256


def popular_events(users: int, items: int, per_user: int, seed: int = 0) -> EventTable:
    """Distinct (user, item) pairs with a long tail of popularity, without times."""
    random = generator(seed, "bench/recommend")
    share = 1.0 / (10.0 + np.arange(items))
    drawn = random.choice(items, (users, per_user), p=share / share.sum())
    pairs = np.unique(np.repeat(np.arange(users), per_user) * items + drawn.ravel())
    who, what = (pairs // items).astype(np.int32), (pairs % items).astype(np.int32)
    size = who.size
    return EventTable(
        who,
        what,
        np.full(size, NO_TIME, np.int64),
        np.zeros(size, np.int32),
        np.full(size, np.nan, np.float32),
        np.ones(size, np.float32),
        users,
        items,
    )


def bench_recommend(
    *, count: int = 1500, rounds: int = 5, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Fit and rank for ``2 * count`` users, and rank ``count`` users over 50,000 items by factors of length 64.

    Each arm fits a model and returns 20 unseen items for every user. Peers that are not installed are named in
    ``missing`` and left out.
    """
    events = popular_events(2 * count, ITEMS, PER_USER)
    backend = choose_backend("cpu", threads=1)

    def part() -> TrainingPart:
        return TrainingPart(events, Catalogue(np.zeros((events.n_items, 1), np.float32)), backend)

    def ours(make: Callable[[], Any]) -> Callable[[], object]:
        def run() -> object:
            fresh = part()
            arm = make().fit(fresh)
            lists = []
            for start in range(0, events.n_users, 512):
                users = np.arange(start, min(start + 512, events.n_users), dtype=np.int32)
                block = fresh.block(users)
                scores = arm.score(block)
                exclude(scores, block.offsets, block.items, fresh.known[None], False)
                lists.append(best_items(scores, TOP))
            return np.concatenate(lists)

        return run

    there, matrix = installed(), part().interactions.matrix()
    # Compiled once before the first round; the compiled code is kept on disk between runs.
    own_ease, own_item_item = ours(lambda: Ease(PENALTY)), ours(lambda: ItemItem(0.5, NEIGHBOURS))
    ease = [Arm(OURS, own_ease, own_ease)]
    item_item = [Arm(OURS, own_item_item, own_item_item)]
    if "rectools" in there:
        ease.append(Arm("rectools", rectools_ease(matrix, PENALTY, TOP)))
    if "implicit" in there:
        item_item.append(Arm("implicit", implicit_item_item(matrix, NEIGHBOURS, TOP)))
    random = generator(0, "bench/factors")
    users = random.normal(size=(count, FACTORS)).astype(np.float32)
    items = random.normal(size=(WIDE_ITEMS, FACTORS)).astype(np.float32)

    # Ours multiplies tiles of 64 rows; the limit does the very same products into one array that is written again and
    # again. Keeping all scores instead would measure how fast memory is handed out.
    tile = np.empty((TILE, WIDE_ITEMS), np.float32)

    def products() -> None:
        with one_blas_thread():
            for start in range(0, count - count % TILE, TILE):
                np.matmul(users[start : start + TILE], items.T, out=tile)
            if count % TILE:
                np.matmul(users[:TILE], items.T, out=tile)  # the last tile is padded to full size

    def top_items() -> list[object]:
        parts = range(0, count, WIDE_BLOCK)
        return [best_items(tiled_product(users[start : start + WIDE_BLOCK], items), TOP) for start in parts]

    wide = [Arm(OURS, top_items, top_items), Arm(LIMIT, products, products)]
    return {
        "users": events.n_users,
        "items": events.n_items,
        "pairs": len(events),
        "ease": summary(take_turns(ease, rounds, 1, "processor", say)[0], OURS),
        "item_item": summary(take_turns(item_item, rounds, 1, "processor", say)[0], OURS),
        "top_n": {
            "users": count,
            "items": WIDE_ITEMS,
            "factors": FACTORS,
            **summary(take_turns(wide, rounds, 1, "processor", say)[0], OURS),
        },
        "missing": sorted({"rectools", "implicit"} - set(there)),
        "machine": machine(),
    }
