"""The real umap-learn, where it is installed: its call is the one that is recorded, its bytes are those of the seed."""

import hashlib
import importlib.metadata
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from uicgpu.cluster import assign_points, cluster_vectors
from uicgpu.settings import Settings

try:
    VERSION = importlib.metadata.version("umap-learn")
except importlib.metadata.PackageNotFoundError:
    pytest.skip("the extra is missing: pip install 'uicgpu[umap]'", allow_module_level=True)

SCRIPT = """
import hashlib, sys
import numpy as np
from sklearn.datasets import load_digits
from uicgpu.backends import choose_backend
from uicgpu.cluster.reduce import reduce_points
before = np.random.get_state()[1].tobytes()
points = load_digits().data.astype(np.float32)[:500]
found, _, _ = reduce_points(points, 15, choose_backend("cpu", threads=int(sys.argv[1])), "umap", 7)
assert np.random.get_state()[1].tobytes() == before
print(hashlib.sha256(found.tobytes()).hexdigest())
"""


def test_the_recorded_signature_is_the_library_s(request):
    import umap

    recorded = request.config.pluginmanager.get_plugin(str(request.config.rootpath / "tests" / "conftest.py"))
    assert str(inspect.signature(umap.UMAP)) == f"({recorded.UMAP_SIGNATURE})"


def test_processes_of_one_and_two_threads_leave_the_same_bytes():
    told = set()
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        command = [sys.executable, "-c", SCRIPT, threads]
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        told.add(found.stdout)
    assert len(told) == 1 and len(told.pop().strip()) == len(hashlib.sha256().hexdigest())


def test_clusters_are_the_digits_and_later_ones_join_theirs(backend, recwarn):
    points, truth = load_digits(return_X_y=True)
    points = points.astype(np.float32)
    setting = Settings(algorithm="hdbscan", min_cluster_size=50, reduce="umap")
    clustering = cluster_vectors(points[:1500], setting, backend)
    assert adjusted_rand_score(truth[:1500], clustering.labels) > 0.75
    again = assign_points(points[:1500], clustering.centroids, backend, clustering.model)
    np.testing.assert_array_equal(again.labels, clustering.labels)
    assert again.confidence.tobytes() == clustering.confidence.tobytes()
    later = assign_points(points[1500:], clustering.centroids, backend, clustering.model)
    assert adjusted_rand_score(truth[1500:], later.labels) > 0.65
    assert not [each for each in recwarn if "umap" in str(each.filename)]
