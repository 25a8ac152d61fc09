"""At which level points and clusters meet in a spanning tree: all that is needed to place later points.

The single linkage tree is an ultrametric: with a point's first cluster ``c`` and the level ``r`` at which it meets it,
the level at which it meets any other cluster ``e`` is ``max(r, meeting[c, e])``. So one id and one number per point
and a small matrix stand for the whole tree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree.tree import Tree


class Merges(NamedTuple):
    """Levels, as distances.

    Attributes
    ----------
    births
        float64 [k], the level at which a cluster meets anything outside; below it the cluster is one connected group.
        Infinite for a cluster that holds all points.
    meeting
        float64 [k, k], the level at which two clusters meet; 0 on the diagonal.
    first
        int32 [n], the cluster of a member; for noise one that it meets first (the lowest id of the group it joins).
    reach
        float64 [n], the level at which noise meets ``first``; 0 for members.
    peaks
        bool [n], members that are denser than all members next to them in the tree (equal density: the lower row).
    """

    births: NDArray[np.float64]
    meeting: NDArray[np.float64]
    first: NDArray[np.int32]
    reach: NDArray[np.float64]
    peaks: NDArray[np.bool_]


def merges(tree: Tree, labels: NDArray[np.int32]) -> Merges:
    """Summarise a tree for the clusters ``labels`` (int32 [n], -1: noise), which must be groups of the tree.

    With no cluster at all, ``first`` is -1 and ``reach`` infinite everywhere.
    """
    k = int(labels.max(initial=-1)) + 1
    births, meeting = np.full(k, np.inf), np.zeros((k, k))
    first, reach = labels.astype(np.int32), np.where(labels >= 0, 0.0, np.inf)
    peaks = labels >= 0
    _merge(tree.low, tree.high, tree.weights, tree.cores, labels, births, meeting, first, reach, peaks)
    return Merges(births, meeting, first, reach, peaks)


@compiled
def _root(parents: Any, node: Any) -> Any:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def _merge(
    low: Any,
    high: Any,
    weights: Any,
    cores: Any,
    labels: Any,
    births: Any,
    meeting: Any,
    first: Any,
    reach: Any,
    peaks: Any,
) -> None:
    n, k = labels.shape[0], births.shape[0]
    parents = np.arange(n)
    # chains of the noise points of a group without a cluster, and of the clusters of a group; -1 ends a chain
    after, last = np.full(n, -1), np.arange(n)
    cluster_after, cluster_last = np.full(k, -1), np.arange(k)
    heads = first.copy()  # of a root: the first cluster of its group, -1 without any
    for e in range(low.shape[0]):
        a, b, w = low[e], high[e], weights[e]
        if labels[a] != labels[b]:
            if labels[a] >= 0:
                births[labels[a]] = min(births[labels[a]], w)
            if labels[b] >= 0:
                births[labels[b]] = min(births[labels[b]], w)
        elif labels[a] >= 0:
            denser = cores[a] < cores[b] or (cores[a] == cores[b] and a < b)
            peaks[b if denser else a] = False
        a, b = _root(parents, a), _root(parents, b)
        one, two = heads[a], heads[b]
        if one < 0 and two < 0:
            after[last[a]] = b
            last[a] = last[b]
        elif one >= 0 and two < 0:
            _reached(b, after, first, reach, one, w)
        elif one < 0:
            _reached(a, after, first, reach, two, w)
            heads[a] = two
        elif one != two:
            c = one
            while c >= 0:
                d = two
                while d >= 0:
                    meeting[c, d] = meeting[d, c] = w
                    d = cluster_after[d]
                c = cluster_after[c]
            front, back = min(one, two), max(one, two)
            cluster_after[cluster_last[front]] = back
            cluster_last[front] = cluster_last[back]
            heads[a] = front
        parents[b] = a


@compiled
def _reached(node: Any, after: Any, first: Any, reach: Any, cluster: Any, level: Any) -> None:
    while node >= 0:
        first[node], reach[node] = cluster, level
        node = after[node]
