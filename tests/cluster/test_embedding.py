"""UMAP before a density estimate: what the library is given, where later points go, and what happens without it."""

import logging
import sys
from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.datasets import load_digits

from uicgpu.backends.cpu import CpuBackend
from uicgpu.cluster import DBSCAN, HDBSCAN, assign_points, cluster_vectors
from uicgpu.cluster.assign import Membership
from uicgpu.cluster.density_model import model_from_state
from uicgpu.cluster.embedding import NEIGHBOURS, Embedding
from uicgpu.cluster.reduce import reduce_points
from uicgpu.errors import MissingExtraError
from uicgpu.settings import Settings


@pytest.fixture(scope="module")
def digits():
    """1,797 scanned digits of 64 pixels, from scikit-learn's own package."""
    return load_digits().data.astype(np.float32)


def by_definition(fitted, coordinates, points):
    """Mean of the 15 nearest, weights ``exp(-(d - d1) / s)`` that add up to ``log2(15)``; one that is there decides."""
    placed = []
    for point in points.astype(np.float64):
        distances = np.sqrt(((fitted.astype(np.float64) - point) ** 2).sum(axis=1))
        near = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        beyond = distances[near] - distances[near[0]]
        if distances[near[0]] == 0:
            placed.append(coordinates[near[0]])
            continue
        scale = brentq(lambda s, b=beyond: np.exp(-b / s).sum() - np.log2(NEIGHBOURS), 1e-3 * beyond[-1], beyond[-1])
        weights = np.exp(-beyond / scale)
        placed.append(weights @ coordinates[near] / weights.sum())
    return np.array(placed)


@pytest.mark.parametrize("dim", [3, 40])
def test_later_points_go_to_the_weighted_mean_of_their_neighbours(dim, backend, two_threads):
    rng = np.random.default_rng(1)
    fitted, points = (rng.standard_normal((n, dim)).astype(np.float32) for n in (300, 700))
    points[5] = fitted[40]
    embedding = Embedding(fitted, rng.standard_normal((300, 2)).astype(np.float32))
    placed = embedding.apply(points, backend)
    np.testing.assert_allclose(placed, by_definition(fitted, embedding.coordinates, points), atol=1e-6)
    assert placed[5].tobytes() == embedding.coordinates[40].tobytes()
    order = rng.permutation(700)[:650]
    assert embedding.apply(points[order], two_threads).tobytes() == placed[order].tobytes()


def test_equally_far_neighbours_count_equally(backend):
    # the corners of a cube in four dimensions are all at distance 2 from its middle
    corners = np.array([[(i >> axis & 1) * 2 - 1 for axis in range(4)] for i in range(16)], np.float32)
    embedding = Embedding(corners, np.arange(16, dtype=np.float32)[:, None])
    assert embedding.apply(np.zeros((1, 4), np.float32), backend).tolist() == [[7.0]]  # the 15 lowest rows


@pytest.mark.parametrize("noise", ["assign", "keep"])
@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_fitted_users_get_what_they_got_without_the_library(algorithm, noise, digits, umap, backend, two_threads):
    setting = Settings(algorithm=algorithm, noise=noise, min_cluster_size=30, min_samples=5, reduce="umap")
    clustering = cluster_vectors(digits, setting, backend)
    assert clustering.facts["noise"] > 50 and len(clustering.centroids) >= 3 and len(umap.calls) == 1
    facts = clustering.facts
    assert (facts["reduction"], facts["dimensions"], facts["neighbours"]) == ("umap", 15, NEIGHBOURS)
    assert "variance_kept" not in facts and any("gaps between groups wider" in note for note in facts["notes"])
    model = model_from_state({name: array.copy() for name, array in clustering.model.state().items()})
    sys.modules["umap"] = None
    order = np.random.default_rng(0).permutation(len(digits))[:700]
    found = assign_points(digits[order], clustering.centroids, two_threads, model, noise)
    for name in Membership.__dataclass_fields__:
        assert getattr(found, name).tobytes() == getattr(clustering, name)[order].tobytes()


def test_the_library_gets_exact_neighbours_a_start_and_a_seed_of_the_run(digits, umap, backend):
    embedded, reduction, _ = reduce_points(digits, 15, backend, "umap", 3)
    (given,) = umap.calls
    squares = ((digits[:300, None, :].astype(np.float64) - digits[None]) ** 2).sum(axis=2)
    rows, distances = given["precomputed_knn"]
    np.testing.assert_allclose(distances[:300], np.sqrt(np.sort(squares, axis=1)[:, :NEIGHBOURS]), rtol=1e-6)
    np.testing.assert_array_equal(rows[:300], np.argsort(squares, axis=1, kind="stable")[:, :NEIGHBOURS])
    axes, _, _ = reduce_points(digits, 15, backend)
    np.testing.assert_allclose(given["init"], axes, atol=1e-3)
    assert given["metric"] == "euclidean" and given["min_dist"] == 0
    again, _, _ = reduce_points(digits, 15, backend, "umap", 3)
    other, _, _ = reduce_points(digits, 15, backend, "umap", 4)
    assert again.tobytes() == embedded.tobytes() == reduction.apply(digits, backend).tobytes() != other.tobytes()


