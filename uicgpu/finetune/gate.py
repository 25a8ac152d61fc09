"""Decides what ships: every arm is judged on texts whose behaviour nobody trained on.

Reference is half-whitened frozen vectors, not frozen ones: whitening is free, and a trained arm must not take its
credit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.events.interactions import NO_TIME
from uicgpu.finetune.behaviour import History
from uicgpu.randomness import generator

DEPTH: Final = 10
LAST: Final = 20
"""Texts of the history that make the query: the latest; all of them where behaviour has no times."""
LEAST_HISTORY: Final = 3
MOST_USERS: Final = 5000
MOST_CANDIDATES: Final = 5000
USER_CHUNK: Final = 512
DRAWS: Final = 1000
LEVEL: Final = 0.025
"""One-sided level of "better": the lower end of a two-sided 95 % interval."""


@dataclass(frozen=True)
class ColdTask:
    """Rank cold texts for users with a history.

    Attributes
    ----------
    users
        int64 [users], who is scored.
    queries
        Sparse [users, texts], row sums 1: the user's latest training texts.
    candidates
        int64 [C], cold texts, ascending; nothing else is ranked.
    truth
        Sparse binary [users, C].
    train_texts
        int64, texts that centre the vectors.
    """

    users: NDArray[np.int64]
    queries: sparse.csr_array
    candidates: NDArray[np.int64]
    truth: sparse.csr_array
    train_texts: NDArray[np.int64]


def cold_task(past: History, everything: History, cold: NDArray[np.bool_], seed: int) -> ColdTask:
    """Build the task.

    Parameters
    ----------
    past
        What may be known of the users: no pair with a cold text.
    everything
        All behaviour, cold texts included: the truth.
    cold
        bool [texts].
    seed
        Draws users and candidates where there are very many.
    """
    candidates = np.flatnonzero(cold & (everything.popularity > 0))
    random = generator(seed, "finetune/gate")
    if candidates.size > MOST_CANDIDATES:
        candidates = np.sort(random.choice(candidates, MOST_CANDIDATES, replace=False))
    truth = everything.matrix()[:, candidates].tocsr()
    fit = np.flatnonzero((past.lengths >= LEAST_HISTORY) & (np.diff(truth.indptr) > 0))
    users = np.sort(random.choice(fit, MOST_USERS, replace=False)) if fit.size > MOST_USERS else fit
    ends = past.offsets[users + 1]
    timed = bool((past.times != NO_TIME).any())
    counts = np.minimum(past.lengths[users], LAST) if timed else past.lengths[users]
    take = np.repeat(ends - counts, counts) + _counting(counts)
    queries = sparse.csr_array(
        (np.repeat(1 / np.maximum(counts, 1), counts), past.texts[take], np.concatenate([[0], np.cumsum(counts)])),
        shape=(users.size, past.n_texts),
    )
    return ColdTask(users, queries, candidates, truth[users], np.flatnonzero(past.popularity > 0))


def cold_ndcg(task: ColdTask, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return NDCG@10 of each user, float64 [users].

    Score: cosine of the mean of the centred unit vectors of the history with the centred unit vector of the cold text;
    ties by the lowest text. The ideal is cut at min(10, number of true texts).
    """
    centre = np.asarray(vectors[task.train_texts], np.float64).mean(axis=0)
    unit = np.asarray(vectors, np.float64) - centre
    unit /= np.maximum(np.sqrt((unit**2).sum(axis=1)), 1e-12)[:, None]
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    columns = unit[task.candidates].T
    gains = np.zeros(task.users.size)
    for start in range(0, task.users.size, USER_CHUNK):
        part = slice(start, start + USER_CHUNK)
        scores = (task.queries[part] @ unit) @ columns
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        hits = np.take_along_axis(task.truth[part].toarray() > 0, best, axis=1)
        true = np.diff(task.truth[part].indptr)
        gains[part] = (hits * discounts[: hits.shape[1]]).sum(axis=1) / ideal[np.minimum(true, DEPTH)]
    return gains


