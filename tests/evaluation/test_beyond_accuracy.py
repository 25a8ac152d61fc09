import numpy as np
import pytest

from uicgpu.evaluation.beyond_accuracy import coverage, diversity, gini, novelty


def test_by_hand():
    lists = np.array([[0, 1], [0, -1]], np.int32)
    known = np.array([True, True, True, True, False])
    assert coverage(lists, known) == 0.5
    counts = np.array([3, 1, 0, 0, 0])
    assert novelty(lists, counts) == pytest.approx(-(2 * np.log2(4 / 9) + np.log2(2 / 9)) / 3)
    # counts over the four known items: 0 0 1 2 -> sum (2i - n - 1) c = 1 * 1 + 3 * 2, divided by n * sum
    assert gini(lists, known) == pytest.approx(7 / 12)
    assert gini(np.array([[0, 1, 2, 3]], np.int32), known) == 0


def test_diversity_against_pairs_and_zero_vectors():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(12, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = 0
    lists = np.array([[0, 1, 2], [3, 5, 4], [5, -1, 6]], np.int32)
    pairs = [np.mean([1 - vectors[a] @ vectors[b] for a, b in ((0, 1), (0, 2), (1, 2))]), 1 - vectors[3] @ vectors[4]]
    value, missing = diversity(lists, vectors)
    assert value == pytest.approx(np.mean(pairs), abs=1e-6) and missing == 2
    assert diversity(lists, np.zeros_like(vectors))[0] is None


def test_nothing_recommended():
    nothing, known = np.full((2, 3), -1, np.int32), np.ones(4, bool)
    assert novelty(nothing, np.ones(4, np.int64)) is None and gini(nothing, known) is None
    assert coverage(nothing, known) == 0 and coverage(nothing, ~known) is None