def test_by_cosine_the_library_gets_rows_of_length_one(digits, umap, backend):
    lengths = np.random.default_rng(0).uniform(0.5, 20, (len(digits), 1)).astype(np.float32)
    points = np.vstack([digits * lengths, np.zeros((1, 64), np.float32)])
    setting = Settings(algorithm="hdbscan", min_cluster_size=30, metric="cosine", reduce="umap")
    clustering = cluster_vectors(points, setting, backend)
    (given,) = umap.calls
    np.testing.assert_allclose(np.linalg.norm(given["points"], axis=1), 1, atol=1e-6)
    assert len(given["points"]) == len(digits) and clustering.facts["reduction"] == "umap"
    found = assign_points(points, clustering.centroids, backend, clustering.model, metric="cosine")
    for name in Membership.__dataclass_fields__:
        assert getattr(found, name).tobytes() == getattr(clustering, name).tobytes()


def test_equal_users_count_once_and_lie_together(umap, backend):
    rng = np.random.default_rng(0)
    x = rng.integers(-1, 2, (40, 20)).astype(np.float32)
    nothing = np.zeros((1, 20), np.float32)
    twice = np.vstack([x, -x, nothing, -nothing, x[::-1]])  # -0 and 0 are one value
    embedded, reduction, _ = reduce_points(twice, 5, backend, "umap")
    (given,) = umap.calls
    np.testing.assert_array_equal(given["points"], twice[:81])
    assert embedded[:40].tobytes() == np.ascontiguousarray(embedded[:81:-1]).tobytes()
    assert reduction.apply(nothing, backend).tobytes() == embedded[80].tobytes() == embedded[81].tobytes()


def test_points_of_few_dimensions_get_no_more_coordinates(umap, backend):
    rng = np.random.default_rng(0)
    flat = (rng.standard_normal((60, 3)) @ rng.standard_normal((3, 30))).astype(np.float32)
    embedded, _, facts = reduce_points(flat, 15, backend, "umap")
    assert embedded.shape == (60, 3) and facts["dimensions"] == 3


@pytest.mark.parametrize("distinct", [1, 2, 15])
def test_one_neighbourhood_gets_its_axes(distinct, umap, backend):
    few = np.repeat(np.random.default_rng(0).standard_normal((distinct, 20)).astype(np.float32), 40 // distinct, axis=0)
    embedded, _, facts = reduce_points(few, 5, backend, "umap")
    axes, _, wanted = reduce_points(few, 5, backend)
    assert embedded.tobytes() == axes.tobytes() and facts == wanted and not umap.calls


def test_narrow_points_stay_as_they_are(no_umap, backend):
    narrow = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    same, _, facts = reduce_points(narrow, 5, backend, "umap")
    assert same is narrow and facts == {"dimensions": 5, "variance_kept": 1.0}


def test_nothing_is_reduced_when_nothing_is_asked_for(digits, backend):
    whole = Settings(algorithm="hdbscan", min_cluster_size=30, reduce="none")
    found = cluster_vectors(digits, whole, backend)
    wide = HDBSCAN(30, components=None, device="cpu").fit(digits)
    assert found.facts["dimensions"] == 64 and found.facts["noise"] == (wide.labels_ < 0).sum()
    np.testing.assert_array_equal(HDBSCAN(30, reduce="none", device="cpu").fit(digits).labels_, wide.labels_)
    assert cluster_vectors(digits, Settings(algorithm="dbscan", reduce="none"), backend).facts["dimensions"] == 64


@pytest.mark.parametrize("model", [HDBSCAN(15, reduce="umap", device="cpu"), DBSCAN(reduce="umap", device="cpu")])
def test_the_estimators_do_it_too(model, umap, blobs):
    points, truth = blobs(600, 3, 20, spread=0.3)
    model.fit(points[:400] * 1e-9)  # a radius in UMAP's coordinates is not scaled with the points
    np.testing.assert_array_equal(model.predict(points[:400] * 1e-9), model.labels_)
    new = model.predict(points[400:] * 1e-9)
    for group in range(3):
        assert len(set(new[(truth[400:] == group) & (new >= 0)])) == 1
    if isinstance(model, DBSCAN):
        assert model.eps_ > 1e-3
        given = DBSCAN(model.eps_, reduce="umap", device="cpu").fit(points[:400] * 1e-9)
        np.testing.assert_array_equal(given.labels_, model.labels_)
    with pytest.raises(ValueError, match="reduce='tsne'"):
        type(model)(reduce="tsne").fit(points)


def test_other_algorithms_say_that_they_have_no_use_for_it(digits, no_umap, backend):
    found = cluster_vectors(digits, Settings(algorithm="kmeans", k=3, reduce="umap"), backend)
    assert any("no UMAP" in note for note in found.facts["notes"])


def test_without_the_library_the_error_says_what_to_type(digits, no_umap, backend, monkeypatch):
    setting = Settings(algorithm="hdbscan", reduce="umap")
    with pytest.raises(MissingExtraError) as caught:
        cluster_vectors(digits, setting, backend)
    assert caught.value.exit_code == 4 and "pip install 'uicgpu[umap]'" in caught.value.fix
    # another package on PyPI has the same name
    other = ModuleType("umap")
    other.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "umap", other)
    with pytest.raises(MissingExtraError, match="not umap-learn"):
        cluster_vectors(digits, setting, backend)


def test_beside_a_gpu_it_says_once_that_it_runs_on_the_cpu(digits, umap, caplog):
    beside = CpuBackend("a test", 1, 2**30)
    beside.name = "cuda"
    with caplog.at_level(logging.WARNING):
        for seed in range(2):
            reduce_points(digits, 15, beside, "umap", seed)
    assert caplog.text.count("UMAP runs on the CPU") == 1 and beside.engines == {"umap": "umap-learn"}
