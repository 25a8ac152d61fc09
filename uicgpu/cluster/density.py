"""Clusters as dense regions: HDBSCAN and DBSCAN, after a reduction to a few dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from uicgpu.backends.interface import Backend
from uicgpu.cluster.density_model import DensityModel, Radius, Reachability, Space
from uicgpu.cluster.embedding import Embedding
from uicgpu.cluster.parameters import check_integer, check_number, seed_from
from uicgpu.cluster.precision import AS_GIVEN, Frame
from uicgpu.cluster.reduce import WAYS, reduce_points
from uicgpu.randomness import generator
from uicgpu.vocabulary import NOISE

COMPONENTS: Final = 15
"""Principal axes, or coordinates of UMAP, kept before a density estimate."""
MOST_COMPONENTS: Final = 30
"""Beyond this many columns exact HDBSCAN libraries turn approximate."""
NEIGHBOURS: Final = 10
"""Default ``min_samples``: a point is dense when it has this many points, itself included, close by."""
KNEE_SAMPLE: Final = 2000


class HDBSCAN(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """HDBSCAN: clusters that persist over many density levels; points outside all of them are noise.

    Parameters
    ----------
    min_cluster_size : int
        Smallest group that counts as a cluster.
    min_samples : int or None
        Size of the neighbourhood behind the density of a point, **the point itself included** (as in scikit-learn; the
        hdbscan package and cuML do not count it). None means ``min(min_cluster_size, 10)``.
    components : int or None
        Wider input is projected on so many principal axes first, at most 30. None keeps all columns: exact in any
        dimension on the CPU, at a cost that grows with the square of the number of points.
    reduce : {"pca", "umap", "none"}
        What brings wider input to ``components`` columns: principal axes, UMAP (``pip install 'uicgpu[umap]'``), or
        nothing, as ``components=None``.
    random_state : int, RandomState, Generator or None
        Seed of UMAP; nothing else here is random.
    device, threads
        As in :class:`uicgpu.cluster.KMeans`.

    Attributes
    ----------
    labels_ : int32 ndarray [n_samples]
        Cluster ids from 0; -1 is noise.
    probabilities_ : float32 ndarray [n_samples]
        Strength of membership in [0, 1]; 0 for noise.
    facts_ : dict
        Dimensions used, variance kept or UMAP's ``reduction`` and ``neighbours``, ``min_samples``.
    """

    def __init__(
        self,
        min_cluster_size: int = 5,
        *,
        min_samples: int | None = None,
        components: int | None = COMPONENTS,
        reduce: str = "pca",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.components = components
        self.reduce = reduce
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> HDBSCAN:
        """Cluster ``X`` [n_samples, n_features]."""
        check_integer("min_cluster_size", self.min_cluster_size, 2)
        if self.min_samples is not None:
            check_integer("min_samples", self.min_samples, 2)
        points, frame = _points(self, X)
        backend, way = _backend(self), (self.reduce, seed_from(self.random_state))
        fit = hdbscan_fit(points, backend, self.min_cluster_size, self.min_samples, self.components, frame, *way)
        self.labels_, self.probabilities_, self.facts_, self._model = fit.labels, fit.strengths, fit.facts, fit.model
        return self

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Place ``X`` [n_samples, n_features] in the fitted clusters; -1 is noise. Fitted samples keep their label."""
        return _predict(self, X)


