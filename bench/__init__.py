"""Benchmarks beside peers, scale runs and the cost model. Installed as ``uicgpu.bench``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

BENCHMARKS = {
    "encode": "uicgpu.bench.encode:bench_encode",
    "hdbscan": "uicgpu.bench.hdbscan:bench_hdbscan",
    "kmeans": "uicgpu.bench.kmeans:bench_kmeans",
    "pool": "uicgpu.bench.pool:bench_pool",
    "topk": "uicgpu.bench.topk:bench_topk",
    "recommend": "uicgpu.bench.recommend:bench_recommend",
    "evaluate": "uicgpu.bench.evaluate:bench_evaluate",
}
"""Name → function that measures and returns a result; modules load on demand."""


def run_benchmark(name: str, *, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run one benchmark on ``count`` units with ``rounds`` measured rounds; ``say`` is told how far it is."""
    module, _, function = BENCHMARKS[name].partition(":")
    result: dict[str, Any] = getattr(importlib.import_module(module), function)(count=count, rounds=rounds, say=say)
    return result
