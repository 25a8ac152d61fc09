"""Groups of users: fit, assign, measure. The estimators follow scikit-learn's conventions."""

from uicgpu.cluster.assign import Membership, assign_points
from uicgpu.cluster.clustering import Clustering, cluster_vectors
from uicgpu.cluster.density import DBSCAN, HDBSCAN
from uicgpu.cluster.hierarchy import Hierarchical
from uicgpu.cluster.kmeans import KMeans
from uicgpu.cluster.minibatch import MiniBatchKMeans

__all__ = [
    "DBSCAN",
    "HDBSCAN",
    "Clustering",
    "Hierarchical",
    "KMeans",
    "Membership",
    "MiniBatchKMeans",
    "assign_points",
    "cluster_vectors",
]
