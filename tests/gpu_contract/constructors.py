"""Let the CUDA backend call the real libraries as far as that goes without a device.

The backend's own functions run. Real cuML estimators are constructed with the arguments that the product gives them;
``fit`` binds its arguments to the real signature and goes no further. Real FAISS objects are made, calls of
``knn_gpu`` bind to the real signature. Every CuPy name that the backend uses must exist.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


class ReachedError(Exception):
    """The call got to the point where a device is needed."""


def reach(call):
    try:
        call()
    except ReachedError:
        return
    raise AssertionError("the library was not called")


def stop_at_fit(estimator, seen):
    signature = inspect.signature(estimator.fit)

    def fit(self, *arguments, **keywords):
        signature.bind(self, *arguments, **keywords)
        seen.append(f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in sorted(self.get_params().items()))})")
        raise ReachedError

    estimator.fit = fit


def estimators():
    """Return one line per estimator that the product made."""
    import cuml.cluster

    from uicgpu.backends.cuda import density, hierarchy, kmeans

    seen = []
    for name in ("KMeans", "HDBSCAN", "DBSCAN", "AgglomerativeClustering"):
        stop_at_fit(getattr(cuml.cluster, name), seen)
    for module in (density, hierarchy, kmeans):
        for name, stand_in in (
            ("library_failure", lambda library, number: ""),
            ("need_library", lambda library, number: None),
            ("to_device", lambda array: array),
            ("to_float32", lambda array: array),
        ):
            if hasattr(module, name):
                setattr(module, name, stand_in)
    x = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    reach(lambda: density.hdbscan(x, 5, 4, 0, 1))
    reach(lambda: density.dbscan(x, 1.0, 4, 0, 1, 2**28))
    reach(lambda: hierarchy.agglomerative(x, 3, "single", 0, 2**28))
    reach(lambda: kmeans.kmeans_engine(x, 3, 7, 15, 0, 2**28))
    assert len(seen) == 4
    return seen


def search():
    """Run the product's search up to the real ``knn_gpu``."""
    import faiss

    from uicgpu.backends.cuda import search as room

    signature = inspect.signature(faiss.knn_gpu)
    assert faiss.get_num_gpus() == 0

    def knn_gpu(*arguments, **keywords):
        bound = signature.bind(*arguments, **keywords)
        assert isinstance(bound.arguments["res"], faiss.StandardGpuResources)
        raise ReachedError

    faiss.knn_gpu = knn_gpu
    room.need_library = lambda library, number: None
    x = np.ones((20, 4), np.float32)
    reach(lambda: room.top_k(x, x, 3, 0, 1, 2**28))


def names_exist():
    """Return how many CuPy, CuPyX, RMM and torch.cuda names the backend uses; all must exist."""
    import cupy
    import cupyx.scipy.linalg  # noqa: F401
    import rmm.mr
    import torch

    roots = {"cupy": cupy, "rmm": rmm, "torch": torch}
    used = set()
    for path in [*(ROOT / "uicgpu/backends/cuda").glob("*.py"), *(ROOT / "kernels").glob("*/cuda.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            chain, inner = [], node
            while isinstance(inner, ast.Attribute):
                chain.append(inner.attr)
                inner = inner.value
            if chain and isinstance(inner, ast.Name) and inner.id in roots:
                used.add((inner.id, *reversed(chain)))
    for root, *chain in sorted(used):
        found = roots[root]
        for part in chain:
            assert hasattr(found, part), f"{root}.{'.'.join(chain)} does not exist"
            found = getattr(found, part)
    return len(used)


def main():
    for line in estimators():
        sys.stdout.write(f"constructed: {line}\n")
    search()
    sys.stdout.write(f"knn_gpu bound; {names_exist()} names of CuPy, RMM and torch exist\n")


if __name__ == "__main__":
    main()
