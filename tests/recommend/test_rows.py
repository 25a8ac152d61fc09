import numpy as np
from scipy import sparse

from uicgpu.recommend import rows


def test_best_items_are_sorted_with_ties_by_lower_item_and_padded():
    scores = np.array([[1, 3, 3, 2, -np.inf], [0, 0, 0, 0, 0], [-np.inf] * 5], np.float32)
    assert rows.best_items(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2], [-1, -1, -1]]
    assert rows.best_items(scores, 5)[0].tolist() == [1, 2, 3, 0, -1]


def test_best_items_against_a_stable_sort():
    scores = np.random.default_rng(0).integers(0, 20, (50, 40)).astype(np.float64)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    assert (rows.best_items(scores, 7) == expected).all()


def test_standardise_counts_known_unseen_items_only():
    scores = np.array([[1.0, 2.0, 3.0, 100.0, 50.0]], np.float32)
    offsets, items = np.array([0, 1]), np.array([3], np.int32)
    known = np.array([True, True, True, True, False])
    judged, silent = scores.copy(), scores.copy()
    rows.standardise(judged, offsets, items, known, True, False)
    rows.standardise(silent, offsets, items, known, False, False)
    deviation = np.std([1, 2, 3])
    np.testing.assert_allclose(judged[0], (scores[0] - 2) / deviation, rtol=1e-6)
    np.testing.assert_allclose(silent[0, :4], judged[0, :4])
    assert silent[0, 4] == 0


def test_constant_scores_become_zero_not_nan():
    scores = np.full((2, 4), 7.0, np.float32)
    rows.standardise(scores, np.array([0, 0, 0]), np.empty(0, np.int32), np.ones(4, bool), True, False)
    assert (scores == 0).all()


def test_row_sums_against_dense_products():
    random = np.random.default_rng(1)
    left = sparse.random_array((9, 7), density=0.4, rng=random, format="csr", dtype=np.float32)
    table = sparse.random_array((7, 11), density=0.5, rng=random, format="csr", dtype=np.float32)
    found = rows.add_sparse_rows(left.indptr, left.indices, left.data, table.indptr, table.indices, table.data, 11)
    np.testing.assert_allclose(found, (left @ table).toarray(), rtol=1e-6)
    position = np.array([0, -1, 1, 2, -1, 3, 4], np.int32)
    square = random.random((5, 5)).astype(np.float32)
    wide = np.zeros((7, 7))
    wide[np.ix_(position >= 0, position >= 0)] = square
    found = rows.add_dense_rows(left.indptr, left.indices, left.data, position, square, 7)
    np.testing.assert_allclose(found, left.toarray() @ wide, rtol=1e-6, atol=1e-7)


def test_a_product_row_does_not_depend_on_the_other_rows():
    random = np.random.default_rng(2)
    left = random.normal(size=(150, 48)).astype(np.float32)
    right = random.normal(size=(333, 48)).astype(np.float32)
    whole = rows.tiled_product(left, right)
    np.testing.assert_allclose(whole, left @ right.T, rtol=1e-4, atol=1e-5)
    for start, stop in ((0, 1), (3, 90), (149, 150)):
        assert rows.tiled_product(left[start:stop], right).tobytes() == whole[start:stop].tobytes()


def test_add_weighted_is_the_plain_sum_to_the_byte():
    random = np.random.default_rng(3)
    scores = random.normal(size=(5, 40)).astype(np.float32)
    weights = np.array([0.4, 0.0, 1.0, 0.15, -2.0])
    total = random.normal(size=(5, 40))
    expected = total + weights[:, None] * scores
    rows.add_weighted(total, scores, weights)
    assert total.tobytes() == expected.tobytes()
