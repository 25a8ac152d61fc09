from __future__ import annotations

import json
import re
import shutil

import polars as pl
import pytest

from uicgpu.report.artefacts import read_artefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.quality import SEPARATED, STABLE, grade
from uicgpu.report.ranking import ablation_sentences, evaluation_sentences, ranking_section, verdict
from uicgpu.report.reasons import read_reason, tell_reason


@pytest.fixture
def run(fake_run, tmp_path):
    def make(**metrics):
        folder = tmp_path / "run"
        shutil.copytree(fake_run(users=60, clusters=2), folder)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return read_artefacts(folder)

    return make


def _scores(low, high, value=0.05):
    return {
        "ranking.blend.ndcg@10": 0.12,
        "ranking.popularity.ndcg@10": 0.07,
        "difference.blend-popularity.ndcg@10": value,
        "difference.blend-popularity.ndcg@10.low": low,
        "difference.blend-popularity.ndcg@10.high": high,
    }


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.1), (0.0, 0.1), (-0.1, 0.0), (None, None)])
def test_better_is_not_said_when_the_interval_holds_zero(run, low, high):
    made = run(**_scores(low, high))
    assert "better than" not in verdict(made, Words("en"))
    assert "优于" not in verdict(made, Words("zh"))
    assert all(row["sign"] == 0 for row in ranking_section(made, Words("en"))["rows"])
    told = "no paired comparison" if low is None else "cannot tell Blend apart"
    assert told in verdict(made, Words("en"))


def test_better_and_worse_are_said_when_it_does_not(run):
    assert "better than popularity" in verdict(run(**_scores(0.01, 0.1)), Words("en"))


def test_worse_is_said_too(run):
    assert "below popularity" in verdict(run(**_scores(-0.1, -0.01, -0.05)), Words("en"))


def test_without_an_evaluation_nothing_is_claimed(run):
    made = run(**{"evaluation.split": "none"})
    assert "nothing is claimed" in verdict(made, Words("en"))
    assert not ranking_section(made, Words("en"))["rows"]


def test_popularity_may_win(run):
    assert "No method" in verdict(run(**{"ranking.popularity.ndcg@10": 0.1}), Words("en"))


@pytest.mark.parametrize(("low", "high", "told"), [(0.1, 0.3, "better"), (-0.1, 0.3, "cannot"), (-0.3, -0.1, "worse")])
def test_ablation_sentences(run, low, high, told):
    name = "ablation.real-none.ndcg@10"
    sentences = ablation_sentences(run(**{name: 0.2, f"{name}.low": low, f"{name}.high": high}), Words("en"))
    assert len(sentences) == 1 and told in sentences[0]


def test_clusters_without_weight_are_said_to_change_nothing(run):
    pairs = [f"ablation.{pair}.ndcg@10{end}" for pair in ("real-none", "real-random") for end in ("", ".low", ".high")]
    sentences = ablation_sentences(run(**dict.fromkeys(pairs, 0.0)), Words("en"))
    assert len(sentences) == 1 and "no weight" in sentences[0]


def test_examples_tell_of_clusters_and_of_users_only_when_asked(fake_run):
    words = Words("en")
    hidden = ranking_section(read_artefacts(fake_run()), words)["examples"]
    shown = ranking_section(read_artefacts(fake_run(users=60, clusters=2, raw_ids=True)), words)["examples"]
    assert hidden and all(example["name"] and example["recommended"] for example in hidden)
    assert not [example for example in hidden if "u0" in str(example)]
    assert all(entry["share"] for example in hidden for entry in example["recommended"])
    assert all(example["name"].startswith("u0") for example in shown)
    assert shown[0]["recommended"][0]["reason"]


