"""spanning_tree: exact neighbours and the exact minimum spanning tree under mutual reachability, in any dimension.

The mutual reachability of two points is the largest of their distance and their two core distances; the core distance
of a point is the distance to its ``min_samples``-th nearest point, the point itself counted (Campello et al. 2013).
:func:`nearest` finds neighbours, :func:`spanning_tree` the tree that HDBSCAN cuts. Products of a float32 matrix only
exclude pairs; every distance that decides is a float64 sum of exact differences.
"""

from __future__ import annotations

from uicgpu.kernels.spanning_tree.nearest import nearest
from uicgpu.kernels.spanning_tree.tree import spanning_tree

__all__ = ["nearest", "spanning_tree"]
