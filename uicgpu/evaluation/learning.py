"""What the validation part teaches: settings, weights, and whether a ranker is wanted.

Arms are fitted on the train part alone, so no label that a weight or a tree is learned on has been seen by an arm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.evaluation.ablation import REAL, cluster_arms, group_users, learn_variants
from uicgpu.evaluation.ranking import Truth, held_out
from uicgpu.evaluation.tuning import Tuned, collect_labelled, learn_short_history, tune
from uicgpu.events.split import Split
from uicgpu.randomness import generator
from uicgpu.recommend.arms import METHODS, arms_in_blend, arms_shown, usable
from uicgpu.recommend.blend import DEFAULT_WEIGHTS
from uicgpu.recommend.cold import DEFAULT_PULL, short_history_weights
from uicgpu.recommend.features import feature_groups
from uicgpu.recommend.grids import DEFAULT_SETTINGS
from uicgpu.recommend.held_back import FEWEST_USERS, Choice, choose_base, choose_ranker, fold_of
from uicgpu.recommend.inputs import Catalogue, TrainingPart
from uicgpu.recommend.ranker import Labelled, Ranker, train_seeds
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.second_stage import SecondStage
from uicgpu.settings import Settings

WARNING: Final = "warning: "
"""Begins the notes that everybody must read; the others are for whoever asks for more, and for the report."""
TUNING_USERS: Final = 1000
"""At most so many validation users choose the settings of the arms: a seeded sample."""
RANKER_USERS: Final = 3000
"""At most so many teach blend and ranker: where a thousand users give a ranker nothing to gain, these may."""
SEEDS: Final = 3
"""Seeds of every method that has one; the first is the run's and serves the recommender."""
SPLITS_PER_USER: Final = frozenset({"user-time", "leave-one-out"})


@dataclass
class Learned:
    """Everything that is frozen before the test part is touched.

    Attributes
    ----------
    variants
        Blend weights per grouping of the ablation.
    clusters
        Number of clusters of the ablation.
    choice
        Whether a ranker is wanted.
    rankers
        One per seed; empty without a ranker.
    grouped_rankers
        Per grouping of the ablation, a ranker that also sees popularity within the group (full tuning only).
    """

    tuned: Tuned = field(default_factory=Tuned)
    variants: dict[str, dict[str, float]] = field(default_factory=dict)
    clusters: int = 0
    choice: Choice = field(default_factory=lambda: Choice("off", {}, "no ranker: nothing was tuned"))
    arms: tuple[str, ...] = ()
    groups: list[str] = field(default_factory=list)
    groups_off: list[str] = field(default_factory=list)
    rankers: list[Ranker] = field(default_factory=list)
    grouped_rankers: dict[str, Ranker] = field(default_factory=dict)

    def second_stage(self) -> SecondStage | None:
        """A second stage that is not prepared yet."""
        if self.choice.mode == "off":
            return None
        return SecondStage(self.choice.mode, self.arms, self.groups, self.rankers[0])

    def told(self, split: str, notes: list[str]) -> dict[str, Any]:
        """JSON-able: what :class:`uicgpu.recommend.Recommender` takes, and how it was found."""
        tuned = self.tuned
        weights = dict(tuned.weights or DEFAULT_WEIGHTS)
        best_arm = max(tuned.scores, key=lambda name: tuned.scores[name]) if tuned.scores else None
        return {
            "split": split,
            "arms": {name: dict(tuned.settings.get(name, DEFAULT_SETTINGS[name])) for name in METHODS},
            "weights": weights,
            "short_history": tuned.short_history or short_history_weights(weights, "popularity", DEFAULT_PULL),
            "ranker": {
                "mode": self.choice.mode,
                "arms": list(self.arms),
                "groups": list(self.groups),
                "groups_off": list(self.groups_off),
                "validation": self.choice.scores,
                "reason": self.choice.reason,
                "model": self.rankers[0].model if self.rankers else "",
            },
            "best_arm": best_arm,
            "validation": {name: round(score, 6) for name, score in tuned.scores.items()},
            "tried": tuned.tried,
            "notes": notes,
        }


