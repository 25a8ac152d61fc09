"""KMeans with the conventions of scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from uicgpu.backends.interface import Backend
from uicgpu.backends.workers import one_blas_thread
from uicgpu.cluster.directions import unit_means, unit_rows
from uicgpu.cluster.distances import chunks, distance_matrix, mean_variance, squared_distances
from uicgpu.cluster.lloyd import Lloyd, lloyd
from uicgpu.cluster.parameters import check_integer, check_number, seed_from
from uicgpu.cluster.precision import AS_GIVEN, Frame
from uicgpu.cluster.starts import SEEDINGS
from uicgpu.randomness import generator

FLOATS: Final = (np.float32, np.float64)
METRICS: Final = ("euclidean", "cosine")


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """KMeans: exact Lloyd iteration from greedy k-means++ or k-means‖ starts; the same result at any number of threads.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    init : {"k-means++", "k-means||"} or array [n_clusters, n_features]
        How to start. ``k-means++`` is greedy and draws from a sample of at most ``max(8192, 32 * n_clusters)`` rows;
        ``k-means||`` (Bahmani et al. 2012) goes over all rows, in about six passes, and pays when small groups among
        many rows matter.
    n_init : int or "auto"
        Number of starts; the one with the smallest inertia is kept. ``auto`` is 1.
    max_iter : int
        Largest number of iterations of one start.
    tol : float
        Stop when the squared shifts of all centroids sum to no more than ``tol`` times the mean variance of the
        columns. At 0 the iteration ends when no label changes.
    metric : {"euclidean", "cosine"}
        ``cosine`` is spherical KMeans: every row counts as the unit vector of its direction (a copy is made), every
        centre is the direction of the mean of its members. A row of zeros has no direction and is refused.
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        Seed; the default 0 makes a fit repeatable, None draws fresh entropy. The global generator is never used.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads : int or None
        Host threads; None means those this process may use. The result does not depend on it.

    Attributes
    ----------
    cluster_centers_ : ndarray [n_clusters, n_features]
        float32 for float32 input; for other input the float64 means of the clusters' members. Unit vectors with
        ``metric="cosine"``.
    labels_ : int32 ndarray [n_samples]
        Cluster of each sample; equal distances go to the lowest id. Always equal to ``predict`` of the training data.
    inertia_ : float
        Weighted sum of squared distances to the own centre, summed in float64 from exact differences. With
        ``metric="cosine"`` the distances are those of the unit vectors: twice the sum of ``1 - cosine``.
    n_iter_ : int
        Iterations of the best start.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Distances are compared in float32. float64 input that float32 cannot hold exactly is moved by its column means
    first, and extreme magnitudes are scaled by a power of two, so that large offsets cost no digits. Empty clusters
    take the worst placed point. When fewer points are distinct than clusters are asked for, the superfluous centres
    repeat others, stay without members, and a ``ConvergenceWarning`` says so.

    Examples
    --------
    >>> import numpy as np
    >>> model = KMeans(2, device="cpu").fit(np.array([[0.0], [1.0], [9.0], [10.0]]))
    >>> sorted(model.cluster_centers_.ravel().tolist()), model.inertia_
    ([0.5, 9.5], 1.0)
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | NDArray[Any] = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        metric: str = "euclidean",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.metric = metric
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Cluster ``X`` [n_samples, n_features].

        Raises
        ------
        ValueError
            For NaN or infinity in ``X``, fewer samples than clusters, a row of zeros with ``metric="cosine"``, or an
            impossible parameter; the message names it.
        """
        self._check_parameters()
        X = validate_data(self, X, dtype=FLOATS, order="C", accept_large_sparse=False)
        if X.shape[0] < self.n_clusters:
            raise ValueError(f"n_samples={X.shape[0]} should be >= n_clusters={self.n_clusters}")
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            if not weights.any():
                raise ValueError("sample_weight is zero for every sample")
        X = self._directed(X)
        frame = AS_GIVEN if self.metric == "cosine" else Frame.of(X)
        points = frame.inward(X)
        start = self._start(X, frame)
        seed = seed_from(self.random_state)
        with one_blas_thread():
            best = self._best(points, start, weights, seed)
        self._keep(best, frame, X, weights)
        return self

    def _best(
        self,
        points: NDArray[np.float32],
        start: NDArray[np.float32] | None,
        weights: NDArray[np.float64] | None,
        seed: int,
    ) -> Lloyd:
        backend = self._backend()
        best: Lloyd | None = None
        tolerance = self.tol * mean_variance(points) if self.tol else 0.0
        for number in range(1 if start is not None or self.n_init == "auto" else int(self.n_init)):
            if start is None:
                rng = generator(seed, f"cluster/kmeans/start/{number}")
                choose = SEEDINGS[str(self.init)]
                centroids = points[choose(points, self.n_clusters, rng, backend, weights)]
            else:
                centroids = start
            run = lloyd(
                points,
                centroids,
                backend,
                weights=weights,
                max_iter=self.max_iter,
                tol=tolerance,
                directions=self.metric == "cosine",
            )
            if best is None or run.inertia < best.inertia:
                best = run
        assert best is not None
        return best

    def _keep(self, best: Lloyd, frame: Frame, X: NDArray[Any], weights: NDArray[np.float64] | None) -> None:
        self._frame = frame
        self._centroids = best.centroids
        self.labels_ = best.labels
        centres = frame.outward(best.centroids)
        inertia = float(np.ldexp(best.inertia, -2 * frame.exponent))
        if X.dtype == np.float64:
            _refine(centres, X, best.averaged, weights, self.metric == "cosine")
            squared = squared_distances(X, centres, self.labels_, self._backend())
            inertia = float((squared if weights is None else squared * weights).sum())
        self.cluster_centers_ = centres.astype(X.dtype)
        self.inertia_ = inertia
        self.n_iter_ = best.iterations
        self._n_features_out = self.n_clusters
        found = np.unique(self.labels_).size
        if found < self.n_clusters:
            warnings.warn(
                f"found {found} distinct clusters, fewer than n_clusters={self.n_clusters}: X has duplicate points",
                ConvergenceWarning,
                stacklevel=3,
            )

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Return the nearest cluster of each sample, int32 [n_samples]."""
        X = self._checked(X)
        points, backend = self._frame.inward(X), self._backend()
        return backend.assign(backend.to_device(points), backend.to_device(self._centroids)).labels

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the distance to every centre, [n_samples, n_clusters], in the float type of ``X``.

        Euclidean distance, or ``1 - cosine`` with ``metric="cosine"``.
        """
        X = self._checked(X)
        distances = distance_matrix(X, self.cluster_centers_, self._backend())
        return (distances**2 / 2 if self.metric == "cosine" else distances).astype(X.dtype)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the inertia of ``X`` under the fitted centres."""
        labels = self.predict(X)
        X = self._checked(X)
        squared = squared_distances(X, self.cluster_centers_, labels, self._backend())
        if sample_weight is not None:
            squared = squared * _check_sample_weight(sample_weight, X, dtype=np.float64)
        return -float(squared.sum())

    def _checked(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        return self._directed(validate_data(self, X, dtype=FLOATS, order="C", reset=False))

    def _directed(self, X: NDArray[Any]) -> NDArray[Any]:
        return unit_rows(X) if self.metric == "cosine" else X

    def _backend(self) -> Backend:
        from uicgpu.backends import choose_backend

        return choose_backend(self.device, self.threads)

    def _start(self, X: NDArray[Any], frame: Frame) -> NDArray[np.float32] | None:
        if isinstance(self.init, str):
            return None
        start = np.asarray(self.init, dtype=X.dtype)
        if start.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(f"init has shape {start.shape}, expected {(self.n_clusters, X.shape[1])}")
        if not np.isfinite(start).all():
            raise ValueError("init contains NaN or infinity")
        return frame.inward(unit_rows(start, "init") if self.metric == "cosine" else start)

    def _check_parameters(self) -> None:
        check_integer("n_clusters", self.n_clusters, 1)
        check_integer("max_iter", self.max_iter, 1)
        if self.n_init != "auto":
            check_integer("n_init", self.n_init, 1)
        check_number("tol", self.tol)
        if self.metric not in METRICS:
            raise ValueError(f"metric={self.metric!r} should be 'euclidean' or 'cosine'")
        if isinstance(self.init, str) and self.init not in SEEDINGS:
            raise ValueError(f"init={self.init!r} should be 'k-means++', 'k-means||' or an array of centres")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _refine(
    centres: NDArray[np.float64],
    X: NDArray[np.float64],
    labels: NDArray[np.int32],
    weights: NDArray[np.float64] | None,
    directions: bool,
) -> None:
    """Replace centres that went through float32 by the float64 means they stand for; empty clusters keep theirs."""
    mass = np.ones(X.shape[0]) if weights is None else weights
    sums = np.zeros_like(centres)
    for part in chunks(X.shape[0]):
        np.add.at(sums, labels[part], X[part] * mass[part, None])
    totals = np.bincount(labels, weights=mass, minlength=centres.shape[0])
    filled = totals > 0
    means = sums[filled] / totals[filled, None]
    centres[filled] = unit_means(means, centres[filled]) if directions else means
