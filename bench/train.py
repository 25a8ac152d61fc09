"""Fine-tuning on real data: cold items, popularity thirds, clusters, throughput. Writes ``bench/results/train.json``.

Run ``python -m uicgpu.bench.train --data DATA films retail``, on one thread. A fifth of
the texts is held out with all behaviour and never seen by training or gate; every figure of a set is over these.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.bench.train_guards import group_figures, own_stability
from uicgpu.bench.train_sets import ENCODERS, SETS, STEPS, Lines, load
from uicgpu.encode.encoder import Encoder
from uicgpu.finetune.behaviour import Texts, build_history, distinct, hold_out_texts
from uicgpu.finetune.data import prepare
from uicgpu.finetune.gate import ColdTask, cold_ndcg, cold_task, paired_gain
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.recipe import recipe_of
from uicgpu.finetune.train import FineTuned, fine_tune
from uicgpu.runs.folder import write_json

COLD_SHARE: Final = 0.2
RESULTS: Final = Path(__file__).parent / "results" / "train.json"


def cold_figures(tuned: FineTuned, task: ColdTask, popularity: NDArray[np.int64]) -> dict[str, Any]:
    """NDCG@10 of every arm on the cold texts, gains with intervals, and the shipped arm by popularity third."""
    scores = {name: cold_ndcg(task, arm.ranking.apply(tuned.vectors[arm.weights])) for name, arm in tuned.arms.items()}
    table = {
        name: {
            "ndcg": round(float(values.mean()), 4),
            "on_frozen": paired_gain(values, scores["frozen"], 0).describe(),
            "on_half_whitened": paired_gain(values, scores["half-whitened"], 0).describe(),
        }
        for name, values in scores.items()
    }
    borders = np.quantile(popularity[task.candidates], [1 / 3, 2 / 3])
    thirds = {}
    names = ("rarest third", "middle third", "most popular third")
    for number, label in enumerate(names):
        inside = np.digitize(popularity[task.candidates], borders, right=True) == number
        truth = task.truth[:, inside].tocsr()
        users = np.flatnonzero(np.diff(truth.indptr) > 0)
        part = ColdTask(task.users[users], task.queries[users], task.candidates[inside], truth[users], task.train_texts)
        mine, half, frozen = (
            cold_ndcg(part, tuned.arms[arm].ranking.apply(tuned.vectors[tuned.arms[arm].weights]))
            for arm in (tuned.verdict.chosen, "half-whitened", "frozen")
        )
        thirds[label] = {
            "items": int(inside.sum()),
            "users": int(users.size),
            "most_users_per_item": int(popularity[task.candidates][inside].max(initial=0)),
            "on_frozen": paired_gain(mine, frozen, 0).describe(),
            "on_half_whitened": paired_gain(mine, half, 0).describe(),
        }
    return {"users": int(task.users.size), "cold_texts": int(task.candidates.size), "arms": table, "thirds": thirds}


def run_set(name: str, data: Path, recipe: str, steps: int, checkpoints: Path | None, groups: bool) -> dict[str, Any]:
    """Train on one set and judge on its cold texts."""
    events, texts = load(name, data)
    found: Texts = distinct(texts)
    everything = build_history(events, found)
    cold = hold_out_texts(everything, COLD_SHARE, 0, "bench-cold")
    known = events.take(~cold[np.maximum(found.codes[events.items], 0)])
    encoder = Encoder(ENCODERS.get(name, "minilm"), device="cpu", threads=1, cache="default")
    settings = recipe_of(recipe, "bert", steps=steps)
    prepared = prepare(known, texts, settings, 0)
    folder = checkpoints / f"ck-{name}-{recipe}" if checkpoints is not None else None
    resumed = folder is not None and any(folder.glob("*.json"))
    started = time.process_time()
    tuned = fine_tune(prepared, encoder, settings, threads=1, checkpoints=folder, progress=Lines())
    seconds = round(time.process_time() - started)
    result = {
        "recipe": recipe,
        "steps": steps,
        "cpu_seconds": None if resumed else seconds,
        "gate": tuned.facts["gate"],
        "similarity": tuned.facts["similarity"],
        "structure": tuned.facts["structure"],
        "uniformity": tuned.facts["uniformity"],
        "alignment": tuned.facts["alignment"],
        "validation": {key: record["validation"] for key, record in tuned.facts["records"].items()},
        **cold_figures(tuned, cold_task(prepared.past, everything, cold, 0), everything.popularity),
    }
    if groups and tuned.states:
        result["groups"] = group_figures(data, encoders_of(tuned, encoder))
        plain = {key or "frozen": vectors for key, vectors in tuned.vectors.items()}
        result["own_clusters"] = own_stability(plain, prepared.past)
    return result


def encoders_of(tuned: FineTuned, base: Encoder) -> dict[str, Any]:
    """Encode functions of the base and of each trained state."""
    import torch

    functions: dict[str, Any] = {"frozen": base.encode}
    for name, state in tuned.states.items():
        moved = TrainableEncoder(base.model, ["x"])
        moved.network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
        functions[name] = moved.encode
    return functions


def main() -> None:
    """Run the named sets and merge their figures into the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="full")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--no-groups", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    for name in given.sets:
        steps = given.steps or STEPS[name]
        key = name if given.recipe == "full" else f"{name}_{given.recipe}"
        former = results.get(key, {}).get("cpu_seconds")
        results[key] = run_set(name, given.data, given.recipe, steps, given.checkpoints, not given.no_groups)
        if results[key]["cpu_seconds"] is None:  # the training went on from a checkpoint: its time was taken then
            results[key]["cpu_seconds"] = former
        write_json(given.out, results)


if __name__ == "__main__":
    main()
