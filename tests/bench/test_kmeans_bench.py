"""The parts of the KMeans benchmark that need no peers."""

import numpy as np

from uicgpu.bench import kmeans, kmeans_growth


def points(rows=3000):
    return np.random.default_rng(0).standard_normal((rows, 96)).astype(np.float32)


def test_memory_is_taken_in_a_process_of_its_own_and_grows_with_the_rows():
    told = []
    for rows in (20_000, 120_000):
        x = points(rows)
        told.append(kmeans_growth.memory(x, kmeans.choose(8, x), ["uicgpu"])["uicgpu"])
    assert told[0] < told[1] < 4 * 120_000 * 96 / 2**20


def test_growth_covers_rows_columns_and_clusters():
    seen = []

    def fit(x, start, threads):
        seen.append((x.shape, len(start), threads))

    told = kmeans_growth.growth(points(), kmeans.choose, [("stub", fit)])
    assert list(told["rows"]) == ["750", "1500", "3000"] and list(told["columns"]) == ["96"]
    assert list(told["clusters"]) == ["64", "256", "1024"]
    assert seen[0] == ((750, 96), 256, 1) and seen[-1] == ((3000, 96), 1024, 1)


def test_seeding_and_batches_tell_seconds_and_inertia():
    x = points(1500)
    told = kmeans_growth.seeding(x, 1)
    assert told["inertia_after_20_iterations"]["k-means||"] <= told["inertia_after_one_iteration"]["k-means||"]
    assert told["start_and_one_iteration"]["k-means||"]["median_seconds"] > 0
    both = kmeans_growth.batches(x, kmeans.choose(64, x))
    assert both["MiniBatchKMeans"]["inertia"] < 1.3 * both["KMeans"]["inertia"]
