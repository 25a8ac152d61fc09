"""spanning_tree: exact neighbours and the exact minimum spanning tree under mutual reachability, in any dimension.

The mutual reachability of two points is the largest of their distance and their two core distances; the core distance
of a point is the distance to its ``min_samples``-th nearest point, the point itself counted (Campello et al. 2013).
:func:`nearest` finds neighbours, :func:`spanning_tree` the tree that HDBSCAN cuts, :func:`merges` what of it later
points need, :func:`attach` the fitted point that a new one hangs on. Products of a float32 matrix and float32 squares
only exclude pairs; every distance that decides is a float64 sum of exact differences. Squared distances must lie below
the end of float32, 3e38: the estimators scale points of extreme size.
"""

from __future__ import annotations

from uicgpu.kernels.spanning_tree.attach import attach
from uicgpu.kernels.spanning_tree.merges import Merges, merges
from uicgpu.kernels.spanning_tree.nearest import Cloud, nearest
from uicgpu.kernels.spanning_tree.tree import Tree, spanning_tree, weigh

__all__ = ["Cloud", "Merges", "Tree", "attach", "merges", "nearest", "spanning_tree", "weigh"]
