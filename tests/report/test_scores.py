from __future__ import annotations

from uicgpu.report.scores import Estimate, read_scores

METRICS = {
    "ranking.blend.ndcg@10": 0.12,
    "ranking.blend.ndcg@10.low": 0.11,
    "ranking.blend.ndcg@10.high": 0.13,
    "ranking.item-item.ndcg@10": 0.12,
    "ranking.popularity.ndcg@10": 0.07,
    "ranking.popularity.recall@10": 0.2,
    "difference.blend-popularity.ndcg@10": 0.05,
    "difference.blend-popularity.ndcg@10.low": 0.04,
    "difference.blend-popularity.ndcg@10.high": 0.06,
    "difference.item-item-popularity.ndcg@10": 0.05,
    "difference.blend-item-item.ndcg@10": 0.02,
    "ablation.real-none.ndcg@10": 0.01,
    "cluster.stability.mean": 0.6,
    "cluster.stability.low": 0.5,
    "cluster.stability.high": 0.7,
    "cluster.silhouette": None,
    "evaluation.split": "time",
    "evaluation.users": 100,
    "nonsense": "x",
}


def test_flat_names_become_tables():
    scores = read_scores(METRICS)
    assert scores.ranking["blend"]["ndcg@10"] == Estimate(0.12, 0.11, 0.13)
    assert scores.difference("item-item", "popularity", "ndcg@10") == Estimate(0.05)
    assert scores.difference("blend", "item-item", "ndcg@10") == Estimate(0.02), "known names decide where to split"
    assert scores.ablation[("real", "none")]["ndcg@10"] == Estimate(0.01)
    assert scores.estimate("cluster.stability") == Estimate(0.6, 0.5, 0.7)
    assert scores.estimate("cluster.silhouette") is None
    assert scores.metric == "ndcg@10"
    assert scores.best == scores.serving == "blend", "ties go to the first name"
    served = read_scores({**METRICS, "ranking.recommender.ndcg@10": 0.01})
    assert (served.best, served.serving) == ("blend", "recommender"), "what recommends, not the best of the test"


def test_sign_needs_an_interval_that_excludes_zero():
    assert Estimate(1, 0.1, 2).sign == 1
    assert Estimate(-1, -2, -0.1).sign == -1
    assert Estimate(1, 0.0, 2).sign == Estimate(1, -0.1, 2).sign == Estimate(1).sign == 0


def test_nothing_measured():
    scores = read_scores({})
    assert scores.metric is None and scores.best is None
