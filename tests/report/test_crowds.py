"""The map shows crowds: no point is where a user lies, and no crowd is smaller than k."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uicgpu.report import build_report
from uicgpu.report.crowds import crowds_of, hide_points
from uicgpu.report.data_map import DataMap, map_users
from uicgpu.report.published_map import published_points


def _map(points):
    points = np.asarray(points, np.float32)
    return DataMap(points, np.arange(len(points), dtype=np.int64), 0.5)


def test_halves_of_a_line_by_hand():
    points = np.array([[0, 0], [9, 0], [1, 0], [8, 0], [2, 0]], np.float32)
    crowds = crowds_of(points, 2)
    assert crowds[[0, 2]].tolist() == [0, 0] and crowds[[1, 3, 4]].tolist() == [1, 1, 1]
    assert crowds_of(points, 3).tolist() == [0] * 5
    assert sorted(crowds_of(points, 1).tolist()) == [0, 1, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 90), st.integers(1, 25), st.integers(0, 5), st.booleans())
def test_every_crowd_has_k_and_keeps_to_its_box(count, k, seed, equal):
    points = np.random.default_rng(seed).normal(size=(count, 2)).round(4)
    data = _map(np.zeros_like(points) if equal else points)
    hidden, crowds = hide_points(data, k, seed)
    again, _ = hide_points(data, k, seed)
    assert hidden.points.tobytes() == again.points.tobytes() and hidden.points.dtype == np.float32
    for crowd in np.unique(crowds):
        own, drawn = data.points[crowds == crowd], hidden.points[crowds == crowd]
        assert min(k, count) <= len(own) < 2 * k or len(own) == count < 2 * k
        assert (drawn >= own.min(axis=0) - 1e-4).all() and (drawn <= own.max(axis=0) + 1e-4).all()
    if k == 1:
        np.testing.assert_array_equal(hidden.points, data.points)


def test_places_do_not_depend_on_the_member():
    """Swapping two members of a crowd changes nothing of what is drawn."""
    points = np.random.default_rng(3).normal(size=(60, 2)).astype(np.float32)
    hidden, crowds = hide_points(_map(points), 10, 0)
    first, second = np.flatnonzero(crowds == 0)[:2]
    swapped = points.copy()
    swapped[[first, second]] = points[[second, first]]
    np.testing.assert_allclose(hide_points(_map(swapped), 10, 0)[0].points, hidden.points, atol=2e-4)


@pytest.mark.parametrize("k", [1, 20])
def test_the_page_tells_the_hidden_points(fake_run, tmp_path, k):
    run = tmp_path / "run"
    shutil.copytree(fake_run(), run)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["settings"]["k_anonymity"] = k
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    exact = map_users(np.load(run / "interest_vectors.npy"), manifest["seed"])
    page = build_report(run)
    points, clusters = published_points(page)
    assert ("Points are drawn anew within crowds of at least 20" in page) == (k == 20)
    same = np.isin(points, exact.points).all()
    assert len(points) == len(exact.rows) == len(clusters)
    assert same == (k == 1)
    assert published_points("<html></html>") is None
