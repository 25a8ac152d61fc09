"""The objectives of fine-tuning side by side, on a linear head over frozen vectors: minutes instead of hours.

What a head learns by an objective is the cheapest look at the objective itself. Every row is judged on the cold texts
of ``uicgpu.bench.train``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from uicgpu.bench.train import COLD_SHARE, RESULTS
from uicgpu.bench.train_sets import load
from uicgpu.encode.encoder import Encoder
from uicgpu.finetune.arms import objective_sampler
from uicgpu.finetune.behaviour import build_history, distinct, hold_out_texts
from uicgpu.finetune.data import prepare
from uicgpu.finetune.gate import cold_ndcg, cold_task, paired_gain
from uicgpu.finetune.head import HEAD_SCHEDULE, LinearHead
from uicgpu.finetune.later import LaterBehaviour
from uicgpu.finetune.negatives import near_texts
from uicgpu.finetune.ranking_map import RankingMap, whitened
from uicgpu.finetune.recipe import recipe_of
from uicgpu.finetune.trainer import Training
from uicgpu.runs.folder import write_json

ROWS: Final[dict[str, dict[str, Any]]] = {
    "block": {},
    "block, a quarter hard negatives": {"hard_negatives": 0.25},
    "pairs": {"objective": "pairs"},
    "pairs, log-Q correction": {"objective": "pairs", "log_q": 1.0},
    "history": {"objective": "history"},
    "history, log-Q correction": {"objective": "history", "log_q": 1.0},
}


def measure(name: str, data: Path) -> dict[str, Any]:
    """Return NDCG@10 on cold texts, and the gain over half-whitened vectors, of a head by each objective."""
    events, texts = load(name, data)
    found = distinct(texts)
    everything = build_history(events, found)
    cold = hold_out_texts(everything, COLD_SHARE, 0, "bench-cold")
    known = events.take(~cold[np.maximum(found.codes[events.items], 0)])
    prepared = prepare(known, texts, recipe_of("full", "bert"), 0)
    task = cold_task(prepared.past, everything, cold, 0)
    frozen = Encoder("minilm", device="cpu", threads=1, cache="default").encode(found.texts)
    whitening = whitened(frozen, prepared.rows)
    inputs = whitening.apply(frozen)
    reference = cold_ndcg(task, inputs)
    rows: dict[str, Any] = {"half-whitened": {"ndcg": round(float(reference.mean()), 4)}}
    for row, given in ROWS.items():
        recipe = recipe_of("full", "bert", **given)
        schedule = dataclasses.replace(
            HEAD_SCHEDULE, temperature=recipe.schedule.temperature, popularity=recipe.schedule.popularity
        )
        recipe = dataclasses.replace(recipe, schedule=schedule)
        sampler = objective_sampler(prepared.past, recipe, 0)
        if recipe.hard_negatives:
            sampler.add_near(near_texts(inputs[sampler.eligible]), recipe.hard_negatives)
        head = LinearHead(inputs)
        judge = LaterBehaviour(prepared.past, prepared.later, 0)
        Training(head, sampler, judge, schedule, row).run()
        vectors = whitened(frozen, prepared.rows, RankingMap((*whitening.maps, head.affine()))).apply(frozen)
        scores = cold_ndcg(task, vectors)
        rows[row] = {
            "ndcg": round(float(scores.mean()), 4),
            "on_half_whitened": paired_gain(scores, reference, 0).describe(),
        }
        print(name, row, rows[row], flush=True)
    return rows


def main() -> None:
    """Measure the named sets and merge the figures into the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["retail", "films"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    for name in given.sets:
        results.setdefault("objectives", {})[name] = measure(name, given.data)
        write_json(given.out, results)


if __name__ == "__main__":
    main()
