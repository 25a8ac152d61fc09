"""The lists of every method for the test users: arms, blend, recommender, their seeds, and the ablation's variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.evaluation.ranking import LONGEST_LIST, Truth
from uicgpu.recommend.arms import Arm
from uicgpu.recommend.cold import Rung, ladder_weights, rungs
from uicgpu.recommend.inputs import UserBlock
from uicgpu.recommend.ranker import Ranker
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.rows import best_items, exclude
from uicgpu.recommend.second_stage import SecondStage

BLEND: Final = "blend"
RECOMMENDER: Final = "recommender"
FEW_EVENTS: Final = 3
"""Items with 1 to so many events are rare."""

Lists = dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Extra:
    """What is ranked beside the arms, the blend and the recommender.

    Attributes
    ----------
    rankers
        One per seed; the first is the recommender's own.
    seeded
        Arms fitted again with other seeds, by ``name/seed``.
    controls
        The ablation's groupings as arms.
    variants
        Blend weights per grouping.
    grouped
        Per grouping a second stage that sees it; prepared.
    """

    rankers: list[Ranker] = field(default_factory=list)
    seeded: Mapping[str, Arm] = field(default_factory=dict)
    controls: Mapping[str, Arm] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    grouped: Mapping[str, SecondStage] = field(default_factory=dict)


def rank_all(recommender: Recommender, truth: Truth, extra: Extra) -> Lists:
    """The 20 best items per method: int32 [users, <= 20], -1 for no item.

    ``blend`` and ``recommender`` follow the ladder for users with short histories; ``recommender/1`` … are other seeds
    of the ranker; ``rare/<method>`` ranks items with one to three events among themselves, ``new/text`` items without
    any; ``<grouping>`` is the blend with that grouping as one more arm, ``ranker/<grouping>`` the recommender with it.
    """
    part, arms = recommender.part, recommender.arms
    depth = min(LONGEST_LIST, part.events.n_items)
    short = recommender.short_history
    ladders = {name: ladder_weights(weights, short, (*arms, name)) for name, weights in extra.variants.items()}
    rare = part.known & (part.item_counts <= FEW_EVENTS)
    new = ~part.known & part.has_text

    def work(block: UserBlock) -> Lists:
        found: Lists = {}
        z = {name: recommender.z_scores(arm, block) for name, arm in arms.items()}
        total = recommender.add_up(block, z)
        full = rungs(block, part) == Rung.BLEND
        found[BLEND] = best_items(total, depth)
        final = total
        if recommender.second:
            items, table = recommender.second.propose(block, z, recommender.allow_repeat)
            for seed, ranker in enumerate(extra.rankers):
                joined = recommender.second.join(ranker, items, table, total, full)
                final = joined if seed == 0 else final
                found[f"{RECOMMENDER}/{seed}"] = best_items(joined, depth)
        found[RECOMMENDER] = best_items(final, depth)
        for name, ladder in ladders.items():
            grouped = {**z, name: recommender.z_scores(extra.controls[name], block)}
            # A grouping without a weight: the same blend as without it.
            varied = recommender.add_up(block, grouped, ladder) if ladder[name].any() else total
            found[name] = best_items(varied, depth) if ladder[name].any() else found[BLEND]
            if name in extra.grouped:
                stage = extra.grouped[name]
                items, table = stage.propose(block, grouped, recommender.allow_repeat)
                if stage.ranker:
                    found[f"ranker/{name}"] = best_items(stage.join(stage.ranker, items, table, total, full), depth)
        among: list[tuple[str, NDArray[Any]]] = [(RECOMMENDER, final), (BLEND, total), *z.items()]
        if rare.any():
            for name, scores in among:
                masked = scores.copy()
                exclude(masked, block.offsets, block.items, rare[None], recommender.allow_repeat)
                found[f"rare/{name}"] = best_items(masked, depth)
        if new.any() and "text" in z:
            masked = z["text"].copy()
            exclude(masked, block.offsets, block.items, new[None], recommender.allow_repeat)
            found["new/text"] = best_items(masked, depth)
        for name, scores in z.items():
            exclude(scores, block.offsets, block.items, part.known[None], recommender.allow_repeat)
            found[name] = best_items(scores, depth)
        for name, arm in extra.seeded.items():
            scores = recommender.z_scores(arm, block)
            exclude(scores, block.offsets, block.items, part.known[None], recommender.allow_repeat)
            found[name] = best_items(scores, depth)
        return found

    blocks = part.backend.map(work, recommender.blocks(truth.users))
    names = list(blocks[0]) if blocks else [*arms, BLEND, RECOMMENDER, *ladders]
    empty = np.empty((0, depth), np.int32)
    return {name: np.concatenate([empty, *(block[name] for block in blocks)]) for name in names}
