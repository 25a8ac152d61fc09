"""What the default recommender costs on a finished run: tuning, learning, judging, and lists for everybody.

    python -m uicgpu.bench.recommend_cost RUN

Processor time on one thread of the evaluation (every setting of every arm, blend, ranker, ablation, and the test with
three seeds) and of the fit on all events with lists for all users. What is compiled for the first time on a machine is
in the figures: run it twice. They go to ``bench/results/recommend-cost.json``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from uicgpu.backends import choose_backend
from uicgpu.bench.measure import machine, write_result
from uicgpu.evaluation import evaluate
from uicgpu.finetune.stage import ranking_vectors
from uicgpu.pipeline.finished import settings_of
from uicgpu.pipeline.stages_ranking import fitted_recommender, load_catalogue
from uicgpu.pipeline.stages_tables import event_table
from uicgpu.runs.artefacts import open_run
from uicgpu.runs.folder import RunFolder

RESULTS: Final = Path(__file__).resolve().parent / "results" / "recommend-cost.json"


def bench_cost(path: Path) -> dict[str, Any]:
    """Evaluate the run's events and fit and rank anew, on one thread; seconds of processor time."""
    run, folder = open_run(path), RunFolder(path)
    folder.load()
    settings = settings_of(run, {"threads": 1})
    backend = choose_backend("cpu", 1, settings.memory)
    events = event_table(folder)
    catalogue = load_catalogue(run.items, ranking_vectors(run.path, run.manifest, run.item_vectors))
    with backend:
        start = time.process_time()
        evaluation = evaluate(events, catalogue, settings, backend)
        evaluated = time.process_time()
        lists = fitted_recommender(events, catalogue, evaluation.learned, settings, backend).recommend(top=settings.top)
        served = time.process_time()
    return {
        "events": len(events),
        "users": events.n_users,
        "items": events.n_items,
        "rows": lists.height,
        "tune": settings.tune,
        "ranker": evaluation.metrics["evaluation.ranker"],
        "settings_tried": sum(len(tried) for tried in evaluation.learned["tried"].values()),
        "processor_seconds_1_thread": {
            "evaluate": round(evaluated - start, 1),
            "fit and lists": round(served - evaluated, 1),
            "total": round(served - start, 1),
        },
        "machine": machine(),
    }


def main() -> None:
    """Measure and write the result file."""
    if len(sys.argv) != 2:
        sys.exit("name the folder of a finished run")
    write_result(RESULTS, bench_cost(Path(sys.argv[1])))
    print(RESULTS)


if __name__ == "__main__":
    main()
