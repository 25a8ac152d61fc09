"""Every operation once more, slow and obvious, in float64: the specification that both twins are compared with.

Used by the conformance tests and by ``uicgpu doctor --self-test``. It stores n x k scores and n x n distances.
"""

# ruff: noqa: D102 -- every method is documented once, in the interface

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Assignment, DensityFit, RadiusFit
from uicgpu.kernels.assign import reference as assign_kernel
from uicgpu.kernels.segment_reduce import reference as segment_kernel
from uicgpu.kernels.spanning_tree import Tree

In = TypeVar("In")
Out = TypeVar("Out")


class ReferenceBackend:
    """Operations for small data; see :class:`uicgpu.backends.interface.Backend`."""

    name: Literal["cpu", "cuda"] = "cpu"
    device = "cpu"
    reason = "The reference was asked for."
    threads = 1
    memory = 2**30

    def __init__(self) -> None:
        self.engines: dict[str, str] = {}

    def __enter__(self) -> ReferenceBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def map(self, function: Callable[[In], Out], parts: Iterable[In]) -> list[Out]:
        return [function(part) for part in parts]

    def collect(self, plans: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        return [plan.collect(engine="in-memory") for plan in plans]

    def to_device(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def to_host(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def assign(self, points: NDArray[Any], centroids: NDArray[Any]) -> Assignment:
        return Assignment(*assign_kernel.assign(points, centroids))

    def repeated_assign(self, points: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[np.int32]]:
        return lambda centroids: self.assign(points, centroids).labels

    def segment_sum(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], weights: NDArray[Any], vectors: NDArray[Any]
    ) -> NDArray[np.float64]:
        return segment_kernel.segment_sum(offsets, indices, weights, vectors)

    def segment_pool(
        self,
        offsets: NDArray[np.int64],
        indices: NDArray[Any],
        weights: NDArray[Any],
        vectors: NDArray[Any],
        unit: bool,
    ) -> NDArray[np.float32]:
        return segment_kernel.segment_pool(offsets, indices, weights, vectors, unit)

    def repeated_sum(
        self, points: NDArray[Any], weights: NDArray[np.float32], count: int
    ) -> Callable[[NDArray[np.int32]], NDArray[np.float64]]:
        def sums(labels: NDArray[np.int32]) -> NDArray[np.float64]:
            member = labels[None, :] == np.arange(count)[:, None]
            return np.asarray((member * weights.astype(np.float64)) @ points.astype(np.float64))

        return sums

    def top_k(
        self, queries: NDArray[Any], points: NDArray[Any], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        products = (queries.astype(np.float64) @ points.astype(np.float64).T).astype(np.float32)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        order = np.argsort(-products, axis=1, kind="stable")[:, :k]
        rows[:, : order.shape[1]] = order
        scores[:, : order.shape[1]] = np.take_along_axis(products, order, axis=1)
        return scores, rows

    def gram(
        self, offsets: NDArray[np.int64], indices: NDArray[Any], values: NDArray[Any], columns: int
    ) -> NDArray[np.float64]:
        dense = np.zeros((len(offsets) - 1, columns))
        rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        np.add.at(dense, (rows, indices), values.astype(np.float64))
        return dense.T @ dense

    def invert_positive_definite(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        inverse = np.asarray(np.linalg.inv(matrix), np.float64)
        return inverse

    def principal_axes(
        self, points: NDArray[Any], components: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        x = points.astype(np.float64)
        mean = x.mean(axis=0)
        _, lengths, axes = np.linalg.svd(x - mean, full_matrices=True)
        variance = np.zeros(x.shape[1])
        variance[: len(lengths)] = lengths**2
        axes = axes[:components]
        signs = np.sign(axes[np.arange(components), np.abs(axes).argmax(axis=1)])
        share = variance[:components] / (variance.sum() or 1.0)
        return mean.astype(np.float32), (axes * signs[:, None]).astype(np.float32), share.astype(np.float32)

    def hdbscan(self, points: NDArray[Any], min_cluster_size: int, min_samples: int) -> DensityFit:
        from scipy.spatial.distance import cdist
        from sklearn.cluster import HDBSCAN

        if len(points) < max(min_cluster_size, min_samples):
            return DensityFit(np.full(len(points), -1, np.int32), np.zeros(len(points), np.float32), None)
        model = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, algorithm="brute", copy=True)
        model.fit(points.astype(np.float64))
        labels = model.labels_.astype(np.int32)
        squares = cdist(points.astype(np.float64), points.astype(np.float64), "sqeuclidean")
        cores = np.sort(squares, axis=1)[:, min_samples - 1]
        reach = np.sqrt(np.maximum(squares, np.maximum(cores[:, None], cores)))
        low, high, weights = _prim(reach)
        return DensityFit(labels, model.probabilities_.astype(np.float32), Tree(low, high, weights, cores))

    def dbscan(self, points: NDArray[Any], eps: float, min_samples: int) -> RadiusFit:
        from sklearn.cluster import DBSCAN

        model = DBSCAN(eps=eps, min_samples=min_samples, algorithm="brute").fit(points.astype(np.float64))
        core = np.zeros(len(points), bool)
        core[model.core_sample_indices_] = True
        return RadiusFit(np.asarray(model.labels_, np.int32), core)

    def agglomerative(self, points: NDArray[Any], clusters: int, linkage: str) -> NDArray[np.int32]:
        from scipy.cluster import hierarchy

        tree = hierarchy.linkage(points.astype(np.float64), linkage)
        return np.asarray(hierarchy.fcluster(tree, clusters, "maxclust") - 1, np.int32)

    def kmeans_engine(
        self, points: NDArray[Any], clusters: int, seed: int, iterations: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        return None

    def release(self) -> None:
        return None


def _prim(lengths: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Minimum spanning tree of a dense graph: lower and higher ends and lengths, shortest first."""
    n = len(lengths)
    near, nearest = lengths[0].copy(), np.zeros(n, np.int32)
    inside = np.arange(n) == 0
    edges = []
    for _ in range(n - 1):
        new = int(np.where(inside, np.inf, near).argmin())
        edges.append((near[new], min(nearest[new], new), max(nearest[new], new)))
        inside[new] = True
        closer = lengths[new] < near
        near[closer], nearest[closer] = lengths[new][closer], new
    weights, low, high = zip(*sorted(edges), strict=True)
    return np.array(low, np.int32), np.array(high, np.int32), np.array(weights)
