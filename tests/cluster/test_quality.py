from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from uicgpu.cluster.quality import agreement, cluster_quality, exact_silhouettes, simplified_silhouettes
from uicgpu.errors import InputError


def measured(vectors, labels, backend, seed=0):
    return cluster_quality(vectors, SimpleNamespace(labels=np.asarray(labels, np.int32)), backend, seed)


def naive_simplified(points, labels):
    values = []
    for point, label in zip(points.astype(float), labels, strict=True):
        if (labels == label).sum() == 1:
            values.append(0.0)
            continue
        means = {other: points[labels == other].mean(axis=0, dtype=float) for other in set(labels.tolist())}
        a = np.linalg.norm(point - means.pop(label))
        b = min(np.linalg.norm(point - mean) for mean in means.values())
        values.append((b - a) / max(a, b) if max(a, b) > 0 else 0.0)
    return np.array(values)


def test_by_hand(backend):
    # Two pairs on a line: means 1 and 11.
    vectors = np.array([[0], [2], [10], [12]], np.float32)
    quality = measured(vectors, [0, 0, 1, 1], backend)
    assert quality["intra_distance"] == 1
    assert quality["inter_distance"] == 10
    assert quality["silhouette_simplified"] == pytest.approx((10 / 11 + 8 / 9) / 2)
    assert quality["per_cluster_silhouette"] == pytest.approx([(10 / 11 + 8 / 9) / 2] * 2)
    assert quality["silhouette"] == pytest.approx(((11 - 2) / 11 + (9 - 2) / 9) / 2)
    assert quality["davies_bouldin"] == pytest.approx(0.2)
    assert quality["calinski_harabasz"] == pytest.approx(100 / (4 / 2))
    assert (quality["silhouette_sample"], quality["noise_share"]) == (4, 0.0)


@pytest.mark.parametrize(("rows", "clusters", "dim", "spread"), [(150, 4, 7, 0.4), (90, 12, 3, 2.0)])
def test_against_scikit_learn_and_naive_loops(rows, clusters, dim, spread, backend, blobs):
    vectors, labels = blobs(rows, clusters, dim, spread)
    quality = measured(vectors, labels, backend)
    wide = vectors.astype(float)
    assert quality["silhouette"] == pytest.approx(metrics.silhouette_score(wide, labels))
    assert quality["davies_bouldin"] == pytest.approx(metrics.davies_bouldin_score(wide, labels))
    assert quality["calinski_harabasz"] == pytest.approx(metrics.calinski_harabasz_score(wide, labels))
    values = naive_simplified(vectors, labels)
    assert quality["silhouette_simplified"] == pytest.approx(values.mean())
    expected = [values[labels == label].mean() for label in range(clusters)]
    np.testing.assert_allclose(quality["per_cluster_silhouette"], expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(4, 30), clusters=st.integers(2, 5))
def test_silhouettes_of_any_labels(backend, seed, rows, clusters):
    rng = np.random.default_rng(seed)
    points = rng.integers(-3, 4, (rows, 2)).astype(np.float32)
    labels = np.concatenate((np.arange(clusters), rng.integers(0, clusters, rows)))[:rows].astype(np.int32)
    present = np.unique(labels).size
    if present < 2 or present == rows:
        return
    exact = exact_silhouettes(points, labels, backend)
    np.testing.assert_allclose(exact, metrics.silhouette_samples(points.astype(float), labels), atol=1e-9)
    means = np.stack([points[labels == label].mean(axis=0, dtype=float) for label in range(present)])
    simple = simplified_silhouettes(points, labels, means, backend)
    np.testing.assert_allclose(simple, naive_simplified(points, labels), atol=1e-6)


