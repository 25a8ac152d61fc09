from __future__ import annotations

import numpy as np
import pytest

from uicgpu.errors import InputError
from uicgpu.finetune.ranking_map import RankingMap, centring, half_whitening, whitened


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def vectors():
    random = np.random.default_rng(0)
    return unit(random.normal(size=(200, 12)) * np.linspace(3, 0.2, 12) + 1)


def test_half_whitening_is_the_root_of_the_singular_values(vectors):
    found = RankingMap((half_whitening(vectors),)).apply(vectors)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions.T / np.maximum(singular, 1e-3 * singular[0]) ** 0.5
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    # the same up to a rotation: cosines are equal
    assert np.abs(found @ found.T - expected @ expected.T).max() < 1e-5


def test_power_one_makes_the_covariance_round(vectors):
    affine = half_whitening(vectors, power=1.0)
    moved = vectors @ affine.weight.T + affine.bias
    values = np.linalg.eigvalsh(np.cov(moved.T))
    assert values.max() / values.min() < 1.001


def test_a_blank_text_stays_blank_and_the_rest_has_unit_length(vectors):
    rows = np.concatenate([np.zeros((1, 12), np.float32), vectors])
    ranking = whitened(rows, np.arange(1, 150))
    found = ranking.apply(rows)
    assert not found[0].any()
    assert np.allclose(np.linalg.norm(found[1:], axis=1), 1, atol=1e-6)


def test_only_the_given_rows_are_fitted(vectors):
    other = vectors.copy()
    other[150:] = unit(np.random.default_rng(9).normal(size=(50, 12)))
    one, two = (whitened(rows, np.arange(150)) for rows in (vectors, other))
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(one.maps, two.maps, strict=True))


def test_centring_takes_the_mean_away(vectors):
    affine = centring(vectors)
    assert np.abs((vectors + affine.bias).mean(axis=0)).max() < 1e-6


def test_texts_that_all_look_the_same_are_an_error():
    with pytest.raises(InputError, match="one and the same vector"):
        half_whitening(np.ones((5, 4), np.float32) / 2)
