"""Several interests per user: how fast they are found, and whether they rank better than one mean vector.

    python -m uicgpu.bench.interests NAME=RUN … --out FILE

The speed is that of synthetic users whose histories spread over a few directions, in processor time at one thread. The
ranking asks the text arm alone, on each run's own split: an item's score is its cosine to the user's mean vector, or
the best of its cosines to the user's interests, each times importance to some power. The arm that looks at single items
of the history stands beside them: it is what the recommender has for users of many tastes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Backend
from uicgpu.bench.finished_runs import named_run
from uicgpu.bench.measure import machine, write_result
from uicgpu.evaluation.learning import sample, with_history
from uicgpu.evaluation.ranking import Truth, held_out, hits_of, ndcg
from uicgpu.evaluation.significance import bootstrap
from uicgpu.events.interactions import Interactions
from uicgpu.events.split import split_events
from uicgpu.finetune.stage import ranking_vectors
from uicgpu.interests.multiple import UserInterests, find_interests
from uicgpu.pipeline.stages_ranking import load_catalogue
from uicgpu.pipeline.stages_tables import event_table
from uicgpu.randomness import generator
from uicgpu.recommend.inputs import TrainingPart
from uicgpu.recommend.recommender import Recommender
from uicgpu.recommend.text_closest import ClosestTexts
from uicgpu.runs.artefacts import open_run
from uicgpu.runs.folder import RunFolder

SEED: Final = 3
USERS: Final = 200_000
ITEMS: Final = 20_000
HISTORY: Final = 20
DIMENSIONS: Final = 384
POWERS: Final = (0.0, 0.5, 1.0)
"""Of importance: 0 takes each interest for as good as the others."""
MOST_USERS: Final = 1000
RESAMPLES: Final = 1000
TOP: Final = 10


def bench_speed(users: int, rounds: int, backend: Backend) -> dict[str, Any]:
    """Find the interests of synthetic users; seconds of processor time at one thread."""
    interactions, vectors = _synthetic(users)
    weights = np.ones(ITEMS)
    find_interests(_synthetic(100)[0], vectors, weights, backend)
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        found = find_interests(interactions, vectors, weights, backend)
        seconds.append(time.process_time() - start)
    middle = float(np.median(seconds))
    return {
        "users": users,
        "history": HISTORY,
        "dimensions": DIMENSIONS,
        "interests_per_user": round(found.items.size / users, 2),
        "processor_seconds": round(middle, 2),
        "users_per_second": round(users / middle),
        "rounds": rounds,
    }


def bench_ranking(path: Path, backend: Backend) -> dict[str, Any]:
    """Compare one mean vector with several interests on held-out events of a run."""
    run = open_run(path)
    folder = RunFolder(path)
    folder.load()
    catalogue = load_catalogue(run.items, ranking_vectors(path, run.manifest, run.item_vectors))
    split = split_events(event_table(folder), "auto", SEED)
    part = TrainingPart(split.train, catalogue, backend)
    truth = sample(with_history(held_out(split.test, part.interactions), part), MOST_USERS, SEED, "interests")
    several = find_interests(part.interactions, part.directions, part.pooler.idf, backend)
    one = _ndcg(part.user_vectors[truth.users] @ part.directions.T, part, truth)
    closest = ClosestTexts().fit(part)
    blocks = Recommender(backend=backend).use(part, {closest.name: closest}, {}).blocks(truth.users)
    single = _ndcg(np.concatenate([closest.score(block) for block in blocks]), part, truth)
    told: dict[str, Any] = {
        "split": split.kind,
        "users": len(truth),
        "mean vector": round(float(one.mean()), 4),
        "closest items": round(float(single.mean()), 4),
        "several": {},
    }
    for power in POWERS:
        scores = np.stack([_best_interest(several, user, power, part.directions) for user in truth.users.tolist()])
        other = _ndcg(scores, part, truth)
        interval = bootstrap({"more": other - one}, RESAMPLES, SEED)["more"]
        told["several"][f"importance^{power:g}"] = {
            "ndcg@10": round(float(other.mean()), 4),
            "difference": [round(float(value), 4) for value in (interval.mean, interval.low, interval.high)],
        }
    return told


def _synthetic(users: int) -> tuple[Interactions, NDArray[np.float32]]:
    """Histories of which each item lies near one of two to four directions of its user."""
    random = generator(SEED, "bench interests")
    directions = random.normal(size=(50, DIMENSIONS))
    theme = np.sort(random.integers(0, 50, ITEMS))
    vectors = (directions[theme] + random.normal(size=(ITEMS, DIMENSIONS))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.searchsorted(theme, np.arange(51))
    own = random.integers(0, 50, (users, 4))
    liked = own[np.arange(users)[:, None], random.integers(0, 2 + np.arange(users)[:, None] % 3, (users, HISTORY))]
    items = starts[liked] + (random.random((users, HISTORY)) * np.diff(starts)[liked]).astype(np.int64)
    pairs = users * HISTORY
    ones, times = np.ones(pairs, np.float32), np.zeros(pairs, np.int64)
    offsets = np.arange(0, pairs + 1, HISTORY, dtype=np.int64)
    chosen = np.sort(items, axis=1).ravel().astype(np.int32)
    return Interactions(offsets, chosen, ones, ones.astype(np.int32), times, times, users, ITEMS), vectors


def _best_interest(
    several: UserInterests, user: int, power: float, directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    own = slice(several.offsets[user], several.offsets[user + 1])
    if own.start == own.stop:
        return np.zeros(directions.shape[0], np.float32)
    weights = several.importance[own].astype(np.float32) ** np.float32(power)
    best: NDArray[np.float32] = ((directions[several.items[own]] @ directions.T) * weights[:, None]).max(axis=0)
    return best


def _ndcg(scores: NDArray[np.float32], part: TrainingPart, truth: Truth) -> NDArray[np.float64]:
    """nDCG@10 per user over the items with events that the user does not have; ties by item."""
    scores = np.where(part.known, scores, -np.inf)
    for row, user in enumerate(truth.users.tolist()):
        scores[row, part.interactions.history(user)] = -np.inf
    lists = np.argsort(-scores, axis=1, kind="stable")[:, :TOP].astype(np.int32)
    return ndcg(hits_of(lists, truth), truth.sizes, TOP)


def interests_table(result: Mapping[str, Any]) -> str:
    """Return one row per run: mean vector, best use of several interests with paired interval, closest items."""
    lines = [
        "| data | one mean vector | several interests | difference, 95 % interval | closest single items |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, told in result["ranking"].items():
        best = max(told["several"].values(), key=lambda entry: entry["ndcg@10"])
        middle, low, high = best["difference"]
        lines.append(
            f"| {name} | {told['mean vector']:.4f} | {best['ndcg@10']:.4f} | {middle:+.4f} [{low:+.4f}, {high:+.4f}] | "
            f"{told['closest items']:.4f} |"
        )
    return "\n".join(lines)


def speed_sentence(result: Mapping[str, Any]) -> str:
    """Return the speed in words."""
    told = result["speed"]
    per_second = told["users_per_second"]
    return (
        f"{per_second:,} users with {told['history']} items of {told['dimensions']} dimensions per second of one core, "
        f"{1e6 / per_second / 60:.1f} minutes for a million."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line names and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN", type=named_run)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    with choose_backend("cpu", threads=1) as backend:
        speed = bench_speed(given.users, given.rounds, backend)
        ranking = {name: bench_ranking(path, backend) for name, path in given.runs}
    write_result(given.out, {"speed": speed, "ranking": ranking, "machine": machine()})


if __name__ == "__main__":
    main()