def learn(
    split: Split,
    catalogue: Catalogue,
    settings: Settings,
    backend: Backend,
    clusters: int | None,
    notes: list[str],
    step: Callable[[int], None],
) -> Learned:
    """Choose arm settings, blend weights and ranker on the validation part; also what the ablation's variants need."""
    part = TrainingPart(split.train, catalogue, backend, half_life=settings.half_life)
    truth = with_history(held_out(split.validation, part.interactions, keep_seen=settings.allow_repeat), part)
    truth = sample(truth, RANKER_USERS, settings.seed, "validation")
    few = sample(truth, TUNING_USERS, settings.seed, "tuning")
    shown = arms_shown(split.kind, settings.tune)
    names = tuple(name for name in shown if usable(name, part, settings.allow_repeat))
    missing = [name for name in shown if name not in (*names, "repeat")]
    if missing:
        notes.append(f"left out for want of texts or times: {', '.join(missing)}")
    if not part.events.timed:
        off = [name for name in METHODS if not usable(name, part, allow_repeat=True)]
        notes.append(
            f"{WARNING}events without times can be split by auto (at random per user), leave-one-out or none only; "
            f"--half-life has no effect, and left out are {', '.join(off)}"
        )
    if not len(truth):
        notes.append(
            f"{WARNING}no validation user has a history and a new item: default settings and weights, no ranker"
        )
        return Learned()
    if len(truth) < FEWEST_USERS:
        notes.append(
            f"{WARNING}only {len(truth)} validation users: settings and weights are little more than guesses, and "
            f"there is no ranker, which needs {FEWEST_USERS}"
        )
    learned = Learned()
    learned.tuned = tune(
        names,
        part,
        few,
        per_user=split.kind in SPLITS_PER_USER,
        allow_repeat=settings.allow_repeat,
        seed=settings.seed,
        advance=step,
        level=settings.tune,
    )
    notes.extend(learned.tuned.edges)
    if settings.tune == "off":
        notes.append("nothing was tuned: default settings and weights, no ranker")
        return learned
    _second_stage(learned, split.kind, part, truth, settings, clusters, notes)
    step(2)
    return learned


def _second_stage(
    learned: Learned,
    kind: str,
    part: TrainingPart,
    truth: Truth,
    settings: Settings,
    clusters: int | None,
    notes: list[str],
) -> None:
    tuned, backend = learned.tuned, part.backend
    blended = {name: tuned.arms[name] for name in arms_in_blend(kind) if name in tuned.arms}
    learned.arms = tuple(blended)
    learned.groups, learned.groups_off = feature_groups(kind, part)
    groups = group_users(part, settings, clusters)
    learned.clusters = int(groups[REAL].max(initial=-1)) + 1
    controls = cluster_arms(part, groups) if learned.clusters > 1 else {}

    def gather(also: tuple[str, ...]) -> tuple[Recommender, Labelled]:
        chosen = {**blended, **controls}
        stage = SecondStage("off", (*learned.arms, *also), learned.groups)
        recommender = Recommender(backend=backend, allow_repeat=settings.allow_repeat)
        recommender.use(part, chosen, {}, None, stage)
        return recommender, collect_labelled(recommender, truth)

    recommender, labelled = gather(())
    candidates = labelled.candidates
    fold = fold_of(len(truth), settings.seed)
    base = choose_base(candidates, learned.arms, fold)
    tuned.weights = base.weights
    if base.single and base.values:
        notes.append(
            f"no blend: it did not help validation users it was not learned on; {next(iter(base.weights))} serves"
        )
    popular = "recent_popularity" if "recent_popularity" in blended else "popularity"
    tuned.short_history = learn_short_history(
        recommender, sample(truth, TUNING_USERS, settings.seed, "tuning"), tuned.weights, popular, settings.seed
    )
    learned.variants = learn_variants(candidates, learned.arms, tuple(controls), fold)
    if not controls:
        notes.append("no ablation: the users form a single cluster or have no interest vectors")
    elif not any(weights.get(name) for name, weights in learned.variants.items()):
        notes.append("ablation: validation gave no weight to popularity within clusters, nor within random groups")
    learned.choice = choose_ranker(labelled, base, fold, settings.seed, backend)
    notes.append(learned.choice.reason)
    if learned.choice.mode == "off":
        return
    if learned.groups_off:
        notes.append(f"features that were off under this split or with these data: {', '.join(learned.groups_off)}")
    learned.rankers = train_seeds(labelled, [settings.seed + extra for extra in range(SEEDS)], backend)
    if settings.tune == "full":
        for name in controls:
            (learned.grouped_rankers[name],) = train_seeds(gather((name,))[1], [settings.seed], backend)


def with_history(truth: Truth, part: TrainingPart, *, without: bool = False) -> Truth:
    """Users who have a history in the part, or those who have none."""
    warm = part.interactions.user_counts[truth.users] > 0
    return truth.take(np.flatnonzero(warm != without))


def sample(truth: Truth, most: int, seed: int, stream: str) -> Truth:
    """At most ``most`` users, drawn by seed."""
    if len(truth) <= most:
        return truth
    chosen: NDArray[np.int64] = generator(seed, f"evaluate/{stream}").choice(len(truth), most, replace=False)
    return truth.take(np.sort(chosen))
