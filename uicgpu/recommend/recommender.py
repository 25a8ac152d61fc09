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
from uicgpu.recommend.arms import METHODS, Arm, fit_arm, needed, usable
from uicgpu.recommend.blend import DEFAULT_WEIGHTS, DEPTH
from uicgpu.recommend.cold import DEFAULT_PULL, Rung, ladder_weights, rungs, short_history_weights
from uicgpu.recommend.ease import Ease
from uicgpu.recommend.grids import DEFAULT_SETTINGS
from uicgpu.recommend.inputs import Catalogue, TrainingPart, UserBlock
from uicgpu.recommend.popularity import ClusterPopularity
from uicgpu.recommend.ranked import Wanted, rank_block, ranked_frame
from uicgpu.recommend.rows import TILE, add_weighted, check_finite, exclude, standardise
from uicgpu.recommend.second_stage import SecondStage

MOST_USERS_PER_BLOCK: Final = 512
BYTES_PER_TABLE: Final = 2**23
"""Users x items of a block in float64: a larger table leaves the cache, and its memory is given back every time."""


class Recommender:
    """Fits the arms of the blend and ranks items for users.

    Parameters
    ----------
    learned
        What an evaluation learned (``Evaluation.learned``): ``arms`` (settings per arm), ``weights`` (of the blend),
        ``short_history`` (weights for users with one to three items) and ``ranker`` (the second stage, for users with
        four items or more). Default: fixed settings and weights, no ranker.
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
    ladder : dict of str to ndarray
        Weights of every arm, float64 [4], one for each rung.
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
        second = SecondStage.from_learned(self.learned.get("ranker"))
        wanted = {*weights, *short, *also, "popularity", "recent_popularity", "text", *(second.arms if second else ())}
        wanted = needed(wanted)
        arms: dict[str, Arm] = {}
        for name in METHODS:
            if name in wanted and usable(name, part, self.allow_repeat):
                arms[name] = fit_arm(name, chosen[name], part, fitted=arms, seed=self.seed)
        if self.cluster_labels is not None:
            arms[ClusterPopularity.name] = ClusterPopularity(self.cluster_labels).fit(part)
        if second and not all(name in arms for name in second.arms):
            self.notes.append("no ranker: an arm that it was trained with cannot be fitted on these events")
            second = None
        return self.use(part, arms, weights, short, second)

    def use(
        self,
        part: TrainingPart,
        arms: Mapping[str, Arm],
        weights: Mapping[str, float],
        short_history: Mapping[str, float] | None = None,
        second: SecondStage | None = None,
    ) -> Recommender:
        """Take arms that are fitted already, and a second stage."""
        self.part = part
        self.second = second.prepare(part) if second else None
        self.arms = dict(arms)
        self.weights = {name: weight for name, weight in weights.items() if name in arms and weight > 0}
        if not self.weights:
            self.weights = {name: weight for name, weight in DEFAULT_WEIGHTS.items() if name in arms}
        self.short_history = dict(short_history or self.weights)
        self.ladder = ladder_weights(self.weights, self.short_history, self.arms)
        by_text = self.ladder.get("text", np.zeros(len(Rung))) > 0
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
        if self.second:  # the arms' scores once more without what was seen, and the candidates' features
            width = len(self.second.arms)
            bytes_per_user += 4 * width * self.part.events.n_items + 8 * width * DEPTH * len(self.second.features.names)
        rows = self.backend.memory // max(1, self.backend.threads) // bytes_per_user
        # Whole tiles: a product of fewer rows costs as much.
        tiles = max(1, BYTES_PER_TABLE // (8 * TILE * max(1, self.part.events.n_items)))
        rows = int(min(MOST_USERS_PER_BLOCK, TILE * tiles, max(1, rows)))
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
        ladder = self.ladder if ladder is None else ladder
        rung = rungs(block, self.part)
        total = np.zeros((len(block), self.part.events.n_items), np.float64)
        for name, weights in ladder.items():
            if weights[rung].any():
                add_weighted(total, z[name], weights[rung])
        exclude(total, block.offsets, block.items, self._allowed[rung], self.allow_repeat)
        return total

    def recommend(
        self,
        users: NDArray[np.int32] | None = None,
        top: int = 10,
        advance: Callable[[int], None] | None = None,
        *,
        categories: Sequence[str] = (),
        diversity: float = 0.0,
        calibration: float = 0.0,
        new_items: int = 0,
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
        categories
            Only items of one of these categories; default: all.
        diversity, calibration
            0 to 1: how far lists give up score for variety of texts, or for the user's own mix of categories
            (:func:`uicgpu.recommend.rerank.rerank`); the score that is returned stays the recommender's.
        new_items
            Places at the end of each list kept for items that nobody has chosen yet and whose text fits the user
            (:class:`uicgpu.recommend.new_items.NewItems`). At 0 such items compete only where text has a weight.

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
        wanted = Wanted.of(self.part, top, categories, diversity, calibration, new_items)
        frames: list[pl.DataFrame] = []
        waiting: list[UserBlock] = []

        def run() -> None:
            for frame, counted in self.backend.map(lambda block: rank_block(self, block, wanted), waiting):
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
        return pl.concat(frames) if frames else ranked_frame([], [], [], [], [], [])
