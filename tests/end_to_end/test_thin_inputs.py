"""Inputs that leave little to evaluate: each run ends well, and says what it could not do and what remains."""

from __future__ import annotations

import json
from collections.abc import Callable

import polars as pl
import pytest

from uicgpu.cli.main import call

DAY = 86_400
Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def attempt(generated, embedded_model, vector_cache, tmp_path, capsys):
    """Run the changed events of the shop; returns exit code, what stood on stderr, and the figures."""

    def run(change: Change, *options: str) -> tuple[int, str, dict]:
        path, out = tmp_path / "events.csv", tmp_path / "run"
        change(pl.read_csv(generated.events)).write_csv(path)
        shared = ["--model", embedded_model, "-k", "2", "--tune", "off", "--bootstrap", "100", "--out", str(out)]
        code = call(["run", "--events", str(path), "--items", str(generated.items), *shared, *options])
        told = " ".join(capsys.readouterr().err.split())
        metrics = json.loads((out / "metrics.json").read_text()) if (out / "metrics.json").is_file() else {}
        return code, told, metrics

    return run


def users(number: int) -> pl.Expr:
    return pl.col("user_id").str.slice(1).cast(pl.Int32) < number


def test_no_timestamps(attempt):
    code, told, metrics = attempt(lambda events: events.filter(users(80)).drop("timestamp"))
    assert code == 0 and metrics["evaluation.split"] == "user-random"
    assert "can be split by auto (at random per user), leave-one-out or none only" in told
    assert "left out are recent_popularity, sequential, ease_recent, ease_text_recent" in told
    assert metrics["ranking.ease.ndcg@10"] > 0 and metrics["ranking.ease_recent.ndcg@10"] is None


def test_no_timestamps_for_a_split_in_time(attempt):
    code, told, _ = attempt(lambda events: events.filter(users(20)).drop("timestamp"), "--split", "time")
    assert code == 3
    assert "split 'time' needs event times, and the events have none where: setting split" in told
    assert "name the time column with --time-column, or use --split auto" in told


def test_users_with_one_event(attempt):
    code, told, metrics = attempt(lambda events: events.unique("user_id", keep="first", maintain_order=True))
    assert code == 0 and metrics["evaluation.users"] == 0
    assert "nothing was ranked: no user has two events of which the later could be held back" in told
    assert "no validation user has a history and a new item: default settings and weights, no ranker" in told


def test_all_test_users_are_cold(attempt):
    def one_moment_each(events: pl.DataFrame) -> pl.DataFrame:
        number = pl.col("user_id").str.slice(1).cast(pl.Int64)
        return events.filter(users(60)).with_columns(timestamp=1_700_000_000 + number * DAY)

    code, told, metrics = attempt(one_moment_each, "--split", "time")
    assert code == 0 and metrics["evaluation.users"] == 0
    cold = metrics["evaluation.cold_users"]
    assert cold == metrics["cold.fallback.users"] > 0 and metrics["cold.fallback.ndcg@10"] is not None
    assert f"none of the {cold} test users has a history and an item that is new to the user" in told
    assert f"{cold} have no history at all and were shown what is popular" in told


def test_test_items_that_training_never_saw(attempt):
    def new_range(events: pl.DataFrame) -> pl.DataFrame:
        late = pl.col("timestamp") > pl.col("timestamp").quantile(0.9)
        number = pl.col("item_id").str.slice(1).cast(pl.Int32) // 2 + 60 * late.cast(pl.Int32)
        return events.filter(users(120)).with_columns(item_id="i" + number.cast(pl.String).str.zfill(3))

    code, told, metrics = attempt(new_range, "--split", "time")
    assert code == 0 and metrics["evaluation.unreachable_share"] == 1
    assert "warning: 100% of the test pairs are of items that no earlier event has" in told
    assert metrics["ranking.popularity.ndcg@10"] == 0 and metrics["new_items.text.ndcg@10"] > 0


def test_duplicate_interactions_count_once(attempt):
    few = users(40)
    code, told, metrics = attempt(lambda events: pl.concat([events.filter(few), events.filter(few)]))
    again, _, once = attempt(lambda events: events.filter(few), "--fresh")
    assert code == again == 0 and metrics == once
    assert f"{metrics['data.events']:,} of {2 * metrics['data.events']:,} rows were refused (duplicate: " in told


def test_kinds_that_weigh_nothing_or_less(attempt):
    code, told, metrics = attempt(lambda events: events.filter(users(120)), "--kind-weights", "view=0,purchase=2")
    assert code == 0 and "rows were refused (kind weight 0: " in told and metrics["data.events"] > 0
    code, told, _ = attempt(lambda events: events, "--kind-weights", "view=0,purchase=-4")
    assert code == 2 and "a weight is a finite number, 0 or more; 0 leaves the kind out; got purchase=-4" in told
    assert "where: option --kind-weights" in told
    code, told, _ = attempt(lambda events: events, "--kind-weights", "view=0,purchase=0", "--fresh")
    assert code == 3 and "no event is left of" in told and "--kind-weights" in told


def test_too_few_validation_users_for_a_ranker(attempt):
    code, told, metrics = attempt(lambda events: events.filter(users(40)))
    assert code == 0 and metrics["evaluation.ranker"] == "off"
    assert "validation users: settings and weights are little more than guesses" in told
    assert "there is no ranker, which needs 50" in told


def test_lists_longer_than_the_catalogue(finished, generated, tmp_path, capsys):
    out = tmp_path / "lists.csv"
    assert call(["recommend", str(finished), "--user", "u001", "--top", "500", "--out", str(out)]) == 0
    assert "--top 500 is more than the catalogue's 120 items" in capsys.readouterr().err
    seen = pl.read_csv(generated.events).filter(pl.col("user_id") == "u001")["item_id"].n_unique()
    known = pl.read_csv(generated.events)["item_id"].n_unique()
    assert pl.read_csv(out).height == known - seen


def test_a_survey_with_unknown_users(finished, tmp_path, capsys):
    answers, figures = tmp_path / "answers.csv", tmp_path / "figures.json"
    known = pl.DataFrame(
        {"user_id": [f"u{user:03d}" for user in range(60)], "score": [3 + user % 3 for user in range(60)]}
    )
    strangers = pl.DataFrame({"user_id": ["x1", "x2"], "score": [1, 1]})
    pl.concat([known, strangers]).write_csv(answers)
    command = ["evaluate", str(finished), "--tune", "off", "--bootstrap", "100", "--out", str(figures), "--survey"]
    assert call([*command, str(answers)]) == 0
    told = capsys.readouterr()
    assert "survey: 2 users are not in this run; their answers do not count" in told.err
    assert "mean 4.00 [" in told.out and "n 60" in told.out
    assert json.loads(figures.read_text())["survey.unknown_users"] == 2
    strangers.write_csv(answers)
    assert call([*command, str(answers)]) == 3
    told = capsys.readouterr().err
    assert "none of the 2 users of the survey is in the run" in told and f"where: {answers.name}" in told
    assert "do: use the user ids of the events" in " ".join(told.split())


def test_an_impossible_value_in_evaluate_is_a_matter_of_usage(finished, tmp_path, capsys):
    assert call(["evaluate", str(finished), "--bootstrap", "50", "--out", str(tmp_path / "figures.json")]) == 2
    told = capsys.readouterr().err
    assert "setting bootstrap: got '50'" in told and "option --bootstrap" in told and "this is a bug" not in told
