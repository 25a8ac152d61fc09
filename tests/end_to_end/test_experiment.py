"""An A/B test through the command line: groups, then the answers of users who were shown A or B."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

import uicgpu as uic
from uicgpu.cli.main import call


def test_groups_and_the_answers_of_their_users(finished, tmp_path, capsys):
    groups, again, figures = tmp_path / "groups.csv", tmp_path / "again.csv", tmp_path / "figures.json"
    command = ["evaluate", str(finished), "--tune", "off", "--bootstrap", "200", "--out", str(figures)]
    assert call([*command, "--experiment", "spring", "--groups", str(groups)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    told = pl.read_csv(groups)
    users = uic.open_run(finished).users
    assert told["user_id"].to_list() == users["user_id"].to_list()
    assert told["cluster"].to_list() == users["cluster"].to_list()
    counts = {name: (told["group"] == name).sum() for name in ("A", "B")}
    assert f"A {counts['A']} users, B {counts['B']} users; largest gap in a cluster's share" in printed

    happier = told["group"] == "B"
    scores = np.random.default_rng(2).normal(3, 0.5, told.height) + 0.6 * happier.to_numpy()
    answers = told.select("user_id").with_columns(score=pl.Series(scores), question=pl.lit("fit"))
    answers.write_csv(tmp_path / "answers.csv")
    survey = ["--experiment", "spring", "--groups", str(again), "--survey", str(tmp_path / "answers.csv")]
    assert call([*command, *survey]) == 0
    assert groups.read_bytes() == again.read_bytes()
    printed, found = capsys.readouterr().out, json.loads(figures.read_text())
    difference = scores[happier].mean() - scores[~happier.to_numpy()].mean()
    assert abs(found["survey.fit.B-A"] - difference) < 1e-9 and found["survey.fit.B-A.low"] > 0
    assert 0 < found["survey.fit.B-A.detectable"] < 0.4
    assert f"n {told.height}; B-A {difference:+.2f} [" in printed and "cannot be told apart" not in printed
    assert {found[f"survey.fit.group.{name}.n"] for name in counts} == set(counts.values())
