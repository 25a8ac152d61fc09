"""Trading a little score for lists that are more varied, or closer to the user's mix of categories.

Both options build a list greedily from the best candidates; at 0 they change nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.recommend.inputs import Catalogue, UserBlock
from uicgpu.recommend.rows import best_items

POOL: Final = 100
"""Candidates per user that a list may be built from, or three times the list's length."""
SMOOTHING: Final = 0.01


def rerank(
    total: NDArray[np.float64], block: UserBlock, top: int, diversity: float, calibration: float
) -> NDArray[np.int32]:
    """Best items per row, int32 [b, top], -1 for none.

    The next item is the one with the largest ``(1 - diversity - calibration) s + diversity (1 - c) - calibration KL``:
    ``s`` is the score scaled to 0 … 1 over the pool, ``c`` the largest cosine of its text to an item already in the
    list (maximal marginal relevance, Carbonell and Goldstein, 1998), and ``KL`` the divergence of the list's
    categories, with the item, from the history's (Steck, "Calibrated recommendations", 2018). Ties go to the lower
    item.

    Parameters
    ----------
    total
        Final scores, float64 [b, items], minus infinity for what is no candidate.
    diversity, calibration
        0 to 1, together at most 1.
    """
    pool = best_items(total, min(max(POOL, 3 * top), total.shape[1]))
    out = np.full((len(block), top), -1, np.int32)
    catalogue = block.part.catalogue
    categories = category_table(catalogue) if calibration > 0 and catalogue.categories else None
    for row in range(len(block)):
        items = np.sort(pool[row][pool[row] >= 0])
        if not items.size:
            continue
        scores = total[row, items]
        span = float(scores.max() - scores.min())
        relevance = (scores - scores.min()) / span if span > 0 else np.ones(items.size)
        vectors = catalogue.item_vectors[items].astype(np.float64)
        closest = np.zeros(items.size)
        mixes = wanted = None
        if categories is not None:
            history = block.items[block.offsets[row] : block.offsets[row + 1]]
            mixes = categories[items].toarray()
            wanted = np.asarray(categories[history].sum(axis=0)).ravel()
            wanted = wanted / wanted.sum() if wanted.sum() > 0 else None
        held = np.zeros(mixes.shape[1]) if mixes is not None else None
        free = np.ones(items.size, np.bool_)
        for place in range(min(top, items.size)):
            value = (1.0 - diversity - calibration) * relevance + diversity * (1.0 - closest)
            if mixes is not None and wanted is not None and held is not None:
                value -= calibration * _divergence(wanted, held + mixes)
            value[~free] = -np.inf
            best = int(value.argmax())
            out[row, place] = items[best]
            free[best] = False
            # Element-wise sums: a matrix product's rounding may depend on the number of rows.
            closest = np.maximum(closest, (vectors * vectors[best]).sum(axis=1))
            if held is not None and mixes is not None:
                held = held + mixes[best]
    return out


def category_table(catalogue: Catalogue) -> sparse.csr_array:
    """Items x categories, each item's weight spread evenly over its own; float64."""
    categories = catalogue.categories or []
    names = {name: code for code, name in enumerate(sorted({name for own in categories for name in own}))}
    lengths = np.array([len(own) for own in categories], np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    codes = np.array([names[name] for own in categories for name in own], np.int32)
    spread = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
    return sparse.csr_array((spread, codes, offsets), shape=(len(categories), max(len(names), 1)))


def _divergence(wanted: NDArray[np.float64], mixes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each row's mix from the wanted one, the row smoothed by 1 % of the wanted mix."""
    totals = mixes.sum(axis=1, keepdims=True)
    shares = mixes / np.where(totals > 0, totals, 1.0)
    shares = (1 - SMOOTHING) * shares + SMOOTHING * wanted
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(wanted > 0, wanted * np.log(wanted / shares), 0.0)
    return np.asarray(terms.sum(axis=1), np.float64)
