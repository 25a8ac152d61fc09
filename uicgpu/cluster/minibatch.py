"""KMeans in small batches, for streams and for files larger than memory (Sculley, "Web-Scale K-Means", WWW 2010)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, validate_data

from uicgpu.backends.workers import one_blas_thread
from uicgpu.cluster.directions import unit_means
from uicgpu.cluster.distances import chunks, mean_variance, squared_distances
from uicgpu.cluster.kmeans import FLOATS, KMeans
from uicgpu.cluster.parameters import check_integer, seed_from
from uicgpu.cluster.precision import AS_GIVEN, Frame
from uicgpu.cluster.starts import SEEDINGS
from uicgpu.randomness import generator

RUN: Final = 64
"""Rows that a batch takes in one go: a disk reads neighbours together."""
SEEDING_SAMPLE: Final = 32
"""Rows per cluster, at least 8192, of the sample that the start is drawn from."""
SMALLEST_SAMPLE: Final = 8192
LEAST_GAIN: Final = 1e-3
"""Share of the mean squared distance that a pass has to save for another one to follow."""


class MiniBatchKMeans(KMeans):
    """KMeans that moves its centres a batch at a time and never holds more than a batch.

    Parameters
    ----------
    n_clusters, init, tol, metric, random_state, device, threads
        As in :class:`KMeans`. A start that is not given is drawn from a sample of at most ``max(8192, 32 *
        n_clusters)`` rows.
    batch_size : int
        Rows per batch of :meth:`fit`, rounded up to a multiple of 64 (so many neighbouring rows are read together; the
        groups of 64 come in random order).
    max_iter : int
        Largest number of passes over the data. The passes end when one lowers the mean squared distance of the batches
        by less than 0.1 %, or when the centres' squared shifts during a pass sum to no more than ``tol`` allows.

    Attributes
    ----------
    cluster_centers_, labels_, inertia_, n_iter_, n_features_in_, feature_names_in_
        As in :class:`KMeans`; centres are running means, not those of the final labels. After :meth:`partial_fit`
        labels and inertia are those of the last batch.
    counts_ : float64 ndarray [n_clusters]
        Weight that each centre has seen.
    n_steps_ : int
        Batches seen.

    Notes
    -----
    Each centre is the mean of all rows that it was ever given, so later batches move it less and less. A centre that a
    whole pass gave nothing takes the worst placed row of the last batch. Results depend on the order of the rows, not
    on the number of threads. float32 and float64 are taken batch by batch; other types are converted as a whole first.
    Beside ``X`` a fit holds a batch, the sample, and 12 bytes per row for labels and weights.

    Examples
    --------
    >>> import numpy as np
    >>> model = MiniBatchKMeans(2, device="cpu").fit(np.array([[0.0], [1.0], [9.0], [10.0]]))
    >>> model.labels_[0] == model.labels_[1] != model.labels_[2] == model.labels_[3]
    True
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | NDArray[Any] = "k-means++",
        batch_size: int = 4096,
        max_iter: int = 20,
        tol: float = 0.0,
        metric: str = "euclidean",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            n_clusters,
            init=init,
            max_iter=max_iter,
            tol=tol,
            metric=metric,
            random_state=random_state,
            device=device,
            threads=threads,
        )
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MiniBatchKMeans:
        """Cluster ``X`` [n_samples, n_features], for example a memory map, in passes over random batches.

        Raises
        ------
        ValueError
            As :meth:`KMeans.fit`.
        """
        X, weights = self._accept(X, sample_weight, reset=True)
        seed = seed_from(self.random_state)
        self._open(X, weights, seed)
        rng = generator(seed, "cluster/minibatch/batches")
        before = np.inf
        for number in range(self.max_iter):
            old, spread = self._means.copy(), 0.0
            self._seen = np.zeros(self.n_clusters)
            for rows in _batches(X.shape[0], self.batch_size, rng):
                spread += self._step(X[rows], weights[rows])
            self.n_iter_ = number + 1
            shift = float(((self._means - old) ** 2).sum())
            if number + 1 == self.max_iter or spread >= before * (1 - LEAST_GAIN) or shift <= self._tolerance:
                break
            self._replace_unseen(X[rows], weights[rows])
            before = spread
        return self._finish(X, weights)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MiniBatchKMeans:
        """Move the centres by one batch ``X`` [n_samples, n_features]; the first call also chooses the start in it.

        Raises
        ------
        ValueError
            As :meth:`KMeans.fit`; a first batch must have at least ``n_clusters`` rows.
        """
        first = not hasattr(self, "n_steps_")
        X, weights = self._accept(X, sample_weight, reset=first)
        if first:
            self._open(X, weights, seed_from(self.random_state))
        self._step(X, weights)
        self.n_iter_ = 1
        return self._finish(X, weights)

    def _accept(self, X: Any, sample_weight: Any, reset: bool) -> tuple[NDArray[Any], NDArray[np.float64]]:
        self._check_parameters()
        check_integer("batch_size", self.batch_size, 1)
        X = validate_data(self, X, dtype=FLOATS, accept_large_sparse=False, reset=reset)
        if reset and X.shape[0] < self.n_clusters:
            raise ValueError(f"n_samples={X.shape[0]} should be >= n_clusters={self.n_clusters}")
        if sample_weight is None:
            return X, np.ones(X.shape[0])
        return X, _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)

    def _open(self, X: NDArray[Any], weights: NDArray[np.float64], seed: int) -> None:
        """Choose frame, tolerance and start from a sample of ``X``."""
        rng = generator(seed, "cluster/minibatch/start")
        limit = max(SMALLEST_SAMPLE, SEEDING_SAMPLE * self.n_clusters)
        rows = np.arange(X.shape[0])
        if rows.size > limit:
            drawn = next(_batches(rows.size, limit, rng))
            rows = drawn if np.count_nonzero(weights[drawn]) >= self.n_clusters else rows
        sample = self._directed(X[rows])
        self._frame = AS_GIVEN if self.metric == "cosine" else Frame.of(sample)
        points = self._frame.inward(sample)
        self._tolerance = self.tol * mean_variance(points) if self.tol else 0.0
        start = self._start(sample, self._frame)
        if start is None:
            with one_blas_thread():
                choose = SEEDINGS[str(self.init)]
                start = points[choose(points, self.n_clusters, rng, self._backend(), weights[rows])]
        self._means = start.astype(np.float64)
        self._centroids = start
        self.counts_ = np.zeros(self.n_clusters)
        self.n_steps_ = 0
        self._seen = np.zeros(self.n_clusters)

    def _step(self, X: NDArray[Any], weights: NDArray[np.float64]) -> float:
        """Move the centres by one batch; return the sum of squared distances to where they were."""
        points, labels, squared = self._place(X)
        mass = np.ldexp(weights, -int(np.frexp(weights.max())[1]))
        order = np.argsort(labels, kind="stable").astype(np.int32)
        offsets = np.concatenate(([0], np.cumsum(np.bincount(labels, minlength=self.n_clusters)))).astype(np.int64)
        backend = self._backend()
        sums = backend.segment_sum(offsets, order, mass[order].astype(np.float32), backend.to_device(points))
        totals = np.bincount(labels, weights=mass.astype(np.float32), minlength=self.n_clusters)
        hit = totals > 0
        added = np.bincount(labels, weights=weights, minlength=self.n_clusters)
        self.counts_ += added
        self._seen += added
        share = added[hit] / self.counts_[hit]
        self._means[hit] += share[:, None] * (sums[hit] / totals[hit, None] - self._means[hit])
        self._aim()
        self.n_steps_ += 1
        return float((squared * weights).sum())

    def _aim(self) -> None:
        means = unit_means(self._means, self._centroids) if self.metric == "cosine" else self._means
        self._centroids = means.astype(np.float32)

    def _place(self, X: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float64]]:
        """Return points, labels and squared distances in the frame."""
        points, backend = self._frame.inward(self._directed(X)), self._backend()
        labels = backend.assign(backend.to_device(points), backend.to_device(self._centroids)).labels
        return points, labels, squared_distances(points, self._centroids, labels, backend)

    def _replace_unseen(self, X: NDArray[Any], weights: NDArray[np.float64]) -> None:
        """Move centres that nothing came to in a pass to the worst placed rows of a batch, lowest row on ties."""
        unseen = np.flatnonzero(self._seen == 0)
        if not unseen.size:
            return
        points, _, squared = self._place(X)
        worst = np.argsort(-squared * (weights > 0), kind="stable")[: unseen.size]
        worst = worst[(squared * weights)[worst] > 0]
        taken = unseen[: worst.size]
        self._means[taken] = points[worst]
        self.counts_[taken] = 0
        self._aim()

    def _finish(self, X: NDArray[Any], weights: NDArray[np.float64]) -> MiniBatchKMeans:
        centres = unit_means(self._means, self._centroids) if self.metric == "cosine" else self._means
        self.cluster_centers_ = self._frame.outward(centres).astype(X.dtype)
        self.labels_ = np.empty(X.shape[0], np.int32)
        inertia = 0.0
        for part in chunks(X.shape[0]):
            _, self.labels_[part], squared = self._place(X[part])
            inertia += float((squared * weights[part]).sum())
        self.inertia_ = float(np.ldexp(inertia, -2 * self._frame.exponent))
        self._n_features_out = self.n_clusters
        return self


def _batches(rows: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Row numbers of one pass: groups of neighbours in random order, ascending within a batch."""
    groups = -(-rows // RUN)
    order = rng.permutation(groups)
    per_batch = -(-size // RUN)
    for first in range(0, groups, per_batch):
        starts = np.sort(order[first : first + per_batch]) * RUN
        numbers = (starts[:, None] + np.arange(RUN)).ravel()
        yield numbers[numbers < rows]
