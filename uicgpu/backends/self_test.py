"""Compare a backend with the float64 references on this machine: what ``uicgpu doctor --self-test`` runs.

On a GPU this is the first thing to run: the CUDA twin was only ever tested on stand-ins of its libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.backends.reference import ReferenceBackend
from uicgpu.randomness import generator


@dataclass(frozen=True)
class Check:
    """One comparison: its name, whether it passed, and the figure or the error."""

    name: str
    passed: bool
    told: str


EXEMPT: Final = {
    "__enter__": "held around all comparisons; it returns the backend itself",
    "__exit__": "ends the block around all comparisons; it returns nothing",
    "release": "returns nothing; what it frees shows in the library's pool only",
}
"""Operations that no comparison covers, and why."""


def run_self_test(backend: Backend) -> list[Check]:
    """Run every operation on small data and compare; never raises for a failing operation."""
    reference = ReferenceBackend()
    checks = []
    with backend:
        for name, compare in _COMPARISONS.items():
            try:
                difference, allowed = compare(backend, reference)
                told = f"difference {difference:.2g}, allowed {allowed:.2g}"
                checks.append(Check(name, bool(difference <= allowed), told))
            except Exception as error:  # an operation may fail in any way on an untried device
                first = (str(error).strip() or "no message").splitlines()[0]
                checks.append(Check(name, False, f"{type(error).__name__}: {first}"))
    return checks


Compared = tuple[float, float]
_RNG = "backends/self_test"


def _groups(n: int, d: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = generator(0, _RNG)
    centres = 8 * rng.standard_normal((5, d))
    return (centres[np.arange(n) % 5] + rng.standard_normal((n, d))).astype(np.float32)


def _assign(backend: Backend, reference: Backend) -> Compared:
    rng = generator(0, _RNG)
    x, c = (rng.integers(-4, 5, size=(rows, 50)).astype(np.float32) for rows in (1000, 37))
    got, want = backend.assign(backend.to_device(x), backend.to_device(c)), reference.assign(x, c)
    wrong = (got.labels != want.labels).sum() + (got.second_labels != want.second_labels).sum()
    return float(wrong + np.abs(got.scores - want.scores).max()), 0.0


def _repeated_assign(backend: Backend, reference: Backend) -> Compared:
    rng = generator(0, _RNG)
    x, c = (rng.integers(-4, 5, size=(rows, 50)).astype(np.float32) for rows in (1000, 37))
    labels, want = backend.repeated_assign(backend.to_device(x)), reference.repeated_assign(x)
    # small steps, then back to the start: no answer may depend on the ones before
    paths = [c, c + np.eye(37, 50, dtype=np.float32), np.roll(c, 1, axis=0), c]
    return float(sum((labels(backend.to_device(each)) != want(each)).sum() for each in paths)), 0.0


def _repeated_sum(backend: Backend, reference: Backend) -> Compared:
    rng = generator(0, _RNG)
    x, weights = _groups(400, 12), rng.random(400, np.float32)
    first = rng.integers(-1, 6, size=400).astype(np.int32)
    changed = np.where(rng.random(400) < 0.1, 0, first).astype(np.int32)
    sums, want = backend.repeated_sum(backend.to_device(x), weights, 7), reference.repeated_sum(x, weights, 7)
    return max(float(np.abs(sums(labels) - want(labels)).max()) for labels in (first, changed, first)), 1e-6


def _round_trip(backend: Backend, reference: Backend) -> Compared:
    arrays: list[NDArray[Any]] = [_groups(60, 7), np.arange(9, dtype=np.int64), np.empty((0, 3), np.float32)]
    back = [backend.to_host(backend.to_device(array)) for array in arrays]
    pairs = zip(back, arrays, strict=True)
    same = [got.dtype == want.dtype and np.array_equal(got, want) for got, want in pairs]
    return float(same.count(False)), 0.0


def _map(backend: Backend, reference: Backend) -> Compared:
    def total(part: slice) -> float:
        return float(np.arange(1000.0)[part].sum())

    parts = [slice(start, start + 64) for start in range(0, 1000, 64)]
    return float(backend.map(total, parts) != reference.map(total, parts)), 0.0


def _kmeans_engine(backend: Backend, reference: Backend) -> Compared:
    from sklearn.metrics import adjusted_rand_score

    points = _groups(400, 6)
    found = backend.kmeans_engine(points, 5, 0, 100)
    if found is None:  # no library's KMeans on this device
        return float(backend.name != "cpu"), 0.0
    labels, centroids = found
    nearest = reference.assign(points, centroids).labels
    return 1.0 - min(adjusted_rand_score(labels, np.arange(400) % 5), adjusted_rand_score(labels, nearest)), 1e-2


def _segment_sum(backend: Backend, reference: Backend) -> Compared:
    rng = generator(0, _RNG)
    counts = np.append(rng.integers(0, 9, size=200), 1500)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = rng.integers(0, 100, size=offsets[-1]).astype(np.int32)
    weights, x = rng.random(offsets[-1], np.float32), _groups(100, 33)
    got = backend.segment_sum(offsets, indices, weights, backend.to_device(x))
    return float(np.abs(got - reference.segment_sum(offsets, indices, weights, x)).max()), 1e-9


def _segment_pool(backend: Backend, reference: Backend) -> Compared:
    rng = generator(0, _RNG)
    counts = np.append(rng.integers(0, 30, size=200), 1500)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = rng.integers(0, 100, size=offsets[-1]).astype(np.int32)
    weights, x = rng.random(offsets[-1], np.float32), _groups(100, 33)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    got = backend.segment_pool(offsets, indices, weights, backend.to_device(x), unit=True)
    return float(np.abs(got - reference.segment_pool(offsets, indices, weights, x, unit=True)).max()), 1e-6


def _top_k(backend: Backend, reference: Backend) -> Compared:
    x = generator(0, _RNG).integers(-2, 3, size=(600, 24)).astype(np.float32)
    got, want = backend.top_k(x[:50], x, 7), reference.top_k(x[:50], x, 7)
    return float((got[1] != want[1]).sum() + np.abs(got[0] - want[0]).max()), 0.0


def _linear_algebra(backend: Backend, reference: Backend) -> Compared:
    rng = generator(0, _RNG)
    x = (rng.random((300, 20)) < 0.3).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum((x > 0).sum(axis=1))]).astype(np.int64)
    indices = np.nonzero(x)[1].astype(np.int32)
    got = backend.gram(offsets, indices, np.ones(len(indices), np.float32), 20)
    want = x.astype(np.float64).T @ x
    inverse = backend.invert_positive_definite(want + np.eye(20))
    return float(np.abs(got - want).max() + np.abs(inverse @ (want + np.eye(20)) - np.eye(20)).max()), 1e-9


def _principal_axes(backend: Backend, reference: Backend) -> Compared:
    x = _groups(500, 12)
    pairs = zip(backend.principal_axes(x, 4), reference.principal_axes(x, 4), strict=True)
    return max(float(np.abs(got - want).max()) for got, want in pairs), 1e-4


def _partitions_differ(run: Callable[[Backend], object]) -> Callable[[Backend, Backend], Compared]:
    def compare(backend: Backend, reference: Backend) -> Compared:
        from sklearn.metrics import adjusted_rand_score

        return 1.0 - adjusted_rand_score(run(backend), run(reference)), 1e-2

    return compare


def _collect(backend: Backend, reference: Backend) -> Compared:
    frame = pl.LazyFrame({"user": [2, 1, 2, 1, 3], "weight": [1.0, 2.0, 3.0, 4.0, 5.0]})
    plan = frame.group_by("user").agg(pl.col("weight").sum()).sort("user")
    return float(not backend.collect([plan])[0].equals(reference.collect([plan])[0])), 0.0


_COMPARISONS: dict[str, Callable[[Backend, Backend], Compared]] = {
    "assign": _assign,
    "repeated_assign": _repeated_assign,
    "segment_sum": _segment_sum,
    "segment_pool": _segment_pool,
    "repeated_sum": _repeated_sum,
    "top_k": _top_k,
    "gram and inverse": _linear_algebra,
    "principal_axes": _principal_axes,
    "hdbscan": _partitions_differ(lambda backend: backend.hdbscan(_groups(400, 6), 20, 5)[0]),
    "dbscan": _partitions_differ(lambda backend: backend.dbscan(_groups(400, 6), 4.0, 5)[0]),
    "ward linkage": _partitions_differ(lambda backend: backend.agglomerative(_groups(400, 6), 5, "ward")),
    "single linkage": _partitions_differ(lambda backend: backend.agglomerative(_groups(400, 6), 5, "single")),
    "kmeans_engine": _kmeans_engine,
    "collect": _collect,
    "to_device and to_host": _round_trip,
    "map": _map,
}
