"""From a spanning tree to clusters: scikit-learn's own single linkage, condensed tree and excess of mass.

The functions are those behind ``sklearn.cluster.HDBSCAN``; they are not part of its public interface, so their use
stands in this one file and a test compares the labels with the public estimator.

Edges of equal weight are the rule here: a point joins all neighbours within its core distance at exactly that level. A
tree of pairs has to join them one after the other, and in some orders a group that only this point makes large enough
looks like a cluster. :func:`order_ties` makes every such level one event: groups that are clusters already are joined
first, then the rest one by one, so that the labels do not depend on which of several minimum trees was found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.kernels.compilation import compiled
from uicgpu.kernels.spanning_tree.tree import Tree


def cut_tree(tree: Tree, min_cluster_size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Labels (-1: noise) and membership strengths of the points of a spanning tree.

    Clusters are numbered by their first member.
    """
    from sklearn.cluster._hdbscan._linkage import MST_edge_dtype, make_single_linkage
    from sklearn.cluster._hdbscan._tree import tree_to_labels

    low, high = order_ties(tree.low, tree.high, tree.weights, min_cluster_size)
    edges = np.empty(len(low), dtype=MST_edge_dtype)
    edges["current_node"], edges["next_node"], edges["distance"] = low, high, tree.weights
    labels, strengths = tree_to_labels(make_single_linkage(edges), min_cluster_size)
    inside = labels >= 0
    found, first = np.unique(labels[inside], return_index=True)
    number = np.full(int(labels.max(initial=-1)) + 1, -1, np.int32)
    number[found[np.argsort(first)]] = np.arange(len(found), dtype=np.int32)
    out = np.full(len(labels), -1, np.int32)
    out[inside] = number[labels[inside]]
    return out, np.asarray(strengths, np.float32)


@compiled
def _root(parents: Any, node: Any) -> Any:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def order_ties(low: Any, high: Any, weights: Any, smallest: Any) -> Any:
    """Return edges that join the same groups at every weight, those with ``smallest`` members before the others.

    ``weights`` ascend; a group is named by its lowest member, and groups of a kind are joined in the order of names.
    """
    n = weights.shape[0] + 1
    before, after = np.arange(n), np.arange(n)
    sizes = np.ones(n, np.int64)
    a, b = np.empty_like(low), np.empty_like(high)
    start = 0
    while start < n - 1:
        stop = start + 1
        while stop < n - 1 and weights[stop] == weights[start]:
            stop += 1
        names = np.empty(2 * (stop - start), np.int64)
        for e in range(start, stop):
            names[2 * (e - start)] = _root(before, low[e])
            names[2 * (e - start) + 1] = _root(before, high[e])
            one, two = _root(after, low[e]), _root(after, high[e])
            after[max(one, two)] = min(one, two)
        names = np.unique(names)
        heads = np.empty(names.shape[0], np.int64)
        for p in range(names.shape[0]):
            heads[p] = _root(after, names[p])
        out = start
        # the first of each new group, large ones before small ones; all later ones are joined to it
        first = np.full(names.shape[0], -1, np.int64)
        for large in (True, False):
            for p in range(names.shape[0]):
                if (sizes[names[p]] >= smallest) != large:
                    continue
                place = np.searchsorted(names, heads[p])
                if first[place] < 0:
                    first[place] = names[p]
                else:
                    a[out], b[out] = min(first[place], names[p]), max(first[place], names[p])
                    out += 1
        for p in range(names.shape[0]):
            if names[p] != heads[p]:
                sizes[heads[p]] += sizes[names[p]]
                before[names[p]] = heads[p]
        start = stop
    return a, b
