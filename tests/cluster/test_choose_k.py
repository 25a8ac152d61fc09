import numpy as np
import pytest

from uicgpu.cluster.choose_k import choose_k
from uicgpu.cluster.clustering import cluster_vectors
from uicgpu.settings import Settings


@pytest.mark.parametrize("clusters", [2, 3, 5, 8])
def test_finds_the_number_of_separated_groups(clusters, backend, blobs):
    vectors, _ = blobs(420, clusters, 16, spread=0.2, seed=clusters)
    chosen, table = choose_k(vectors, 0, backend)
    assert chosen == clusters
    assert [row["k"] for row in table] == [2, 3, 4, 5, 6, 8, 10, 12, 16]  # up to 420 / 25
    best = max((row for row in table if row["competes"]), key=lambda row: row["score"])
    assert best["k"] == chosen
    assert best["score"] == pytest.approx(best["silhouette"] * best["stability"], abs=1e-5)


def test_a_cloud_is_not_cut_in_two_or_three(backend):
    cloud = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    chosen, table = choose_k(cloud, 0, backend)
    assert chosen > 3
    assert not any(row["competes"] for row in table if row["k"] <= 3)


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (49, 1), (60, 2), (80, 3)])
def test_few_users_get_few_clusters(rows, expected, backend):
    vectors = np.random.default_rng(1).standard_normal((rows, 3)).astype(np.float32)
    chosen, table = choose_k(vectors, 0, backend)
    assert chosen <= expected
    assert len(table) == expected - 1


def test_identical_users_are_one_cluster(backend):
    assert choose_k(np.ones((200, 3), np.float32), 0, backend) == (1, [])


def test_two_distinct_users_many_times(backend):
    vectors = np.repeat(np.eye(2, dtype=np.float32), 100, axis=0)
    assert choose_k(vectors, 0, backend)[0] == 2


def test_same_choice_at_any_thread_count(backend, two_threads, blobs):
    vectors, _ = blobs(200, 4, 8, spread=0.8)
    assert choose_k(vectors, 5, backend) == choose_k(vectors, 5, two_threads)


def test_the_table_is_among_the_facts(backend, blobs):
    vectors, _ = blobs(150, 4, 8)
    facts = cluster_vectors(vectors, Settings(), backend).facts
    assert facts["k"] == 4
    assert facts["k_requested"] == "auto"
    assert [row["k"] for row in facts["k_grid"]] == [2, 3, 4, 5, 6]