@dataclass(frozen=True)
class Gain:
    """Relative gain of one arm over another: point, 95 % interval, share of resamples at or below 0."""

    gain: float
    low: float
    high: float
    p: float

    def describe(self) -> dict[str, float]:
        """Return the figures by name, in per cent."""
        return {"gain": round(100 * self.gain, 2), "low": round(100 * self.low, 2), "high": round(100 * self.high, 2)}


def paired_gain(arm: NDArray[np.float64], reference: NDArray[np.float64], seed: int) -> Gain:
    """Paired bootstrap over users of ``mean(arm) / mean(reference) - 1``, 1,000 resamples, percentile interval."""
    users = arm.size
    if users == 0 or reference.mean() <= 0:
        return Gain(0.0, -1.0, 1.0, 1.0)
    random = generator(seed, "finetune/bootstrap")
    ratios = np.empty(DRAWS)
    for draw in range(DRAWS):
        counts = np.bincount(random.integers(0, users, users), minlength=users)
        below = float(counts @ reference)
        ratios[draw] = float(counts @ arm) / below - 1 if below > 0 else 0.0
    low, high = np.percentile(ratios, [2.5, 97.5])
    point = float(arm.mean() / reference.mean() - 1)
    return Gain(point, float(low), float(high), float((1 + (ratios <= 0).sum()) / (1 + DRAWS)))


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    Attributes
    ----------
    chosen
        Name of the arm that ships.
    reason
        One sentence for the user.
    table
        Per arm: NDCG@10, gain over the reference with interval, and whether it passed.
    """

    chosen: str
    reason: str
    table: list[dict[str, Any]]


def decide(arms: Mapping[str, NDArray[np.float64]], reference: str, seed: int) -> Verdict:
    """Choose among arms, given from the cheapest to the dearest.

    An arm passes when its gain over the reference is above 0 after Holm's correction for the number of arms and the
    lower end of its interval is above 0. Among those that pass, a dearer one replaces a cheaper one only when it beats
    that one too.
    """
    base = arms[reference]
    gains = {name: paired_gain(values, base, seed) for name, values in arms.items()}
    passed = _holm({name: gain.p for name, gain in gains.items() if name != reference})
    chosen = reference
    for name in arms:
        if (
            name in passed
            and gains[name].low > 0
            and (chosen == reference or paired_gain(arms[name], arms[chosen], seed).low > 0)
        ):
            chosen = name
    table = [
        {
            "arm": name,
            "ndcg": round(float(values.mean()), 4) if values.size else 0.0,
            "users": int(values.size),
            "passed": name in passed and gains[name].low > 0,
            **({} if name == reference or not values.size else gains[name].describe()),
        }
        for name, values in arms.items()
    ]
    if not base.size:
        reason = "no user has a history and a held-out text: nothing could be judged, so nothing trained ships"
    elif chosen == reference:
        reason = f"no trained arm is certainly better than {reference} on held-out texts, so {reference} ships"
    else:
        gain = gains[chosen].describe()
        reason = (
            f"{chosen} is better than {reference} on held-out texts: {gain['gain']:+.1f} % NDCG@10 "
            f"[{gain['low']:+.1f}, {gain['high']:+.1f}], {base.size:,} users"
        )
    return Verdict(chosen, reason, table)


def _holm(p_values: Mapping[str, float]) -> set[str]:
    passed: set[str] = set()
    order: Sequence[str] = sorted(p_values, key=lambda name: (p_values[name], name))
    for rank, name in enumerate(order):
        if p_values[name] > LEVEL / (len(order) - rank):
            break
        passed.add(name)
    return passed


def _counting(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 … count - 1 for each count, end to end."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if counts.size else counts
    return np.arange(int(counts.sum())) - np.repeat(starts, counts)
