import numpy as np
import polars as pl
import pytest

from uicgpu.errors import InputError, SettingsError
from uicgpu.evaluation.experiment import assign_groups
from uicgpu.evaluation.survey import _detectable, balance, survey_figures, tidy_survey


def users_of(number=200, clusters=4):
    ids = [f"u{user:04d}" for user in range(number)]
    return pl.DataFrame({"user_id": ids, "cluster": [user % clusters for user in range(number)]})


def test_means_by_cluster_with_interval_and_what_n_can_show():
    users = users_of()
    scores = np.where(np.arange(200) % 4 == 1, 5.0, 3.0) + np.random.default_rng(0).normal(0, 0.3, 200)
    table = pl.DataFrame({"User": users["user_id"], "Rating": scores})
    figures = survey_figures(tidy_survey(table, "survey.csv"), users, 500, 0)
    assert figures["survey.all.n"] == 200 and figures["survey.all.cluster.1.n"] == 50
    assert figures["survey.all.cluster.1.mean"] == pytest.approx(scores[1::4].mean())
    assert figures["survey.all.cluster.1.mean.low"] < scores[1::4].mean() < figures["survey.all.cluster.1.mean.high"]
    rest = np.delete(scores, np.arange(1, 200, 4))
    error = np.sqrt(scores[1::4].var(ddof=1) / 50 + rest.var(ddof=1) / 150)
    assert figures["survey.all.cluster.1.detectable"] == pytest.approx(2.801585 * error, rel=1e-5)


def test_unknown_users_bad_scores_repeats_and_questions():
    users = users_of(20, 1)
    table = pl.DataFrame(
        {
            "user_id": [*users["user_id"], "stranger", "u0001", "u0002"],
            "score": ["4"] * 20 + ["1", "2", "great"],
            "question": ["ease of use"] * 21 + ["ease of use", "price"],
        }
    )
    figures = survey_figures(tidy_survey(table, "s"), users, 100, 0)
    assert figures["survey.unknown_users"] == 1 and figures["survey.unreadable_scores"] == 1
    assert figures["survey.ease of use.n"] == 20
    assert figures["survey.ease of use.mean"] == pytest.approx((19 * 4 + 3) / 20)  # u0001 answered twice: 3 on average


def test_few_respondents_are_not_shown():
    users = users_of(40, 2)
    table = users.head(3).select("user_id").with_columns(score=pl.lit(5.0))
    figures = survey_figures(tidy_survey(table, "s"), users, 100, 0)
    assert figures["survey.all.mean"] is None and figures["survey.all.cluster.0.n"] is None


def test_exposed_groups_are_compared_by_independent_resampling():
    users = assign_groups(users_of(400), "spring")
    scores = np.random.default_rng(1).normal(3, 1, 400) + 0.8 * (users["group"] == "B").to_numpy()
    table = pl.DataFrame({"user_id": users["user_id"], "score": scores})
    figures = survey_figures(tidy_survey(table, "s"), users.select("user_id", "cluster", "group"), 500, 0)
    assert figures["survey.all.B-A.low"] > 0 and figures["survey.all.B-A.detectable"] < 0.4
    same = table.with_columns(pl.lit(3.0).alias("score"))
    assert survey_figures(tidy_survey(same, "s"), users.select("user_id", "cluster", "group"), 100, 0)[
        "survey.all.B-A"
    ] == pytest.approx(0)


def test_a_survey_without_scores_or_users():
    with pytest.raises(InputError, match="no column of scores"):
        tidy_survey(pl.DataFrame({"user_id": ["a"]}), "s.csv")
    with pytest.raises(InputError, match="no column of users"):
        tidy_survey(pl.DataFrame({"score": [1]}), "s.csv")


def test_groups_are_stable_and_even_in_every_cluster():
    users = users_of(4000)
    groups = assign_groups(users, "spring", ("A", "B"))
    fewer = assign_groups(users.filter(pl.col("cluster") < 2), "spring")
    assert fewer.equals(groups.filter(pl.col("cluster") < 2))
    assert not assign_groups(users, "autumn")["group"].equals(groups["group"])
    for _, own in groups.group_by("cluster"):
        assert abs((own["group"] == "A").mean() - 0.5) < 0.06
    told = balance(groups)
    assert sum(told["users"].values()) == 4000 and told["largest gap in a cluster's share"] < 0.05
    for wrong in (("A",), ("A", "A")):
        with pytest.raises(SettingsError):
            assign_groups(users, "x", wrong)


@pytest.mark.parametrize(("first", "second"), [(60, 60), (40, 200)])
def test_the_smallest_detectable_difference_is_found_four_times_in_five(first, second):
    """Groups that truly differ by it: a test at 5 % finds the difference with a power of 80 %."""
    random = np.random.default_rng(8)
    found = []
    for _ in range(3000):
        a, b = random.normal(3, 1, first), random.normal(3, 1, second)
        error = np.sqrt(a.var(ddof=1) / first + b.var(ddof=1) / second)
        b = b + _detectable(a, b)
        found.append(abs(b.mean() - a.mean()) > 1.959964 * error)
    assert 0.76 < np.mean(found) < 0.84


def test_a_users_group_does_not_depend_on_who_else_is_there():
    users = users_of(300, 3)
    groups = assign_groups(users, "spring", ("A", "B", "C"))
    some = users.sample(fraction=0.4, seed=1, shuffle=True)
    again = assign_groups(some, "spring", ("A", "B", "C"))
    assert again.equals(some.select("user_id").join(groups, on="user_id", how="left", maintain_order="left"))
    # Within a cluster the shares are those of fair draws: no cluster is further off than four standard deviations.
    for _, own in groups.group_by("cluster"):
        counts = own["group"].value_counts()["count"].to_numpy()
        assert (np.abs(counts - own.height / 3) < 4 * np.sqrt(own.height * 2 / 9)).all()


def test_the_draws_of_two_clusters_are_independent():
    first = users_of(2000, 1)
    second = first.with_columns(cluster=pl.lit(1, first["cluster"].dtype))
    same = (assign_groups(first, "spring")["group"] == assign_groups(second, "spring")["group"]).mean()
    assert 0.45 < same < 0.55
