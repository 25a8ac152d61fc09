"""What a density clustering keeps so that later points can join it without a refit.

A fitted point that comes back gets exactly its label and its confidence: everything that decides is computed from the
row alone, and every comparison is one that the fit made too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.cpu.density import lowest_within
from uicgpu.backends.interface import Backend, RadiusFit
from uicgpu.cluster.precision import Frame
from uicgpu.cluster.reduce import Reduction, reduction_from_state
from uicgpu.cluster.soft import Memberships, Soft, exemplars_of, soft_memberships
from uicgpu.kernels.spanning_tree import Cloud, Tree, attach, merges
from uicgpu.vocabulary import NOISE

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Space:
    """From the caller's vectors to the few columns in which density was measured."""

    frame: Frame
    reduction: Reduction

    def inward(self, vectors: NDArray[Any], backend: Backend) -> NDArray[np.float32]:
        """Return ``vectors`` [n, d] in this space, float32 [n, components]."""
        return np.ascontiguousarray(self.reduction.apply(self.frame.inward(vectors), backend))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return named arrays for :meth:`from_state`."""
        shift = np.empty(0) if self.frame.shift is None else self.frame.shift
        return {"shift": shift, "exponent": np.array([self.frame.exponent], np.int64), **self.reduction.state()}

    @classmethod
    def from_state(cls, state: Tensors) -> Space:
        """Rebuild from :meth:`state`."""
        shift = state["shift"] if state["shift"].size else None
        return cls(Frame(shift, int(state["exponent"][0])), reduction_from_state(state))


@dataclass(frozen=True)
class Reachability:
    """HDBSCAN: a point hangs on the fitted point it reaches at the lowest level of density.

    It belongs to that point's cluster if it gets there below the level at which the cluster merges with anything else,
    and is noise otherwise.

    Attributes
    ----------
    space
        Where the points below live.
    points, cores
        The fitted points, float32 [n, c], and their squared core distances, float64 [n].
    first, reach
        The cluster that a fitted point belongs to, or meets first, int32 [n]; the level of that, float64 [n], 0 inside.
    soft
        What memberships are computed from; see :mod:`uicgpu.cluster.soft`.
    births
        float64 [k], the level at which a cluster meets anything outside.
    min_samples
        The point itself included.
    names
        int32 [k], the id that users see of each cluster. Ties go by the order of the fit, so it is kept.
    """

    space: Space
    points: NDArray[np.float32]
    cores: NDArray[np.float64]
    first: NDArray[np.int32]
    reach: NDArray[np.float64]
    soft: Soft
    births: NDArray[np.float64]
    min_samples: int
    names: NDArray[np.int32]

    @classmethod
    def of(
        cls, space: Space, points: NDArray[np.float32], tree: Tree, labels: NDArray[np.int32], min_samples: int
    ) -> Reachability:
        """Summarise a fit with at least one cluster."""
        met = merges(tree, labels)
        shown, clusters = exemplars_of(labels, tree.cores, met.peaks)
        soft = Soft.of(points[shown], clusters, met, np.sqrt(tree.cores), labels)
        names = np.arange(len(met.births), dtype=np.int32)
        return cls(space, points, tree.cores, met.first, met.reach, soft, met.births, min_samples, names)

    def fitted(self, backend: Backend) -> tuple[NDArray[np.int32], Memberships]:
        """Labels (-1: noise) and memberships of the fitted points."""
        return self._place(self.points, np.arange(len(self.points)), np.sqrt(self.cores), backend)

    def place(self, vectors: NDArray[Any], backend: Backend) -> tuple[NDArray[np.int32], Memberships]:
        """Labels (-1: noise) and memberships of any points, in the caller's coordinates."""
        points = self.space.inward(vectors, backend)
        rows, squares = attach(Cloud(self.points), self.cores, points, self.min_samples, backend.map)
        return self._place(points, rows, np.sqrt(squares), backend)

    def _place(
        self, points: NDArray[np.float32], rows: NDArray[Any], levels: NDArray[np.float64], backend: Backend
    ) -> tuple[NDArray[np.int32], Memberships]:
        own, level = self.first[rows], np.maximum(levels, self.reach[rows])
        inside = level < self.births[own]
        found = soft_memberships(self.soft, points, own, level, inside, backend)
        return np.where(inside, self.names[own], NOISE).astype(np.int32), found.renamed(self.names)

    def renamed(self, names: NDArray[np.int32]) -> Reachability:
        """Return the model with new ids for the ids that users saw so far."""
        return replace(self, names=names[self.names])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return named arrays for :func:`model_from_state`."""
        kept = ("points", "cores", "first", "reach", "births", "names")
        return {
            **self.space.state(),
            **self.soft.state(),
            **{name: getattr(self, name) for name in kept},
            "min_samples": np.array([self.min_samples], np.int64),
        }


@dataclass(frozen=True)
class Radius:
    """DBSCAN: a point belongs to the first cluster that has a core point within ``eps``, else it is noise.

    Attributes
    ----------
    space
        Where the points below live.
    core, labels
        The core points, float32 [n, c], and their clusters in the order of the fit, int32 [n].
    eps
        In this space.
    names
        As in :class:`Reachability`.
    """

    space: Space
    core: NDArray[np.float32]
    labels: NDArray[np.int32]
    eps: float
    names: NDArray[np.int32]

    @classmethod
    def of(cls, space: Space, points: NDArray[np.float32], fit: RadiusFit, eps: float) -> Radius:
        """Summarise a fit with at least one cluster."""
        labels = fit.labels[fit.core]
        return cls(space, points[fit.core], labels, eps, np.arange(int(labels.max()) + 1, dtype=np.int32))

    def place(self, vectors: NDArray[Any], backend: Backend) -> NDArray[np.int32]:
        """Labels (-1: noise) of any points, in the caller's coordinates."""
        points = self.space.inward(vectors, backend)
        found = lowest_within(points, self.core, self.labels, self.eps, backend.threads, backend.memory)
        return np.where(found >= 0, self.names[found], NOISE).astype(np.int32)

    def renamed(self, names: NDArray[np.int32]) -> Radius:
        """Return the model with new ids for the ids that users saw so far."""
        return replace(self, names=names[self.names])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return named arrays for :func:`model_from_state`."""
        kept = {"core": self.core, "labels": self.labels, "names": self.names, "eps": np.array([self.eps])}
        return {**self.space.state(), **kept}


DensityModel = Reachability | Radius


def model_from_state(state: Tensors) -> DensityModel | None:
    """Rebuild a model from its arrays; None from none."""
    if not state:
        return None
    space = Space.from_state(state)
    if "eps" in state:
        return Radius(space, state["core"], state["labels"], float(state["eps"][0]), state["names"])
    return Reachability(
        space,
        state["points"],
        state["cores"],
        state["first"],
        state["reach"],
        Soft.from_state(state),
        state["births"],
        int(state["min_samples"][0]),
        state["names"],
    )
