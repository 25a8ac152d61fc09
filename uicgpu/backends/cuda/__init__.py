"""The CUDA backend: thin methods over the functions of this folder, each inside the chosen device.

Contract-tested against the recorded signatures of RAPIDS 26.06 and 26.10; not executed on a GPU.
"""

# ruff: noqa: D102 -- every method is documented once, in the interface

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.cuda import arrays, assign, density, hierarchy, kmeans, linear_algebra, search, segments, tables
from uicgpu.backends.interface import Assignment, DensityFit, RadiusFit
from uicgpu.backends.probe import Probe, library_failure
from uicgpu.backends.workers import one_blas_thread, run_in_order
from uicgpu.kernels.segment_reduce.pool import scale_to_unit

In = TypeVar("In")
Out = TypeVar("Out")


class CudaBackend:
    """Operations on one GPU; see :class:`uicgpu.backends.interface.Backend`.

    Parameters
    ----------
    probe
        The passed probe of the device.
    threads
        Host threads.
    memory
        Budget in bytes for one operation's working set; at most half of the device's memory is used.

    Attributes
    ----------
    engines
        Per operation that has a choice, the engine that ran last: ``{"collect": "cudf", ...}``.
    """

    name: Literal["cpu", "cuda"] = "cuda"

    def __init__(self, probe: Probe, threads: int, memory: int) -> None:
        self.probe = probe
        self.reason = f"The GPU answers: {probe.name}."
        self.threads = threads
        self.memory = min(memory, (probe.memory_bytes or memory) // 2)
        # a CPU build of torch may stand beside a working CuPy; the encoder then stays on the CPU
        self.device = "cpu" if library_failure("torch", probe.number) else f"cuda:{probe.number}"
        self.engines: dict[str, str] = {}
        self._entered = ExitStack()
        if not library_failure("rmm", probe.number):
            with self._on_device():
                self.engines["memory"] = arrays.share_pool()

    def _on_device(self) -> Any:
        import cupy

        return cupy.cuda.Device(self.probe.number)

    def __enter__(self) -> CudaBackend:
        self._entered.enter_context(one_blas_thread())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()

    def map(self, function: Callable[[In], Out], parts: Iterable[In]) -> list[Out]:
        return run_in_order(function, parts, self.threads)

    def collect(self, plans: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        frames, self.engines["collect"] = tables.collect(plans, self.probe.number)
        return frames

    def to_device(self, array: NDArray[Any]) -> Any:
        with self._on_device():
            return arrays.to_device(array)

    def to_host(self, array: Any) -> NDArray[Any]:
        with self._on_device():
            return arrays.to_host(array)

    def assign(self, points: Any, centroids: Any) -> Assignment:
        with self._on_device():
            assignment, self.engines["assign"] = assign.assign(points, centroids, self.memory, self.probe.number)
        return assignment

    def repeated_assign(self, points: Any) -> Callable[[Any], NDArray[np.int32]]:
        return assign.repeated_assign(points, self.assign)

    def segment_sum(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: Any
    ) -> NDArray[np.float64]:
        with self._on_device():
            sums, self.engines["segment_sum"] = segments.segment_sum(
                offsets, indices, weights, vectors, self.memory, self.probe.number
            )
        return sums

    def segment_pool(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: Any, unit: bool
    ) -> NDArray[np.float32]:
        with self._on_device():
            pooled, self.engines["segment_pool"] = segments.segment_pool(
                offsets, indices, weights, vectors, self.memory, self.probe.number
            )
        if unit:
            scale_to_unit(offsets, weights, pooled, self.map)
        return pooled

    def repeated_sum(
        self, points: Any, weights: NDArray[np.float32], count: int
    ) -> Callable[[NDArray[np.int32]], NDArray[np.float64]]:
        return segments.repeated_sum(points, weights, count, self.segment_sum)

    def top_k(
        self, queries: NDArray[Any], points: NDArray[Any], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        with self._on_device():
            return search.top_k(queries, points, k, self.probe.number, self.threads, self.memory)

    def gram(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], values: NDArray[Any], columns: int
    ) -> NDArray[np.float64]:
        with self._on_device():
            return linear_algebra.gram(offsets, indices, values, columns, self.memory)

    def invert_positive_definite(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        with self._on_device():
            return linear_algebra.invert_positive_definite(matrix)

    def principal_axes(
        self, points: Any, components: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        with self._on_device(), one_blas_thread():
            return linear_algebra.principal_axes(points, components, self.memory)

    def hdbscan(self, points: NDArray[Any], min_cluster_size: int, min_samples: int) -> DensityFit:
        with self._on_device():
            return density.hdbscan(points, min_cluster_size, min_samples, self.probe.number, self.threads)

    def dbscan(self, points: NDArray[Any], eps: float, min_samples: int) -> RadiusFit:
        with self._on_device():
            return density.dbscan(points, eps, min_samples, self.probe.number, self.threads, self.memory)

    def agglomerative(self, points: NDArray[Any], clusters: int, linkage: str) -> NDArray[np.int32]:
        with self._on_device():
            said = self.engines.get("agglomerative") == hierarchy.HOST
            labels, self.engines["agglomerative"] = hierarchy.agglomerative(
                points, clusters, linkage, self.probe.number, self.memory, said
            )
        return labels

    def kmeans_engine(
        self, points: Any, clusters: int, seed: int, iterations: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        with self._on_device():
            return kmeans.kmeans_engine(points, clusters, seed, iterations, self.probe.number, self.memory)

    def release(self) -> None:
        with self._on_device():
            arrays.release()
