"""What docs/evaluation.md claims of every evaluation, held against the files of one small run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import uicgpu as uic
from uicgpu.cli.summary import summarise
from uicgpu.evaluation.protocol import fingerprint
from uicgpu.pipeline.finished import _folder
from uicgpu.pipeline.stages_ranking import load_catalogue
from uicgpu.pipeline.stages_tables import event_table

BASELINES = ("popularity", "recent_popularity", "item_item", "ease", "ials", "user_neighbours_events")


@pytest.fixture(scope="module")
def metrics(finished: Path) -> dict[str, Any]:
    return json.loads((finished / "metrics.json").read_text())


@pytest.fixture(scope="module")
def learned(finished: Path) -> dict[str, Any]:
    return json.loads((finished / "stages" / "evaluation.json").read_text())["learned"]


def means(metrics: dict[str, Any], group: str) -> dict[str, float]:
    named = re.compile(rf"{group}\.([a-z_]+|[a-z_]+-[a-z_]+)\.ndcg@10")
    return {
        match[1]: value for name, value in metrics.items() if (match := named.fullmatch(name)) and value is not None
    }


@pytest.mark.parametrize("method", [*BASELINES, "blend", "recommender"])
@pytest.mark.parametrize("metric", ["ndcg", "recall", "precision", "hit_rate", "mrr", "map"])
def test_every_baseline_and_every_metric_at_10_and_20_with_an_interval(metrics, method, metric):
    for k in (10, 20):
        value, low, high = (metrics[f"ranking.{method}.{metric}@{k}{end}"] for end in ("", ".low", ".high"))
        assert 0 <= low <= value <= high <= 1


def test_what_lists_are_like_apart_from_being_right(metrics):
    for method in ("popularity", "blend", "recommender"):
        for name in ("coverage", "novelty", "diversity", "gini", "calibration"):
            assert metrics[f"beyond.{method}.{name}@10"] is not None
        assert metrics[f"debiased.{method}.hit_rate@10"] is not None


def test_differences_are_paired_corrected_and_against_every_baseline(metrics):
    ranking, differences = means(metrics, "ranking"), means(metrics, "difference")
    for method in BASELINES:
        for ours in ("blend", "recommender"):
            name = f"{ours}-{method}"
            assert differences[name] == pytest.approx(ranking[ours] - ranking[method], abs=1e-12)
            low, high = (metrics[f"difference.{name}.ndcg@10.{end}"] for end in ("low", "high"))
            assert low <= differences[name] <= high
            assert 0 < metrics[f"difference.{name}.ndcg@10.p_holm"] <= 1
    best = metrics["evaluation.best_single_arm"]
    assert differences["recommender-best_single"] == differences[f"recommender-{best}"]
    assert metrics["evaluation.smallest_detectable_difference"] > 0


def test_whatever_begins_at_random_ran_with_three_seeds(metrics):
    assert metrics["seeds.ials.count"] == 3 and metrics["seeds.ials.ndcg@10.sd"] is not None
    if metrics["evaluation.ranker"] != "off":
        assert metrics["seeds.recommender.count"] == 3


def test_budgets_are_equal_and_logged(metrics, learned):
    tried = {
        name: entries for name, entries in learned["tried"].items() if entries != [{"ndcg@10": entries[0]["ndcg@10"]}]
    }
    assert {len(entries) for entries in tried.values()} == {6} and set(BASELINES) - set(tried) == {"popularity"}
    for name, entries in learned["tried"].items():
        assert metrics[f"tuning.{name}.tried"] == len(entries)
        assert max(entry["ndcg@10"] for entry in entries) == pytest.approx(learned["validation"][name], abs=1e-6)
    assert learned["best_arm"] == max(learned["validation"], key=learned["validation"].get)


def test_the_data_have_a_fingerprint(finished, metrics):
    run = uic.open_run(finished)
    found = fingerprint(event_table(_folder(run)), load_catalogue(run.items, run.item_vectors))
    assert found == {name: value for name, value in metrics.items() if name.startswith("data.")}
    assert (
        re.fullmatch("[0-9a-f]{64}", found["data.sha256"]) and found["data.first_time_us"] < found["data.last_time_us"]
    )


def test_warm_and_cold_users_and_items_are_counted_apart(metrics):
    # Warm users whose held-out items they all had before drop out.
    assert 0 < metrics["evaluation.users"] <= metrics["evaluation.warm_users"]
    assert metrics["evaluation.cold_users"] == metrics["cold.fallback.users"]
    kinds = [metrics[f"{kind}_items.test_pairs"] for kind in ("warm", "rare", "new")]
    assert sum(kinds) == metrics["evaluation.test_pairs"] and kinds[0] > 0
    assert metrics["warm_items.recommender.ndcg@10"] > 0


def test_the_ablation_is_said_in_one_place_of_the_report(finished, metrics):
    for pair in ("real-none", "random-none", "real-random"):
        assert all(metrics[f"ablation.{pair}.ndcg@10{end}"] is not None for end in ("", ".low", ".high"))
    real = metrics["ablation.real-none.ndcg@10"] - metrics["ablation.random-none.ndcg@10"]
    assert metrics["ablation.real-random.ndcg@10"] == pytest.approx(real, abs=1e-12)
    page = (finished / "report.html").read_text()
    said = ("The tuned blend gives the clusters no weight", "ranks better than using none", "apart from using none")
    assert sum(page.count(sentence) for sentence in said) == 1


def test_better_is_said_only_where_the_interval_excludes_0(finished, metrics):
    page = (finished / "report.html").read_text()
    low, high = (metrics[f"difference.recommender-best_single.ndcg@10.{end}"] for end in ("low", "high"))
    told = "is better than" if low > 0 else "is worse than" if high < 0 else "cannot be told apart from"
    said = [
        form
        for form in ("is better than", "is worse than", "cannot be told apart from")
        if f"The recommender {form} the best single method" in page
    ]
    assert said == [told]
    assert page.count("▲</span>") == sum(
        metrics[f"difference.{name}.ndcg@10.low"] > 0
        for name in means(metrics, "difference")
        if name.endswith("-popularity")
    )
    printed = summarise(uic.open_run(finished))["recommender"]
    arm = metrics["evaluation.best_single_arm"]
    assert "better" not in printed
    for name in ("recommender", arm, "popularity"):
        assert f"{metrics[f'ranking.{name}.ndcg@10']:.4f}" in printed