@pytest.mark.parametrize("minimum", [20, 60])
def test_examples_hold_only_what_enough_users_share(fake_run, tmp_path, minimum):
    """The slow way: count the users of each recommended item and of each item that a reason names."""
    folder = tmp_path / "run"
    shutil.copytree(fake_run(), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"]["k_anonymity"] = minimum
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run = read_artefacts(folder)
    users = pl.read_parquet(folder / "users.parquet")
    rows = pl.read_parquet(folder / "recommendations.parquet").filter(pl.col("rank") <= 5).join(users, on="user_id")
    texts = dict(pl.read_parquet(folder / "items.parquet").select("text", "item_id").iter_rows())
    for example, profile in zip(ranking_section(run, Words("en"))["examples"], run.published, strict=False):
        own = rows.filter(pl.col("cluster") == profile["cluster"])
        for entry in example["recommended"]:
            lists = own.filter(pl.col("item_id") == texts[entry["text"]])
            assert lists["user_id"].n_unique() >= minimum
            for title in re.findall("“(.*?)”", entry["reason"]):
                assert sum(title in reason for reason in lists["reason"]) >= minimum


def test_reasons_are_told_in_both_languages_and_rare_items_are_not_repeated():
    reason = read_reason('because of "Toy Story" and "Mum\'s secret film"')
    assert tell_reason(reason, Words("en"), {"Toy Story"}, "EASE") == "because of “Toy Story”"
    assert tell_reason(reason, Words("zh"), {"Toy Story"}, "EASE") == "因为选过“Toy Story”"
    assert tell_reason(reason, Words("en"), set(), "EASE") == "because of items that few others share"
    assert tell_reason(read_reason("users like you chose it (3 of 9 nearest)"), Words("zh"), set(), "") == (
        "兴趣相近的用户选了它（最近 9 位中有 3 位）"
    )
    for sentence in ("popular with everyone lately", "it fits your history", "it fits your interests"):
        assert re.search("[\u4e00-\u9fff]", tell_reason(read_reason(sentence), Words("zh"), set(), ""))
    assert tell_reason(read_reason("call 555"), Words("en"), {"555"}, "EASE") == "EASE"


@pytest.mark.parametrize("title", ["A", 'Say "hi"', "x" * 80, "Fish, chips and peas"])
def test_the_recommenders_own_sentences_are_understood(title):
    from uicgpu.recommend.reasons import quote

    assert read_reason(f"because of {quote(title)}").items == (quote(title)[1:-1],)
    assert read_reason(f"its text is close to {quote(title)}").kind == "text"


def test_grades():
    assert [grade(value, STABLE) for value in (0.9, 0.6, 0.5, -1)] == ["high", "good", "partial", "low"]
    assert grade(0.1, SEPARATED) == "partial"


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.01, 0.1, "is better than"), (-0.01, 0.1, "cannot be told apart from"), (-0.1, -0.01, "is worse than")],
)
def test_the_recommender_is_held_against_the_best_single_method(run, low, high, told):
    name = "difference.recommender-best_single.ndcg@10"
    shown = {name: (low + high) / 2, f"{name}.low": low, f"{name}.high": high}
    single = {"ranking.recommender.ndcg@10": 0.2, "evaluation.best_single_arm": "ease"}
    figures = {**shown, **single, "evaluation.smallest_detectable_difference": 0.0123}
    first, second = evaluation_sentences(run(**figures), Words("en"))
    assert f"The recommender {told} the best single method, which validation chose (EASE)" in first
    assert "0.0123 or more" in second


def test_users_and_items_are_told_apart_where_there_are_any(run):
    kinds = {"cold.fallback": "cold.fallback", "rare_items": "rare_items.recommender", "new_items": "new_items.text"}
    figures = {f"{name}.ndcg@10{end}": 0.1 for name in kinds.values() for end in ("", ".low", ".high")}
    counts = {f"{name}.users": 7 for name in kinds} | {"new_items.users": 0}
    sentences = evaluation_sentences(run(**{**figures, **counts, "ranking.blend.ndcg@10": 0.2}), Words("en"))
    assert len(sentences) == 2 and sentences[0].startswith("7 test users without a history")
    assert "one to three events" in sentences[1]
