"""What a device can do for the rooms above: the one list of operations that the CPU and the CUDA twin both offer.

Arrays that come in and go out are NumPy arrays unless a docstring says "device array": what :meth:`Backend.to_device`
returned, which is the NumPy array itself on the CPU and a CuPy array on a GPU. Nothing above this package imports a GPU
library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.kernels.spanning_tree import Tree

In = TypeVar("In")
Out = TypeVar("Out")
DeviceArray = Any
"""A NumPy array on the CPU, a CuPy array on a GPU."""


@dataclass(frozen=True)
class Assignment:
    """Nearest and second-nearest centroid of each point.

    Scores are ``<x, c> - |c|^2 / 2``; the squared distance is ``|x|^2 - 2 * score``. Ties go to the lowest id. With one
    centroid ``second_labels`` repeats ``labels`` and ``second_scores`` is ``-inf``. A row with NaN gets label -1.
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    second_labels: NDArray[np.int32]
    second_scores: NDArray[np.float32]


class DensityFit(NamedTuple):
    """What HDBSCAN found.

    Attributes
    ----------
    labels
        int32 [n], -1 is noise; clusters are numbered by their first member.
    strengths
        float32 [n] in [0, 1], 0 for noise.
    tree
        The spanning tree that was cut, or None when there were too few points for any cluster.
    """

    labels: NDArray[np.int32]
    strengths: NDArray[np.float32]
    tree: Tree | None


class RadiusFit(NamedTuple):
    """What DBSCAN found.

    Attributes
    ----------
    labels
        int32 [n], -1 is noise.
    core
        bool [n], whether the point has ``min_samples`` neighbours within the radius, itself included.
    """

    labels: NDArray[np.int32]
    core: NDArray[np.bool_]


class Backend(Protocol):
    """Operations of one device. Every method is deterministic and independent of ``threads`` on the CPU."""

    name: Literal["cpu", "cuda"]
    device: str
    """torch device string: ``cpu``, ``cuda:0``."""
    reason: str
    """Why this device was chosen, in one sentence."""
    threads: int
    memory: int
    """Budget in bytes for one operation's working set."""
    engines: dict[str, str]
    """Where an operation has a choice of library: the one that ran last, for the record of a run."""

    def __enter__(self) -> Self:
        """Hold BLAS at one thread until the block ends; enter it once around a run."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give BLAS its threads back."""
        ...

    def map(self, function: Callable[[In], Out], parts: Iterable[In]) -> list[Out]:
        """Apply ``function`` to each part on ``threads`` host threads; results in the order of the parts.

        Parts must not depend on the number of threads; BLAS runs on one thread inside.
        """
        ...

    def collect(self, plans: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        """Run Polars plans together (shared sub-plans once): CPU streaming engine, or the cuDF engine."""
        ...

    def to_device(self, array: NDArray[Any]) -> DeviceArray:
        """Move a host array to the device (no copy on the CPU)."""
        ...

    def to_host(self, array: DeviceArray) -> NDArray[Any]:
        """Move a device array to the host (no copy on the CPU)."""
        ...

    def assign(self, points: DeviceArray, centroids: DeviceArray) -> Assignment:
        """Nearest and second-nearest centroid; points [n, d] float32, centroids [k, d] float32; no n x k matrix."""
        ...

    def repeated_assign(self, points: DeviceArray) -> Callable[[DeviceArray], NDArray[np.int32]]:
        """Assign the same points again and again as centroids move: a function from centroids to labels, int32 [n].

        The labels are those of :meth:`assign`, whatever was asked before. On the CPU, bounds from one call spare work
        in the next. The points must not change in between.
        """
        ...

    def segment_sum(
        self,
        offsets: NDArray[np.int64],
        indices: NDArray[np.int32],
        weights: NDArray[np.float32],
        vectors: DeviceArray,
    ) -> NDArray[np.float64]:
        """Weighted sum of ``vectors[indices]`` per segment ``offsets[s]:offsets[s + 1]``; [segments, d] float64.

        Sums run in the order of the segment, in float64 on the CPU; an empty segment is zero.
        """
        ...

    def segment_pool(
        self,
        offsets: NDArray[np.int64],
        indices: NDArray[np.int32],
        weights: NDArray[np.float32],
        vectors: DeviceArray,
        unit: bool,
    ) -> NDArray[np.float32]:
        """Weighted sum of ``vectors[indices]`` per segment, or its direction; [segments, d] float32.

        Float32 products in groups of eight, all else in float64, in a fixed order; the error is below ``2^-22`` of the
        sum of the absolute products. ``unit`` scales each row to length 1, and to 0 where it is shorter than 1e-6 of
        its weights: then weights are 0 or more and vectors of length 1 at most.
        """
        ...

    def repeated_sum(
        self, points: DeviceArray, weights: NDArray[np.float32], count: int
    ) -> Callable[[NDArray[np.int32]], NDArray[np.float64]]:
        """Sum the same points per label again and again as labels change: a function from labels [n] to sums.

        The sums, float64 [count, d], are those of :meth:`segment_sum` up to 2^-32 of a column's typical size, and
        depend only on the labels asked for, not on earlier calls. Negative labels belong to no segment.
        """
        ...

    def top_k(
        self, queries: NDArray[np.float32], points: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k largest inner products of each query, exactly: scores and rows, both [n, k].

        Best first, equal scores by ascending row; fewer than k points are padded with -inf and -1.
        """
        ...

    def gram(
        self,
        offsets: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: NDArray[np.float32],
        columns: int,
    ) -> NDArray[np.float64]:
        """``X^T X`` of a CSR matrix with ``columns`` columns, dense float64 [columns, columns]."""
        ...

    def invert_positive_definite(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inverse of a symmetric positive definite matrix by Cholesky."""
        ...

    def principal_axes(
        self, points: NDArray[np.float32], components: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """PCA: mean [d], axes [components, d] (sign fixed: largest absolute entry positive), variance share."""
        ...

    def hdbscan(self, points: NDArray[np.float32], min_cluster_size: int, min_samples: int) -> DensityFit:
        """HDBSCAN, Euclidean; ``min_samples`` counts the point itself."""
        ...

    def dbscan(self, points: NDArray[np.float32], eps: float, min_samples: int) -> RadiusFit:
        """DBSCAN, Euclidean; ``min_samples`` counts the point itself."""
        ...

    def agglomerative(self, points: NDArray[np.float32], clusters: int, linkage: str) -> NDArray[np.int32]:
        """Labels of hierarchical clustering cut at ``clusters`` groups."""
        ...

    def kmeans_engine(
        self, points: NDArray[np.float32], clusters: int, seed: int, iterations: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """A library's own KMeans (cuML): labels and centroids; None where this device has none."""
        ...

    def release(self) -> None:
        """Give cached device memory back, between stages."""
        ...


class BackendFactory(Protocol):
    """Signature of :func:`uicgpu.backends.choose_backend`."""

    def __call__(self, device: str = "auto", threads: int | None = None, memory: int | None = None) -> Backend:
        """Return the backend for ``device`` (``auto``, ``cpu``, ``cuda``, ``cuda:N``)."""
        ...
