from __future__ import annotations

import json

import numpy as np
import pytest

from uicgpu.report.data_map import MapCluster, map_document, map_users, place_labels, sample_rows, stable_ids

CLUSTERS = [MapCluster(0, "p1001", 0), MapCluster(1, "second", -1)]


def test_the_map_is_the_principal_plane():
    random = np.random.default_rng(0)
    vectors = (random.normal(size=(200, 6)) * [5, 3, 1, 1, 1, 0.1]).astype(np.float32)
    data = map_users(vectors, seed=0)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * singular[:2]
    expected *= np.sign(right[:2][np.arange(2), np.abs(right[:2]).argmax(axis=1)])
    assert np.allclose(data.points, expected / np.abs(expected).max(), atol=2e-4)
    assert data.explained == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum())


def test_samples_are_bounded_sorted_and_seeded():
    rows = sample_rows(1000, 3, most=100)
    assert rows.size == 100 and (np.diff(rows) > 0).all()
    assert (rows == sample_rows(1000, 3, most=100)).all()
    assert (rows != sample_rows(1000, 4, most=100)).any()


@pytest.mark.parametrize("vectors", [np.zeros((4, 3)), np.ones((5, 1)), np.full((3, 2), np.nan), np.zeros((0, 3))])
def test_degenerate_vectors(vectors):
    data = map_users(vectors.astype(np.float32), seed=0)
    assert data.points.shape == (len(vectors), 2) and np.isfinite(data.points).all()
    map_document(data, np.zeros(len(vectors), np.int32), CLUSTERS, 10)


def test_ids_do_not_depend_on_what_was_built_before():
    points = map_users(np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32), seed=0)
    labels = (np.arange(30) % 2).astype(np.int32)
    first = json.dumps(map_document(points, labels, CLUSTERS, 10))
    second = json.dumps(map_document(points, labels, CLUSTERS, 10))
    assert first == second
    assert '"p1001"' in first, "a cluster's name that looks like an id is left alone"


def test_every_reference_has_a_definition_before_it():
    points = map_users(np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32), seed=0)
    document = map_document(points, (np.arange(30) % 2).astype(np.int32), CLUSTERS, 10)
    defined: set[str] = set()

    def walk(value):
        if isinstance(value, dict):
            if "id" in value:
                assert value.get("type") == "object" or value["id"] in defined
                defined.add(value["id"])
            for entry in value.values():
                walk(entry)
        elif isinstance(value, list):
            for entry in value:
                walk(entry)

    walk(document["doc"])
    assert document["root_id"] in defined
    item = {
        "target_id": "t",
        "root_id": "p7",
        "doc": {"version": "1", "roots": [{"id": "p7"}, {"id": "p9", "x": "p7"}]},
    }
    assert stable_ids(item)["doc"]["roots"] == [{"id": "m0"}, {"id": "m1", "x": "p7"}]


def test_no_user_id_is_in_the_map():
    points = map_users(np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32), seed=0)
    document = map_document(points, np.zeros(30, np.int32), CLUSTERS[:1], 10)
    columns = [
        entry[0] for source in _find(document, "ColumnDataSource") for entry in source["attributes"]["data"]["entries"]
    ]
    assert set(columns) <= {"x", "y", "text", "cluster", "colour"}


def test_labels_do_not_run_into_each_other():
    points = np.array([[0, 0], [0.01, 0], [5, 5]], np.float32)
    clusters = [MapCluster(number, "a long label", number) for number in range(3)]
    placed = place_labels(points, np.arange(3, dtype=np.int32), clusters)
    assert [(x, y) for x, y, _ in placed] == [(0.0, 0.0), (5.0, 5.0)]


def _find(value, name):
    if isinstance(value, dict):
        if value.get("name") == name:
            yield value
        for entry in value.values():
            yield from _find(entry, name)
    elif isinstance(value, list):
        for entry in value:
            yield from _find(entry, name)
