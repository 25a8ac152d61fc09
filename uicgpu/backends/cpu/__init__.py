"""The CPU backend: thin methods over the functions of this folder."""

# ruff: noqa: D102 -- every method is documented once, in the interface

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.cpu import arrays, assign, density, hierarchy, kmeans, linear_algebra, search, segments, tables
from uicgpu.backends.interface import Assignment, DensityFit, RadiusFit
from uicgpu.backends.workers import one_blas_thread, run_in_order

In = TypeVar("In")
Out = TypeVar("Out")


class CpuBackend:
    """Operations on the CPU; see :class:`uicgpu.backends.interface.Backend`.

    Parameters
    ----------
    reason
        Why the CPU was chosen, in one sentence.
    threads
        Host threads; results do not depend on it.
    memory
        Budget in bytes for one operation's working set.
    """

    name: Literal["cpu", "cuda"] = "cpu"
    device = "cpu"

    def __init__(self, reason: str, threads: int, memory: int) -> None:
        self.reason = reason
        self.threads = threads
        self.memory = memory
        self.engines: dict[str, str] = {}
        self._entered = ExitStack()

    def __enter__(self) -> CpuBackend:
        self._entered.enter_context(one_blas_thread())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()

    def map(self, function: Callable[[In], Out], parts: Iterable[In]) -> list[Out]:
        return run_in_order(function, parts, self.threads)

    def collect(self, plans: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        return tables.collect(plans)

    def to_device(self, array: NDArray[Any]) -> NDArray[Any]:
        return arrays.to_device(array)

    def to_host(self, array: NDArray[Any]) -> NDArray[Any]:
        return arrays.to_host(array)

    def assign(self, points: NDArray[Any], centroids: NDArray[Any]) -> Assignment:
        return assign.assign(points, centroids, self.threads)

    def repeated_assign(self, points: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[np.int32]]:
        return assign.repeated_assign(points, self.threads, self.memory)

    def segment_sum(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: NDArray[Any]
    ) -> NDArray[np.float64]:
        return segments.segment_sum(offsets, indices, weights, vectors, self.threads)

    def segment_pool(
        self,
        offsets: NDArray[np.int64],
        indices: NDArray[Any],
        weights: NDArray[Any],
        vectors: NDArray[Any],
        unit: bool,
    ) -> NDArray[np.float32]:
        return segments.segment_pool(offsets, indices, weights, vectors, unit, self.threads)

    def repeated_sum(
        self, points: NDArray[Any], weights: NDArray[np.float32], count: int
    ) -> Callable[[NDArray[np.int32]], NDArray[np.float64]]:
        return segments.repeated_sum(points, weights, count, self.threads)

    def top_k(
        self, queries: NDArray[Any], points: NDArray[Any], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return search.top_k(queries, points, k, self.threads)

    def gram(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], values: NDArray[Any], columns: int
    ) -> NDArray[np.float64]:
        return linear_algebra.gram(offsets, indices, values, columns, self.threads, self.memory)

    def invert_positive_definite(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return linear_algebra.invert_positive_definite(matrix)

    def principal_axes(
        self, points: NDArray[Any], components: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        return linear_algebra.principal_axes(points, components, self.threads)

    def hdbscan(self, points: NDArray[Any], min_cluster_size: int, min_samples: int) -> DensityFit:
        return density.hdbscan(points, min_cluster_size, min_samples, self.threads)

    def dbscan(self, points: NDArray[Any], eps: float, min_samples: int) -> RadiusFit:
        return density.dbscan(points, eps, min_samples, self.threads, self.memory)

    def agglomerative(self, points: NDArray[Any], clusters: int, linkage: str) -> NDArray[np.int32]:
        return hierarchy.agglomerative(points, clusters, linkage, self.memory)

    def kmeans_engine(
        self, points: NDArray[Any], clusters: int, seed: int, iterations: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        return kmeans.kmeans_engine(points, clusters, seed, iterations)

    def release(self) -> None:
        arrays.release()
