"""What a survey and an experiment print: a difference is told as one only where its interval excludes 0."""

from __future__ import annotations

import pytest

from uicgpu.cli.summary import group_line, survey_lines, survey_warnings

FIGURES = {
    "survey.unknown_users": 1200,
    "survey.unreadable_scores": 0,
    "survey.ease of use.n": 80,
    "survey.ease of use.mean": 3.5,
    "survey.ease of use.mean.low": 3.25,
    "survey.ease of use.mean.high": 3.75,
    "survey.ease of use.cluster.0.n": 30,
    "survey.ease of use.cluster.0.detectable": 0.5,
    "survey.ease of use.group.A.n": 40,
    "survey.price.n": None,
    "survey.price.mean": None,
}


def difference(low: float, high: float) -> dict[str, float]:
    key = "survey.ease of use.B-A"
    return {key: (low + high) / 2, f"{key}.low": low, f"{key}.high": high, f"{key}.detectable": 0.4}


def test_each_question_has_one_line_and_small_groups_none():
    lines = survey_lines(FIGURES)
    assert lines == {
        "survey ease of use": "mean 3.50 [3.25, 3.75], n 80",
        "survey price": "too few answers to be shown",
    }


@pytest.mark.parametrize(
    ("low", "high", "open_"), [(0.1, 0.5, False), (-0.5, -0.1, False), (-0.1, 0.5, True), (0.0, 1.0, True)]
)
def test_groups_are_apart_only_where_the_interval_excludes_0(low, high, open_):
    line = survey_lines({**FIGURES, **difference(low, high)})["survey ease of use"]
    assert f"B-A {(low + high) / 2:+.2f} [{low:+.2f}, {high:+.2f}]" in line
    assert ("cannot be told apart, from 0.40 on it could" in line) == open_


def test_strangers_and_scores_without_a_number_are_counted():
    assert survey_warnings(FIGURES) == ["survey: 1,200 users are not in this run; their answers do not count"]
    assert survey_warnings({"survey.unreadable_scores": 2}) == ["survey: 2 scores are not numbers; they do not count"]
    assert survey_warnings({}) == [] and survey_lines({}) == {}


def test_groups_are_told_with_their_balance():
    told = {"users": {"A": 1200, "B": 1187}, "largest gap in a cluster's share": 0.0123}
    assert group_line(told) == "A 1,200 users, B 1,187 users; largest gap in a cluster's share 1.2 %"