def test_renaming_clusters_changes_nothing(backend, blobs):
    vectors, labels = blobs(100, 4, 5, 1.0)
    renamed = np.array([2, 0, 3, 1])[labels]
    one, two = measured(vectors, labels, backend), measured(vectors, renamed, backend)
    for name in ("silhouette_simplified", "silhouette", "davies_bouldin", "calinski_harabasz", "intra_distance"):
        assert one[name] == pytest.approx(two[name])
    order = [2, 0, 3, 1]
    assert [two["per_cluster_silhouette"][new] for new in order] == pytest.approx(one["per_cluster_silhouette"])


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_undefined_is_none(labels, backend):
    quality = measured(np.arange(8, dtype=np.float32).reshape(4, 2), labels, backend)
    for name in ("silhouette_simplified", "silhouette", "davies_bouldin", "calinski_harabasz"):
        assert quality[name] is None
    assert len(quality["per_cluster_silhouette"]) == max(labels) + 1
    assert set(quality["per_cluster_silhouette"]) == {None}


def test_a_point_alone_counts_zero(backend):
    quality = measured(np.array([[0], [1], [50]], np.float32), [0, 0, 1], backend)
    assert quality["per_cluster_silhouette"][1] == 0
    values = metrics.silhouette_score(np.array([[0.0], [1], [50]]), [0, 0, 1])
    assert quality["silhouette"] == pytest.approx(values)


def test_noise_is_left_out_and_counted(backend, blobs):
    vectors, labels = blobs(80, 3, 4, 0.5)
    noisy = np.concatenate((vectors, np.full((20, 4), 9, np.float32)))
    with_noise = measured(noisy, np.concatenate((labels, np.full(20, -1))), backend)
    without = measured(vectors, labels, backend)
    assert with_noise.pop("noise_share") == pytest.approx(0.2)
    without.pop("noise_share")
    assert with_noise == without
    nothing = measured(vectors, np.full(80, -1), backend)
    assert (nothing["silhouette"], nothing["noise_share"], nothing["per_cluster_silhouette"]) == (None, 1.0, [])


def test_identical_points_do_not_divide_by_zero(backend):
    quality = measured(np.ones((6, 2), np.float32), [0, 0, 0, 1, 1, 1], backend)
    assert quality["silhouette_simplified"] == 0
    assert quality["davies_bouldin"] is None
    assert quality["calinski_harabasz"] is None


def test_large_input_is_sampled_by_seed_and_threads_do_not_matter(backend, two_threads, blobs):
    vectors, labels = blobs(2600, 5, 6, 1.0)
    one = measured(vectors, labels, backend, seed=3)
    assert one["silhouette_sample"] == 2000
    assert one == measured(vectors, labels, two_threads, seed=3)
    assert one["silhouette"] != measured(vectors, labels, backend, seed=4)["silhouette"]
    assert one["silhouette"] == pytest.approx(metrics.silhouette_score(vectors.astype(float), labels), abs=0.02)


def test_agreement_by_hand():
    same = agreement(np.array([1, 1, 0, 0]), ["a", "a", "b", "b"])
    assert same == {"nmi": 1.0, "ari": 1.0, "users": 4, "groups": 2, "noise": 0}
    # Independent halves: no information; expected Rand index above the one found.
    crossed = agreement(np.array([0, 1, 0, 1]), ["a", "a", "b", "b"])
    assert (crossed["nmi"], crossed["ari"]) == (pytest.approx(0, abs=1e-12), pytest.approx(-0.5))
    assert agreement(np.zeros(3, int), ["x"] * 3) == {"nmi": 1.0, "ari": 1.0, "users": 3, "groups": 1, "noise": 0}


def test_agreement_skips_unknown_groups_and_counts_noise():
    truth = np.array(["a", None, "b", "b", float("nan")], object)
    found = agreement(np.array([0, 1, -1, -1, 0]), truth)
    assert found == {"nmi": 1.0, "ari": 1.0, "users": 3, "groups": 2, "noise": 2}
    assert agreement(np.array([0, 1]), [None, None])["ari"] is None
    with pytest.raises(InputError, match="2 cluster labels for 3"):
        agreement(np.array([0, 1]), ["a", "b", "c"])


def test_agreement_takes_numbers_as_groups():
    assert agreement(np.array([0, 0, 1]), np.array([10, 10, 7]))["nmi"] == 1.0
