from __future__ import annotations

import json
import shutil

import pytest

from uicgpu.report.artefacts import read_artefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.quality import SEPARATED, STABLE, grade
from uicgpu.report.ranking import ablation_sentences, ranking_section, verdict


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


def test_examples_hide_user_ids_unless_asked(fake_run):
    words = Words("en")
    hidden = ranking_section(read_artefacts(fake_run(users=60, clusters=2)), words)["examples"]
    shown = ranking_section(read_artefacts(fake_run(users=60, clusters=2, raw_ids=True)), words)["examples"]
    assert [example["name"] for example in hidden] == ["User 1", "User 2"]
    assert all(example["name"].startswith("u0") for example in shown)
    assert hidden[0]["recommended"][0]["reason"]


def test_grades():
    assert [grade(value, STABLE) for value in (0.9, 0.6, 0.5, -1)] == ["high", "good", "partial", "low"]
    assert grade(0.1, SEPARATED) == "partial"
