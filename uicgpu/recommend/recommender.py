"""The recommender: arms, blend and ladder fitted on events; lists with a source and a reason per item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import EventTable
from uicgpu.recommend.arms import DEFAULT_SETTINGS, METHODS, Arm, fit_arm, usable
from uicgpu.recommend.blend import DEFAULT_WEIGHTS
from uicgpu.recommend.cold import DEFAULT_PULL, Rung, ladder_weights, rungs, short_history_weights
from uicgpu.recommend.ease import Ease
from uicgpu.recommend.inputs import Catalogue, TrainingPart, UserBlock
from uicgpu.recommend.popularity import ClusterPopularity
from uicgpu.recommend.reasons import give_reasons
from uicgpu.recommend.rows import best_items, check_finite, exclude, standardise
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column

MOST_USERS_PER_BLOCK: Final = 512


class Recommender:
    """Fits the arms of the blend and ranks items for users.

    Parameters
    ----------
    learned
        What an evaluation learned (``Evaluation.learned``): ``arms`` (settings per arm), ``weights`` (of the blend)
        and ``short_history`` (weights for users with one to three items). Default: fixed settings and weights.
    backend
        Default: the CPU.
    allow_repeat
        Also recommend items that the user has acted on.
    half_life
        Days after which an event weighs half in the interest vectors.
    seed
        Seed of the run.
    cluster_labels
        int32 [users]; lets users without history see what their cluster chooses.

    Attributes
    ----------
    part : TrainingPart
        What the arms were fitted on.
    arms : dict of str to Arm
        The fitted arms in the order in which they are added up.
    weights : dict of str to float
        Blend weights of the arms that are there.
    notes : list of str
        What a reader must know of the fit.
    rung_counts : Counter
        Users served by each rung so far.
    """

    def __init__(
        self,
        learned: Mapping[str, Any] | None = None,
        backend: Backend | None = None,
        *,
        allow_repeat: bool = False,
        half_life: float | None = None,
        seed: int = 0,
        cluster_labels: NDArray[np.int32] | None = None,
    ) -> None:
        if backend is None:
            from uicgpu.backends import choose_backend

            backend = choose_backend("cpu")
        self.learned = dict(learned or {})
        self.backend = backend
        self.allow_repeat = allow_repeat
        self.half_life = half_life
        self.seed = seed
        self.cluster_labels = cluster_labels
        self.notes: list[str] = []
        self.rung_counts: Counter[str] = Counter()

    def fit(self, events: EventTable, catalogue: Catalogue, *, also: Sequence[str] = ()) -> Recommender:
        """Fit the arms that have a weight on any rung.

        Parameters
        ----------
        events
            Everything that may be learned from.
        also
            Further arms to fit, for an evaluation that shows them.
        """
        if len(events) == 0:
            raise InputError("there are no events to learn recommendations from", where="recommend")
        part = TrainingPart(events, catalogue, self.backend, half_life=self.half_life)
        chosen = {**DEFAULT_SETTINGS, **self.learned.get("arms", {})}
        weights = dict(self.learned.get("weights") or DEFAULT_WEIGHTS)
        short = dict(self.learned.get("short_history") or short_history_weights(weights, "popularity", DEFAULT_PULL))
        wanted = {*weights, *short, *also, "popularity", "recent_popularity", "text"}
        if "ease_recent" in wanted:
            wanted.add("ease")
        arms: dict[str, Arm] = {}
        for name in METHODS:
            if name in wanted and usable(name, part):
                arms[name] = fit_arm(name, chosen[name], part, fitted=arms, seed=self.seed)
        if self.cluster_labels is not None:
            arms[ClusterPopularity.name] = ClusterPopularity(self.cluster_labels).fit(part)
        return self.use(part, arms, weights, short)

    def use(
        self,
        part: TrainingPart,
        arms: Mapping[str, Arm],
        weights: Mapping[str, float],
        short_history: Mapping[str, float] | None = None,
    ) -> Recommender:
        """Take arms that are fitted already."""
        self.part = part
        self.arms = dict(arms)
        self.weights = {name: weight for name, weight in weights.items() if name in arms and weight > 0}
        if not self.weights:
            self.weights = {name: weight for name, weight in DEFAULT_WEIGHTS.items() if name in arms}
        self.short_history = dict(short_history or self.weights)
        self._ladder = ladder_weights(self.weights, self.short_history, self.arms)
        by_text = self._ladder.get("text", np.zeros(len(Rung))) > 0
        self._allowed = part.known | (by_text[:, None] & part.has_text)
        ease = self.arms.get("ease")
        if isinstance(ease, Ease) and ease.head.size < int(part.known.sum()):
            self.notes.append(
                f"EASE covers the {ease.head.size:,} most frequent of {int(part.known.sum()):,} items, as the memory "
                "budget allows; item-item and text serve the rest"
            )
        return self

    def blocks(self, users: NDArray[np.int32], histories: TrainingPart | None = None) -> Iterator[UserBlock]:
        """Cut users into blocks that fit into the memory budget; results do not depend on the cut.

        Parameters
        ----------
        histories
            Where the users' histories are; default: the part that was fitted on.
        """
        # Per user: one float32 row per arm, and about four float64 rows while adding up.
        bytes_per_user = max(1, self.part.events.n_items) * (4 * len(self.arms) + 32)
        rows = self.backend.memory // max(1, self.backend.threads) // bytes_per_user
        rows = int(min(MOST_USERS_PER_BLOCK, max(1, rows)))
        for start in range(0, users.size, rows):
            yield (histories or self.part).block(users[start : start + rows])

    def z_scores(self, arm: Arm, block: UserBlock) -> NDArray[np.float32]:
        """An arm's z-scores, float32 [b, items]."""
        scores = check_finite(arm.score(block), arm.name)
        standardise(scores, block.offsets, block.items, self.part.known, arm.judges_unknown, self.allow_repeat)
        return scores

    def add_up(
        self,
        block: UserBlock,
        z: Mapping[str, NDArray[np.float32]],
        ladder: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> NDArray[np.float64]:
        """Blend score of every item, float64 [b, items]; minus infinity for what is no candidate.

        Parameters
        ----------
        z
            Z-scores of all arms that have a weight for these users.
        ladder
            Other weights than the recommender's own, per arm float64 [4], one for each rung.
        """
        ladder = self._ladder if ladder is None else ladder
        rung = rungs(block, self.part)
        total = np.zeros((len(block), self.part.events.n_items), np.float64)
        for name, weights in ladder.items():
            if weights[rung].any():
                total += weights[rung, None] * z[name]
        exclude(total, block.offsets, block.items, self._allowed[rung], self.allow_repeat)
        return total

    def recommend(
        self,
        users: NDArray[np.int32] | None = None,
        top: int = 10,
        advance: Callable[[int], None] | None = None,
    ) -> pl.DataFrame:
        """Rank the best items for each user.

        Parameters
        ----------
        users
            int32 user codes; default: all.
        top
            Items per user; a user with fewer candidates gets a shorter list.
        advance
            Called with the number of users that are done.

        Returns
        -------
        polars.DataFrame
            ``user`` int32, ``rank`` int32 (1-based), ``item`` int32, ``score`` float32 (blend of z-scores), ``source``
            (the arm that adds most to the score) and ``reason`` (one sentence); sorted by user as given, then rank.
        """
        if users is None:
            users = np.arange(self.part.events.n_users, dtype=np.int32)
        users = np.asarray(users, np.int32)
        outside = users[(users < 0) | (users >= self.part.events.n_users)]
        if outside.size:
            raise InputError(
                f"user code {int(outside[0])} is outside 0 … {self.part.events.n_users - 1}",
                where="recommend",
                fix="pass positions in the sorted list of user ids",
            )
        frames: list[pl.DataFrame] = []
        waiting: list[UserBlock] = []

        def run() -> None:
            for frame, counted in self.backend.map(lambda block: self._rank(block, top), waiting):
                frames.append(frame)
                self.rung_counts.update(counted)
            if advance:
                advance(sum(len(block) for block in waiting))
            waiting.clear()

        for block in self.blocks(users):
            waiting.append(block)
            if len(waiting) == 4 * self.backend.threads:
                run()
        run()
        return pl.concat(frames) if frames else _frame([], [], [], [], [], [])

    def _rank(self, block: UserBlock, top: int) -> tuple[pl.DataFrame, Counter[str]]:
        present = np.unique(rungs(block, self.part))
        z = {name: self.z_scores(arm, block) for name, arm in self.arms.items() if self._ladder[name][present].any()}
        total = self.add_up(block, z)
        items = best_items(total, min(top, total.shape[1]))
        rows, places = np.nonzero(items >= 0)
        picked = items[rows, places]
        rung = rungs(block, self.part)
        parts = np.stack([self._ladder[name][rung[rows]] * values[rows, picked] for name, values in z.items()])
        names = np.array(list(z))
        source = names[parts.argmax(axis=0)] if rows.size else names[:0]
        reasons = give_reasons(self.arms, block, rows, picked, source, self.part.catalogue.texts)
        frame = _frame(block.users[rows], places + 1, picked, total[rows, picked], source.tolist(), reasons)
        return frame, Counter(Rung(step).name.lower() for step in rung)


def recommend_all(
    events: EventTable,
    catalogue: Catalogue,
    learned: Mapping[str, Any] | None,
    settings: Settings,
    backend: Backend,
    cluster_labels: NDArray[np.int32] | None = None,
    users: NDArray[np.int32] | None = None,
    advance: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Fit on all events and rank ``settings.top`` items for ``users`` (default: all); see :class:`Recommender`.

    Items without events are candidates only where text has a weight: they then compete with their text score, and with
    the mean (0) in the place of every other arm.
    """
    recommender = Recommender(
        learned,
        backend,
        allow_repeat=settings.allow_repeat,
        half_life=settings.half_life,
        seed=settings.seed,
        cluster_labels=cluster_labels,
    )
    return recommender.fit(events, catalogue).recommend(users, settings.top, advance)


def _frame(users: Any, ranks: Any, items: Any, scores: Any, sources: list[str], reasons: list[str]) -> pl.DataFrame:
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
