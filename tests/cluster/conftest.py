"""Backends and small data with known clusters."""

import numpy as np
import pytest

from uicgpu.backends import choose_backend


@pytest.fixture(scope="session")
def backend():
    return choose_backend("cpu", threads=1)


@pytest.fixture(scope="session")
def two_threads():
    return choose_backend("cpu", threads=2)


@pytest.fixture(scope="session")
def blobs():
    """Factory: unit float32 points around k random directions, and the direction of each point."""

    def make(rows, clusters, dim, spread=0.3, seed=0):
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((clusters, dim))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        truth = np.arange(rows) % clusters
        points = centres[truth] + spread * rng.standard_normal((rows, dim)) / np.sqrt(dim)
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth

    return make
