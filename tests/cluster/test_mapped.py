"""KMeans on a file that is mapped into memory: same result as in memory, and no copy of the points."""

import tracemalloc

import numpy as np
import pytest

from uicgpu.cluster import KMeans


@pytest.fixture
def mapped(tmp_path):
    """Factory: the points as a read-only map of a file of raw float32."""

    def make(points):
        points.tofile(tmp_path / "points")
        return np.memmap(tmp_path / "points", np.float32, "r", shape=points.shape)

    return make


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_a_mapped_file_gives_the_bytes_of_the_fit_in_memory(mapped, blobs, init):
    points, _ = blobs(20_000, 40, 128, spread=1.0)  # above the threshold of screening
    stored = mapped(points)
    weights = np.random.default_rng(0).random(20_000)
    memory, disk = (
        KMeans(40, init=init, device="cpu", threads=2, max_iter=8).fit(x, sample_weight=weights)
        for x in (points, stored)
    )
    assert memory.labels_.tobytes() == disk.labels_.tobytes()
    assert memory.cluster_centers_.tobytes() == disk.cluster_centers_.tobytes()
    assert memory.inertia_ == disk.inertia_
    np.testing.assert_array_equal(disk.predict(stored), memory.labels_)


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_a_mapped_file_is_not_copied(mapped, init):
    """The documented bound without screening: 80 bytes per row of a file of 1024, blocks, the sample of k-means++."""
    rows = 40_000
    stored = mapped(np.random.default_rng(0).standard_normal((rows, 256)).astype(np.float32))
    model = KMeans(4, init=init, device="cpu", threads=1, max_iter=2)
    model.fit(stored[:9000])  # compiled code and imports are not what is measured
    tracemalloc.start()
    try:
        model.fit(stored)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    fixed = 2 * 8192 * 256 * 8 if init == "k-means++" else 3 * 4096 * 256 * 8
    assert peak < 80 * rows + fixed, f"{peak / 1e6:.1f} MB of a file of {stored.nbytes / 1e6:.1f} MB"
