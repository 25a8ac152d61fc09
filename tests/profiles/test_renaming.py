"""Profiles under ids that go on from a former run."""

import polars as pl

from uicgpu.profiles.profile import Profiles
from uicgpu.profiles.renaming import rename_clusters


def built(language="en"):
    number = {"en": "Cluster {}", "zh": "群组 {}"}[language].format
    profiles = [
        {
            "cluster": 0,
            "name": "Tea",
            "merged_into": None,
            "nearest": {"cluster": 1, "name": number(2), "similarity": 0.5},
            "super_cluster": {"id": 0, "name": number(1), "clusters": [0, 1]},
        },
        {"cluster": 1, "name": number(2), "merged_into": None, "nearest": None},
        {"cluster": 2, "name": "Tea", "merged_into": 0},
        {"cluster": -1, "name": "Unassigned", "merged_into": None},
    ]
    table = pl.DataFrame(
        {
            "cluster": [0, 1, 2, -1],
            "name": ["Tea", number(2), "Tea", "Unassigned"],
            "row": [0, 1, 2, None],
        },
        schema_overrides={"cluster": pl.Int32, "row": pl.Int32},
    )
    return Profiles(profiles, table, {"merged_clusters": 1})


def test_every_mention_of_a_cluster_follows():
    told = rename_clusters(built(), [5, 0, 3], "en")
    assert [profile["cluster"] for profile in told.profiles] == [5, 0, 3, -1]
    assert [profile["name"] for profile in told.profiles] == ["Tea", "Cluster 1", "Tea", "Unassigned"]
    assert told.profiles[2]["merged_into"] == 5
    assert told.profiles[0]["nearest"] == {"cluster": 0, "name": "Cluster 1", "similarity": 0.5}
    # the number in a super-cluster's name is that of the super-cluster
    assert told.profiles[0]["super_cluster"] == {"id": 0, "name": "Cluster 1", "clusters": [5, 0]}
    assert told.clusters["cluster"].to_list() == [5, 0, 3, -1]
    assert told.clusters["name"].to_list() == ["Tea", "Cluster 1", "Tea", "Unassigned"]
    assert told.clusters["row"].to_list() == [0, 1, 2, None]


def test_ids_that_are_the_rows_change_nothing():
    same = rename_clusters(built(), [0, 1, 2], "en")
    assert same.profiles == built().profiles and same.clusters.equals(built().clusters)
    assert same.clusters.schema == built().clusters.schema


def test_numbered_names_follow_in_chinese():
    assert rename_clusters(built("zh"), [5, 8, 3], "zh").profiles[1]["name"] == "群组 9"


def test_what_was_given_is_left_as_it_was():
    first = built()
    rename_clusters(first, [5, 0, 3], "en")
    assert first.profiles == built().profiles
