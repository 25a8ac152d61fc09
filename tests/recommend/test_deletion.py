"""A reason must be one: without the events it names the item's score falls."""

import numpy as np
import pytest

from uicgpu.recommend.arms import DEFAULT_SETTINGS, fit_arm

NAMING = (
    "item_item",
    "random_walk",
    "graph_filter",
    "sequential",
    "ials",
    "ease",
    "ease_recent",
    "ease_text_rows",
    "ease_text",
    "ease_text_recent",
)


@pytest.mark.parametrize("name", NAMING)
def test_without_the_named_items_the_score_falls(world, name):
    events = world.random(60, users=120, items=40, share=0.2)
    part = world.part(events, world.vectors(9, 40))
    settings = {**DEFAULT_SETTINGS[name]}
    ease = fit_arm("ease", {"penalty": 20.0}, part)
    arm = fit_arm(name, settings, part, fitted={"ease": ease})
    block = world.everyone(part)
    before = arm.score(block)
    rows = np.arange(0, 120, 4)
    unseen = world.dense(part)[rows] == 0
    items = np.where(unseen, before[rows], -np.inf).argmax(axis=1).astype(np.int32)
    named = arm.strongest(block, rows, items, 2)
    checked = 0
    for row, item, entries in zip(rows, items, named, strict=True):
        gone = block.items[entries[entries >= 0]]
        if not gone.size:
            continue
        kept = events.take(~((events.users == row) & np.isin(events.items, gone)))
        after = arm.score(part.histories(kept).block(np.array([row], np.int32)))
        assert after[0, item] < before[row, item]
        checked += 1
    assert checked > 20