class DBSCAN(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """DBSCAN: points with enough neighbours within ``eps``, and what they reach, form clusters; the rest is noise.

    Parameters
    ----------
    eps : float or None
        Radius; after UMAP, in its coordinates. None reads it off the data: distances to the ``min_samples``-th
        neighbour, sorted, rise slowly inside clusters and steeply outside; the radius is where that curve is farthest
        below its chord.
    min_samples : int
        Neighbours within ``eps``, the point itself included, that make a point a core point.
    components : int
        Wider input is projected on so many principal axes first, at most 30.
    reduce, random_state
        As in :class:`HDBSCAN`.
    device, threads
        As in :class:`uicgpu.cluster.KMeans`.

    Attributes
    ----------
    labels_ : int32 ndarray [n_samples]
        Cluster ids from 0; -1 is noise.
    eps_ : float
        The radius used.
    facts_ : dict
        Dimensions used, variance kept or UMAP's ``reduction`` and ``neighbours``, ``eps`` and ``min_samples``.
    """

    def __init__(
        self,
        eps: float | None = None,
        *,
        min_samples: int = NEIGHBOURS,
        components: int = COMPONENTS,
        reduce: str = "pca",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.eps = eps
        self.min_samples = min_samples
        self.components = components
        self.reduce = reduce
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> DBSCAN:
        """Cluster ``X`` [n_samples, n_features]."""
        check_integer("min_samples", self.min_samples, 2)
        eps = None if self.eps is None else check_number("eps", self.eps, positive=True)
        points, frame = _points(self, X)
        backend, way = _backend(self), (self.reduce, seed_from(self.random_state))
        fit = dbscan_fit(points, backend, eps, self.min_samples, self.components, frame, *way)
        self.labels_, self.facts_, self._model = fit.labels, fit.facts, fit.model
        self.eps_ = self.facts_["eps"]
        return self

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Place ``X`` [n_samples, n_features] in the fitted clusters; -1 is noise. Fitted samples keep their label."""
        return _predict(self, X)


@dataclass(frozen=True)
class Fit:
    """What a density algorithm found.

    Attributes
    ----------
    labels
        int32 [n], -1 is noise.
    strengths
        float32 [n], HDBSCAN's strength of membership; 1 for DBSCAN's clusters; 0 for noise.
    facts
        What was done, ready for JSON.
    model
        What places later points; None when all is noise.
    """

    labels: NDArray[np.int32]
    strengths: NDArray[np.float32]
    facts: dict[str, Any]
    model: DensityModel | None


def hdbscan_fit(
    points: NDArray[np.float32],
    backend: Backend,
    min_cluster_size: int,
    min_samples: int | None = None,
    components: int | None = COMPONENTS,
    frame: Frame = AS_GIVEN,
    reduce: str = "pca",
    seed: int = 0,
) -> Fit:
    """Run HDBSCAN; see :class:`HDBSCAN` for the parameters. ``frame`` is what ``points`` went through."""
    neighbours = min(min_cluster_size, NEIGHBOURS) if min_samples is None else min_samples
    wanted = points.shape[1] if components is None else components
    reduced, reduction, facts = reduce_points(points, wanted, backend, reduce, seed)
    facts |= {"min_cluster_size": min_cluster_size, "min_samples": neighbours}
    fit = backend.hdbscan(reduced, min_cluster_size, neighbours)
    model = None
    if fit.tree is not None and (fit.labels >= 0).any():
        model = Reachability.of(Space(frame, reduction), reduced, fit.tree, fit.labels, neighbours)
    return Fit(fit.labels, fit.strengths, facts, model)


def dbscan_fit(
    points: NDArray[np.float32],
    backend: Backend,
    eps: float | None = None,
    min_samples: int = NEIGHBOURS,
    components: int = COMPONENTS,
    frame: Frame = AS_GIVEN,
    reduce: str = "pca",
    seed: int = 0,
) -> Fit:
    """Run DBSCAN; see :class:`DBSCAN` for the parameters. ``frame`` is what ``points`` went through."""
    reduced, reduction, facts = reduce_points(points, components, backend, reduce, seed)
    scale = 1.0 if isinstance(reduction, Embedding) else 2.0**frame.exponent  # UMAP has units of its own
    radius = knee_radius(reduced, min_samples) if eps is None else eps * scale
    facts |= {"eps": float(radius) / scale, "eps_from": "knee" if eps is None else "given", "min_samples": min_samples}
    fit = backend.dbscan(reduced, radius, min_samples)
    model = Radius.of(Space(frame, reduction), reduced, fit, radius) if fit.core.any() else None
    return Fit(fit.labels, (fit.labels >= 0).astype(np.float32), facts, model)


def knee_radius(points: NDArray[np.float32], min_samples: int) -> float:
    """Radius at the knee of the k-distance curve of (a fixed random sample of at most 2,000) points.

    The k-distance is the distance to the ``min_samples``-th nearest of all points, the point itself counted. The knee
    is the point of the sorted curve that is farthest below the chord from its first to its last value.
    """
    rows = points.shape[0]
    asked = points
    if rows > KNEE_SAMPLE:
        asked = points[np.sort(generator(0, "cluster/density/knee").choice(rows, KNEE_SAMPLE, replace=False))]
    nearest = min(min_samples, rows)
    distances, _ = cKDTree(points).query(asked, k=[nearest])
    curve = np.sort(distances[:, 0])
    span = curve[-1] - curve[0]
    radius = curve[-1]
    if span > 0:
        chord = np.linspace(0.0, 1.0, curve.size)
        radius = curve[int(np.argmax(chord - (curve - curve[0]) / span))]
    if radius > 0:
        return float(radius)
    positive = curve[curve > 0]
    return float(positive[0]) if positive.size else float(np.finfo(np.float32).tiny)


def _points(estimator: Any, X: Any) -> tuple[NDArray[np.float32], Frame]:
    if estimator.components is not None or isinstance(estimator, DBSCAN):
        check_integer("components", estimator.components, 1, MOST_COMPONENTS)
    if estimator.reduce not in WAYS:
        raise ValueError(f"reduce={estimator.reduce!r} should be one of {', '.join(WAYS)}")
    X = validate_data(estimator, X, dtype=(np.float32, np.float64), order="C", accept_large_sparse=False)
    frame = Frame.of(X)
    return frame.inward(X), frame


def _predict(estimator: Any, X: Any) -> NDArray[np.int32]:
    check_is_fitted(estimator, "labels_")
    X = validate_data(estimator, X, dtype=(np.float32, np.float64), order="C", accept_large_sparse=False, reset=False)
    model: DensityModel | None = estimator._model
    if model is None:
        return np.full(X.shape[0], NOISE, np.int32)
    if isinstance(model, Radius):
        return model.place(X, _backend(estimator))
    return model.place(X, _backend(estimator))[0]


def _backend(estimator: Any) -> Backend:
    from uicgpu.backends import choose_backend

    return choose_backend(estimator.device, estimator.threads)
