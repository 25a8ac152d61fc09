"""What is on the list of each user? Scores of a block become ranked items, with the arm that speaks most and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.errors import InputError, SettingsError
from uicgpu.recommend.cold import Rung, rungs
from uicgpu.recommend.inputs import TrainingPart, UserBlock
from uicgpu.recommend.new_items import SOURCE, NewItems
from uicgpu.recommend.reasons import give_reasons
from uicgpu.recommend.rerank import rerank
from uicgpu.recommend.rows import best_items
from uicgpu.vocabulary import Column

if TYPE_CHECKING:
    from uicgpu.recommend.recommender import Recommender

SPOKEN_THROUGH_RANKER: Final = 0.1
"""Weight of every arm, beside its own in the blend, when the arm that a ranked item owes most to is named."""


@dataclass(frozen=True)
class Wanted:
    """What lists shall be like; see :meth:`uicgpu.recommend.recommender.Recommender.recommend`.

    Attributes
    ----------
    top
        Items per user.
    outside
        bool [items], what a filter leaves out; None without one.
    diversity, calibration
        0 to 1.
    new
        Places for items that nobody has chosen yet; None without such items.
    """

    top: int
    outside: NDArray[np.bool_] | None
    diversity: float
    calibration: float
    new: NewItems | None

    @classmethod
    def of(
        cls,
        part: TrainingPart,
        top: int,
        categories: Sequence[str],
        diversity: float,
        calibration: float,
        new_items: int,
    ) -> Wanted:
        """Check the wishes.

        Raises
        ------
        SettingsError
            If they exclude each other.
        InputError
            For a category that no item has.
        """
        if min(diversity, calibration) < 0 or diversity + calibration > 1:
            raise SettingsError(
                f"diversity {diversity:g} and calibration {calibration:g} must be 0 or more and at most 1 together",
                where="recommend",
            )
        if not 0 <= new_items <= top:
            raise SettingsError(f"{new_items} places for new items in lists of {top}", where="recommend")
        new = NewItems(part, new_items) if new_items else None
        if new and not new.items.size:
            new = None
        return cls(top, _outside(part, categories), diversity, calibration, new)


def rank_block(by: Recommender, block: UserBlock, wanted: Wanted) -> tuple[pl.DataFrame, Counter[str]]:
    """Return the lists of a block's users, and how many of them each rung served."""
    rung = rungs(block, by.part)
    present = np.unique(rung)
    full = rung == Rung.BLEND
    second = by.second if full.any() else None
    needed = {name for name in by.arms if by.ladder[name][present].any()} | set(second.arms if second else ())
    z = {name: by.z_scores(arm, block) for name, arm in by.arms.items() if name in needed}
    total = by.add_up(block, z)
    if second and second.ranker:
        items, table = second.propose(block, z, by.allow_repeat)
        total = second.join(second.ranker, items, table, total, full)
    served = rung <= Rung.SHORT_HISTORY
    if wanted.new:
        total[np.flatnonzero(served)[:, None], wanted.new.items] = 0.0
    if wanted.outside is not None:
        total[:, wanted.outside] = -np.inf
    placed = wanted.new.place(total, by.arms["text"].score(block), served, wanted.top) if wanted.new else None
    top = min(wanted.top, total.shape[1])
    if wanted.diversity > 0 or wanted.calibration > 0:
        items = rerank(total, block, top, wanted.diversity, wanted.calibration)
    else:
        items = best_items(total, top)
    rows, places = np.nonzero(items >= 0)
    picked = items[rows, places]
    shares = {name: by.ladder[name][rung] for name in z}
    if second:  # what the blend does not use may have spoken through the ranker
        shares |= {name: shares[name] + SPOKEN_THROUGH_RANKER * full for name in second.arms}
    # An arm without a say for this user is no source, even where all that have one speak against the item.
    parts = np.stack(
        [
            np.where(shares[name][rows] > 0, shares[name][rows] * values[rows, picked], -np.inf)
            for name, values in z.items()
        ]
    )
    names = np.array(list(z))
    source = names[parts.argmax(axis=0)] if rows.size else names[:0]
    if placed is not None:
        source = np.where(placed[rows, picked], SOURCE, source)
    reasons = give_reasons(by.arms, block, rows, picked, source, by.part.catalogue.texts)
    frame = ranked_frame(block.users[rows], places + 1, picked, total[rows, picked], source.tolist(), reasons)
    return frame, Counter(Rung(step).name.lower() for step in rung)


def ranked_frame(
    users: Any, ranks: Any, items: Any, scores: Any, sources: list[str], reasons: list[str]
) -> pl.DataFrame:
    """Return columns of equal length as lists in the form of the artefact."""
    return pl.DataFrame(
        {
            Column.USER_CODE: pl.Series(np.asarray(users, np.int32)),
            Column.RANK: pl.Series(np.asarray(ranks, np.int32)),
            Column.ITEM_CODE: pl.Series(np.asarray(items, np.int32)),
            Column.SCORE: pl.Series(np.asarray(scores, np.float32)),
            Column.SOURCE: pl.Series(sources, dtype=pl.String),
            Column.REASON: pl.Series(reasons, dtype=pl.String),
        }
    )


def _outside(part: TrainingPart, categories: Sequence[str]) -> NDArray[np.bool_] | None:
    """Items that a filter on categories leaves out, bool [items]."""
    if not categories:
        return None
    known = part.catalogue.categories or [() for _ in range(part.events.n_items)]
    wanted = set(categories)
    unknown = sorted(wanted - {name for own in known for name in own})
    if unknown:
        raise InputError(
            f"no item has the category {unknown[0]!r}", where="recommend", fix="check the spelling in items.parquet"
        )
    return np.array([wanted.isdisjoint(own) for own in known], np.bool_)
