"""The attack on the data map finds people where they are shown, and crowds where they are not."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from uicgpu.events.interactions import EventTable, aggregate
from uicgpu.pipeline.handed_on import exported_labels, handed_on, published_texts
from uicgpu.pipeline.privacy import check_privacy
from uicgpu.privacy.map_linkage import PublishedMap, map_attack
from uicgpu.report.artefacts import published_labels
from uicgpu.report.crowds import hide_points
from uicgpu.report.data_map import DataMap
from uicgpu.runs.artefacts import open_run


def _attack(k):
    """400 users whose place is the mean of their items' vectors: who knows the items knows the place."""
    random = np.random.default_rng(0)
    owners = np.repeat(np.arange(400, dtype=np.int32), 4)
    chosen = np.concatenate([random.choice(60, 4, replace=False) for _ in range(400)]).astype(np.int32)
    zeros, ones = np.zeros(owners.size, np.int32), np.ones(owners.size, np.float32)
    interactions = aggregate(EventTable(owners, chosen, zeros.astype(np.int64), zeros, ones, ones, 400, 60))
    vectors = random.normal(size=(60, 2)).astype(np.float32)
    places = np.stack([vectors[interactions.history(user)].mean(axis=0) for user in range(400)]).astype(np.float32)
    rows = np.arange(400, dtype=np.int64)
    labels = (places[:, 0] > 0).astype(np.int32)
    shown, crowds = hide_points(DataMap(places, rows, 1.0), k, 0)
    told = PublishedMap(shown.points, labels)
    return [
        map_attack(
            told, places, labels, rows, interactions, vectors, shown.points, crowds, known=known, seed=0, most=300
        )
        for known in (1, 4)
    ]


def test_shown_where_they_are_people_are_found():
    few, all_items = _attack(1)
    assert all_items.victims == 300 and all_items.success > 0.9 and all_items.worst == 1.0
    assert few.success < 0.2


def test_in_crowds_nobody_is_picked_with_more_than_one_in_k():
    for attack in _attack(20):
        assert 0 < attack.worst <= 1 / 20 and attack.smallest >= 20
        assert attack.success <= 1 / 20


def test_a_page_with_users_where_they_lie_fails(finished, tmp_path, monkeypatch):
    assert all(attack["worst"] <= 1 / 20 for attack in check_privacy(finished())["linkage_map"])
    monkeypatch.setattr("uicgpu.pipeline.privacy.hide_points", lambda data, k, seed: (data, np.arange(len(data.rows))))
    monkeypatch.setattr("uicgpu.pipeline.privacy.published_points", lambda page: _exact(finished()))
    assert not check_privacy(finished())["passed"]


def _exact(path):
    from uicgpu.report.data_map import map_users

    run = open_run(path)
    drawn = map_users(run.interest_vectors, int(run.manifest["seed"]))
    return drawn.points, np.zeros(len(drawn.rows), np.int32)


def test_an_export_tells_the_published_clusters_and_no_key_is_made(finished, key_file):
    run = open_run(finished())
    with handed_on(run.path) as (folder, key):
        labels = exported_labels(run, folder, key, run.users.height)
        assert json.loads((folder / "export.json").read_text())["user_ids"].startswith("HMAC")
        assert len(published_texts(folder)) == 6
        assert not pl.read_csv(folder / "users.csv")["user_id"].is_in(run.users["user_id"].implode()).any()
    expected = published_labels(run.profiles, run.users.sort("row")["cluster"].to_numpy())
    np.testing.assert_array_equal(labels, expected)
    assert not folder.exists() and not key_file.exists()


def test_an_id_in_an_exported_file_is_found(finished, monkeypatch):
    from uicgpu.pipeline import export

    monkeypatch.setattr(export, "pseudonyms", lambda ids, key: ids)
    monkeypatch.setattr("uicgpu.pipeline.handed_on.pseudonyms", lambda ids, key: ids)
    told = check_privacy(finished())
    assert told["ids_found"] > 1000 and told["canaries_found"] > 1000 and not told["passed"]
