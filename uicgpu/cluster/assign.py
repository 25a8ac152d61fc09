"""Cluster, second cluster and confidence of points, given the clusters: for users of a run and new ones alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.cluster.density_model import DensityModel, Reachability
from uicgpu.cluster.directions import as_directions, of_rows
from uicgpu.cluster.distances import chunks, squared_distances
from uicgpu.cluster.soft import Memberships
from uicgpu.errors import InputError
from uicgpu.vocabulary import NOISE


@dataclass(frozen=True)
class Membership:
    """Which cluster each point belongs to, and how clearly.

    Attributes
    ----------
    labels
        int32 [n], cluster id; -1 for noise that was kept.
    second_labels
        int32 [n], the nearest other cluster; the same as ``labels`` when there is only one cluster. For noise that was
        kept it is the cluster that it would have been assigned to.
    confidence
        float32 [n] in [0, 1]: ``(d2 - d1) / d2`` with the distances to the own and to the nearest other centroid. 0
        means undecided (or a point that lies nearer to another centroid, which DBSCAN and hierarchical clusters
        allow), 1 means on its own centroid; with one cluster every point has 1. For HDBSCAN it is the soft membership
        in the own cluster (:mod:`uicgpu.cluster.soft`), and ``second_labels`` is the cluster with the next largest one.
        Zero vectors (users of whom nothing is known) and kept noise have 0.
    """

    labels: NDArray[np.int32]
    second_labels: NDArray[np.int32]
    confidence: NDArray[np.float32]


Placed = TypeVar("Placed", bound=Membership)


def assign_points(
    vectors: NDArray[Any],
    centroids: NDArray[Any],
    backend: Backend,
    model: DensityModel | None = None,
    noise: str = "assign",
    metric: str = "euclidean",
) -> Membership:
    """Place points in clusters without a refit: that of the nearest centroid (ties to the lowest id), or by density.

    Points that a density clustering was fitted to get what they got then.

    Parameters
    ----------
    vectors
        [n, d] finite numbers, used as float32.
    centroids
        [k, d], k >= 1.
    model
        What a density algorithm left behind; None for the others.
    noise
        ``assign`` or ``keep``: what happens to points that the model calls noise.
    metric
        That of the clustering. With ``cosine`` every point counts as the unit vector of its direction, and a zero
        vector is in cluster 0.

    Raises
    ------
    InputError
        If the numbers of dimensions differ, or a vector holds NaN or infinity.
    """
    points = check_vectors(vectors)
    if centroids.ndim != 2 or centroids.shape[0] == 0 or points.shape[1] != centroids.shape[1]:
        raise InputError(
            f"vectors have shape {points.shape}, centroids {centroids.shape}",
            fix="pass vectors from the same encoder and the same numeric_weight as the run's",
        )
    means = centroids.astype(np.float32, copy=False)
    if metric == "cosine":
        units, directed = as_directions(points)
        return spread(_assign(of_rows(units, directed), means, backend, model, noise), directed, means.shape[0])
    return _assign(points, means, backend, model, noise)


def spread(found: Placed, taken: NDArray[np.bool_], clusters: int) -> Placed:
    """Memberships of all points from those of the points ``taken`` (bool [n]).

    The others are zero vectors under cosine: they have no direction, no centre is nearer than another, and they join
    cluster 0, the largest one, with confidence 0.
    """
    if taken.all():
        return found
    labels, confidence = np.zeros(taken.size, np.int32), np.zeros(taken.size, np.float32)
    second = np.full(taken.size, min(1, clusters - 1), np.int32)
    labels[taken], second[taken], confidence[taken] = found.labels, found.second_labels, found.confidence
    return replace(found, labels=labels, second_labels=second, confidence=confidence)


def _assign(
    points: NDArray[Any], means: NDArray[np.float32], backend: Backend, model: DensityModel | None, noise: str
) -> Membership:
    if model is None:
        return place(points.astype(np.float32, copy=False), means, backend)
    keep = noise == "keep"
    if isinstance(model, Reachability):
        return soft_membership(points, *model.place(points, backend), keep)
    labels, narrow = model.place(points, backend), points.astype(np.float32, copy=False)
    lost = labels < 0
    if not keep and lost.any():
        # equal distances go by the order of the fit there, so they do here
        labels[lost] = model.names[place(narrow[lost], means[model.names], backend).labels]
    return place(narrow, means, backend, labels)


def soft_membership(points: NDArray[Any], labels: NDArray[np.int32], found: Memberships, keep: bool) -> Membership:
    """Turn HDBSCAN's labels (-1: noise) and memberships into the form of all algorithms."""
    lost = labels < 0
    kept = lost & keep
    confidence = np.where(kept | ~points.any(axis=1), np.float32(0), found.strength)
    return Membership(
        np.where(kept, NOISE, found.best).astype(np.int32),
        np.where(kept, found.best, found.second).astype(np.int32),
        confidence,
    )


def place(
    points: NDArray[np.float32],
    centroids: NDArray[np.float32],
    backend: Backend,
    labels: NDArray[np.int32] | None = None,
) -> Membership:
    """Membership of checked points; ``labels`` fixes the own cluster (-1: noise to keep) where it is known."""
    nearest = backend.assign(backend.to_device(points), backend.to_device(centroids))
    if labels is None:
        own, second = nearest.labels, nearest.second_labels
    else:
        own = labels.astype(np.int32)
        second = np.where(nearest.labels == own, nearest.second_labels, nearest.labels).astype(np.int32)
    if centroids.shape[0] == 1:
        confidence = np.ones(points.shape[0], np.float64)
    else:
        d1 = np.sqrt(squared_distances(points, centroids, np.maximum(own, 0), backend))
        d2 = np.sqrt(squared_distances(points, centroids, second, backend))
        confidence = np.clip((d2 - d1) / np.where(d2 > 0, d2, 1.0), 0.0, 1.0)
    confidence[(own < 0) | ~points.any(axis=1)] = 0.0
    return Membership(own, second, confidence.astype(np.float32))


def check_vectors(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return ``vectors`` if they are a non-empty table of finite real numbers, else raise :class:`InputError`."""
    if vectors.ndim != 2 or vectors.shape[0] == 0 or vectors.shape[1] == 0 or vectors.dtype.kind not in "fiub":
        raise InputError(
            f"vectors have shape {vectors.shape} and type {vectors.dtype}",
            fix="pass a table of numbers: one row per user, at least one row and one column",
        )
    if vectors.dtype.kind == "f":
        for part in chunks(vectors.shape[0]):
            bad = ~np.isfinite(vectors[part]).all(axis=1)
            if bad.any():
                raise InputError(
                    "vectors contain NaN or infinity",
                    where=f"row {part.start + int(np.flatnonzero(bad)[0])}",
                    fix="remove or repair these rows",
                )
    return vectors
