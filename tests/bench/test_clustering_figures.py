"""The figures in docs/clustering.md are those of bench/results/."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from uicgpu.bench import choose_k, consensus, hdbscan, pool, reduce, topk
from uicgpu.bench import clustering_tables as tables

ROOT = Path(__file__).resolve().parents[2]


TABLES = (
    ("kmeans", tables.kmeans_table),
    ("kmeans", tables.kmeans_wall_table),
    ("kmeans", tables.kmeans_memory_table),
    ("kmeans", tables.kmeans_growth_table),
    ("hdbscan", tables.hdbscan_table),
    ("hdbscan", tables.growth_table),
    ("pool", tables.pool_table),
    ("topk", tables.topk_table),
    ("consensus", consensus.markdown_table),
    ("choose_k", choose_k.markdown_table),
    ("reduce", reduce.markdown_table),
)


def measured(name):
    return json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_the_page_shows_the_measured_figures(name, table):
    assert table(measured(name)) in (ROOT / "docs" / "clustering.md").read_text(encoding="utf-8")


def test_what_the_page_says_of_known_groups():
    found = measured("choose_k")
    (name,) = (name for name, told in found["sets"].items() if told["groups"])
    assert choose_k.agreement_table(found, name) in (ROOT / "docs" / "clustering.md").read_text(encoding="utf-8")
    best = max(found["sets"][name]["grid"], key=lambda row: row["nmi"])
    assert best["k"] == found["sets"][name]["chosen"]


def test_what_the_page_says_of_the_consensus():
    """More agreement at 20 clusters and more, at an inertia that is no worse; not so at 5 or 6."""
    coarse = []
    for told in measured("consensus")["sets"].values():
        for k, ways in told["clusters"].items():
            steady, starts, plain = ways["consensus 20"], ways["20 starts"], ways["default"]
            if int(k) >= 20:
                for figure in ("ari_between_seeds", "ari_with_resamples"):
                    assert steady[figure] > max(plain[figure], starts[figure]) + 0.05
                assert steady["inertia"] <= plain["inertia"]
            else:
                coarse.append(steady["ari_with_resamples"] > plain["ari_with_resamples"])
    assert sorted(coarse) == [False, False, True]


def test_what_the_page_says_of_umap():
    """Fewer users outside and nearer to known groups, not beyond KMeans; seeds disagree; the time it takes."""
    found = {name: told["ways"] for name, told in measured("reduce")["sets"].items()}
    for ways in found.values():
        assert ways["umap"]["noise"] < min(ways["pca"]["noise"], ways["none"]["noise"])
        assert 30 < ways["umap"]["cpu_seconds"] / ways["pca"]["cpu_seconds"] < 71
        assert ways["pca"]["ari_between_seeds"] == ways["none"]["ari_between_seeds"] == 1
    amazon, movies, customers, anime = (found[name] for name in sorted(found))
    assert all(amazon["umap"][figure] > amazon["pca"][figure] > amazon["none"][figure] for figure in ("nmi", "ari"))
    plain = measured("consensus")["sets"][min(found)]["clusters"]["23"]["default"]
    assert abs(amazon["umap"]["nmi"] - plain["nmi"]) < 0.01 and f"{plain['nmi']:.3f}" == "0.930"
    assert movies["umap"]["largest"] > 0.5
    assert all(ways["umap"]["ari_between_seeds"] < 0.7 for ways in (customers, anime))
    assert customers["pca"]["clusters"] == [2, 2] and anime["pca"]["noise"] == 1


@pytest.mark.parametrize("name", ["consensus", "choose_k", "reduce"])
def test_no_place_of_a_machine_is_told(name):
    assert "/" not in json.dumps(measured(name))


@pytest.fixture
def blobs_run(monkeypatch, tmp_path):
    """A folder with 120 interest vectors of three groups of 60, 30 and 30 users, which are known."""
    groups = np.repeat([0, 1, 2], [60, 30, 30])
    rng = np.random.default_rng(0)
    vectors = 10 * rng.standard_normal((3, 20))[groups] + rng.uniform(-1, 1, (120, 20))
    np.save(tmp_path / "interest_vectors.npy", vectors.astype(np.float32))
    monkeypatch.setattr(reduce, "open_run", lambda path: path)
    monkeypatch.setattr(reduce, "known_groups", lambda _: groups)
    return tmp_path


def test_the_small_benchmarks_run(monkeypatch):
    monkeypatch.setattr(topk, "is_idle", lambda: True)
    points = np.random.default_rng(0).standard_normal((900, 24)).astype(np.float32)
    pooled = pool.measure(points, 1, lambda _: None, users=200)["processor_1_thread"]
    assert pooled.keys() == {"sums", "unit vectors"}
    assert all(told["largest_difference"] < 1e-4 for arms in pooled.values() for told in arms.values())
    found = topk.measure(points, 1, lambda _: None, queries=64)
    assert found["faiss_share"] == 1 and found["processor"].keys() == {"uicgpu", "faiss", "product alone"}
    assert found["wall_2_threads"].keys() == found["processor"].keys()
    grown = hdbscan.growth(points, lambda _: None, sizes=(200, 900))
    assert grown.keys() == {"200", "900"} and "exponent" in grown["900"]


def test_reductions_are_compared_on_a_run(monkeypatch, umap, blobs_run):
    monkeypatch.setattr(reduce, "SEEDS", 2)
    found = reduce.bench_reduce({"blobs": blobs_run})
    ways = found["sets"]["blobs"]["ways"]
    assert [told["dimensions"] for told in (ways["none"], ways["pca"], ways["umap"])] == [20, 15, 15]
    assert len(umap.calls) == 3  # the first fit warms up
    for told in ways.values():
        assert told["clusters"] == [3, 3] and told["nmi"] == told["ari"] == told["ari_between_seeds"] == 1
        assert told["largest"] == 0.5
    assert "| blobs | 120 | `umap` | 3 | 0.0% | 50.0% |" in reduce.markdown_table(found)


def test_two_threads_of_hdbscan_run_in_a_process_with_two_threads_of_the_peer(monkeypatch):
    points = np.random.default_rng(0).standard_normal((900, 24)).astype(np.float32)
    sizes = ((300, None), (900, 3))
    asked = []

    def run(command, env, **_):
        asked.append((command[1:], env["RAYON_NUM_THREADS"]))
        found = hdbscan.growth(points, lambda _: None, (200, 900)) if command[-1] == "growth" else None
        return SimpleNamespace(stdout=json.dumps(found or hdbscan.wall(points, 1, sizes)))

    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    monkeypatch.setattr(hdbscan.subprocess, "run", run)
    monkeypatch.setattr(hdbscan, "is_idle", lambda: True)
    monkeypatch.setattr(hdbscan, "household_weeks", lambda: points)
    monkeypatch.setattr(hdbscan, "baskets", lambda: points)
    whole = hdbscan.measure
    monkeypatch.setattr(hdbscan, "measure", lambda vectors, rounds, say: whole(vectors, rounds, say, sizes))
    found = hdbscan.bench_hdbscan(count=0, rounds=1)
    assert asked == [(["-m", "uicgpu.bench.hdbscan", what], threads) for what, threads in (("1", "2"), ("growth", "1"))]
    assert os.environ["RAYON_NUM_THREADS"] == "1" and found["growth"].keys() == {"200", "900"}
    assert found["sizes"].keys() == {"300x24", "900x3"}
    for told in found["sizes"].values():
        assert told["processor"].keys() == told["wall_2_threads"].keys()
    assert "| 900 × 3 |" in tables.hdbscan_table(found)
