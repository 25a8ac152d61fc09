from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from uicgpu.errors import InputError
from uicgpu.events.interactions import Interactions
from uicgpu.profiles import build_profiles
from uicgpu.profiles.profile import rounded
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column

TEXTS = ["Green tea", "Black tea", "Tea pot", "Running shoe", "Trail running", "Running sock"]
CATEGORIES = ["Kitchen", "Kitchen", "Kitchen|Home", "Sport", "Sport", "Sport"]


@pytest.fixture
def parts(interactions):
    histories = [[0, 1], [1, 2], [0, 2], [0, 1, 2], [1], [0, 2], [3, 4], [4, 5], [3, 5], [3], [4, 3], [5, 4], [0, 5]]
    labels = np.array([0] * 6 + [1] * 6 + [2], np.int32)
    items = pl.DataFrame({Column.ITEM: [f"i{n}" for n in range(6)], Column.TEXT: TEXTS, Column.CATEGORY: CATEGORIES})
    return {
        "labels": labels,
        "interactions": interactions(histories, 6),
        "items": items,
        "centroids": np.array([[1, 0], [-1, 0], [0.9, 0.1]], np.float32),
        "silhouettes": np.array([0.5, 0.4, np.nan]),
        "confidence": np.full(13, 0.75, np.float32),
        "settings": Settings(k_anonymity=5, small_clusters="suppress"),
    }


def test_profiles_tell_what_each_cluster_is_about(parts):
    built = build_profiles(**parts)
    tea, sport, _ = built.profiles
    assert tea["terms"][0]["term"] == "tea"
    assert tea["name"] == "Kitchen & Tea" or tea["name"].startswith("Kitchen")
    assert sport["terms"][0]["term"] == "running"
    assert sport["categories"][0] == {
        "category": "Sport",
        "share": 1.0,
        "base_share": pytest.approx(0.5, abs=1e-3),
        "lift": pytest.approx(2.0, abs=1e-2),
        "lift_low": pytest.approx(2.0, abs=1e-2),
        "lift_high": pytest.approx(2.0, abs=1e-2),
    }
    assert tea["confidence"] == 0.75
    assert tea["activity"]["events"]["median"] == 2.0
    assert {item["item_id"] for item in tea["exemplar_items"]} <= {"i0", "i1", "i2"}
    assert tea["nearest"]["cluster"] == 1, "the suppressed cluster is nobody's neighbour"
    assert tea["nearest"]["other_terms"] == ["running"]


def test_small_clusters_are_suppressed(parts):
    single = build_profiles(**parts).profiles[2]
    assert single["suppressed"] and single["size"] is None and single["merged_into"] is None
    assert set(single) == {"cluster", "merged_into", "name", "share", "size", "suppressed"}
    assert single["name"] == "Cluster 3"


def test_small_clusters_are_merged_into_the_nearest(parts):
    parts["settings"] = Settings(k_anonymity=5)
    built = build_profiles(**parts)
    tea, sport, single = built.profiles
    assert single["suppressed"] and single["merged_into"] == 0 and single["name"] == tea["name"]
    assert tea["size"] == 5 and tea["share"] == pytest.approx(5 / 13, abs=1e-3), "7 users, as a multiple of five"
    assert built.publication == {
        "merged_clusters": 1,
        "merged_users": 1,
        "withheld_clusters": 0,
        "withheld_users": 0,
        "k": 5,
    }
    assert "1 small clusters with 1 users" in built.notes[0]
    assert built.clusters["size"].to_list() == [6, 6, 1]
    assert built.clusters["name"].to_list()[2] == tea["name"] != sport["name"]


def test_clusters_table_is_the_contract(parts):
    clusters = build_profiles(**parts).clusters
    assert clusters.schema == {
        "cluster": pl.Int32,
        "name": pl.String,
        "size": pl.Int64,
        "share": pl.Float64,
        "terms": pl.List(pl.String),
        "exemplar_items": pl.List(pl.String),
        "silhouette": pl.Float64,
        "row": pl.Int32,
    }
    assert clusters["cluster"].to_list() == clusters["row"].to_list() == [0, 1, 2]
    assert clusters["silhouette"].to_list() == [0.5, 0.4, None]
    assert clusters["terms"].to_list()[2] == []
    assert clusters["share"].sum() == pytest.approx(1.0, abs=1e-5)


def test_silhouettes_may_come_from_json(parts):
    again = build_profiles(**(parts | {"silhouettes": [0.5, 0.4, None]}))
    assert again.clusters["silhouette"].to_list() == [0.5, 0.4, None]


def test_profiles_are_json_with_sorted_keys_and_without_nan(parts):
    text = json.dumps(build_profiles(**parts).profiles, allow_nan=False)
    assert text == json.dumps(json.loads(text), sort_keys=True)
    assert rounded({"a": np.float64(1 / 3), "b": np.int32(2)}) == {"a": 0.333, "b": 2}


def test_noise_has_a_row_only_when_present(parts):
    parts["labels"] = np.array([0] * 6 + [-1] * 7, np.int32)
    parts["centroids"] = parts["centroids"][:1]
    built = build_profiles(**parts)
    assert built.clusters["cluster"].to_list() == [0, -1]
    assert built.clusters["name"].to_list()[1] == "Unassigned"
    assert built.clusters["row"].to_list() == [0, None]
    assert built.profiles[1]["nearest"] is None


def test_the_order_of_users_changes_nothing(parts):
    made = parts["interactions"]
    order = np.random.default_rng(1).permutation(made.n_users)
    histories = [made.history(int(user)).tolist() for user in order]
    items = np.array([item for history in histories for item in history], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    shuffled = Interactions(
        offsets, items, made.weights, made.events, made.first_times, made.last_times, made.n_users, made.n_items
    )
    again = build_profiles(**(parts | {"interactions": shuffled, "labels": parts["labels"][order]}))
    assert again.profiles == build_profiles(**parts).profiles


def test_behaviour_and_attributes_stand_beside_the_base_rate(parts):
    ids = [f"u{n:02}" for n in range(13)]
    behaviour = pl.DataFrame(
        {
            Column.USER: ids,
            "events": [1.0] * 6 + [4.0] * 7,
            "log_events": [0.0] * 13,
            "recency_days": [10.0] * 6 + [2.0] * 7,
            "value_mean": [None, *range(12)],
            "kind_share.view": [0.9] * 6 + [0.5] * 7,
            "kind_share.buy": [0.1] * 6 + [0.5] * 7,
        }
    )
    attributes = pl.DataFrame(
        {
            Column.USER: ids,
            "country": ["de"] * 5 + ["fr"] * 8,
            "email": [f"{user}@example.org" for user in ids],
            "age": [20 + n for n in range(13)],
        }
    ).with_columns(pl.Series("secret", [f"name {n}" for n in range(13)]))
    built = build_profiles(**parts, behaviour=behaviour, attributes=attributes)
    first, second, _ = built.profiles
    assert first["activity"]["events"] | {"base_mean": 0} == {
        "base_mean": 0,
        "base_median": 4.0,
        "mean": 1.0,
        "median": 1.0,
    }
    assert first["recency"]["median"] == 10.0 and second["recency"]["median"] == 2.0
    assert first["kinds"][0] == {
        "kind": "view",
        "share": 0.9,
        "base_share": 0.685,
        "lift": 1.31,
    }
    assert "log_events" not in first["behaviour"]
    assert first["attributes"]["country"]["values"][0]["value"] == "de"
    assert first["attributes"]["age"]["mean"] == 22.5
    told = json.dumps(built.profiles)
    assert "example.org" not in told and "name 1" not in told, "values of fewer than five users are not published"


def test_language_of_plain_names(parts):
    parts["settings"] = Settings(language="zh", k_anonymity=5, small_clusters="suppress")
    assert build_profiles(**parts).profiles[2]["name"] == "群组 3"


def test_unnamed_words_stay_in_the_profile_and_make_no_name(parts):
    items = parts["items"].with_columns(pl.Series(Column.CATEGORY, ["Ecchi|Kitchen"] * 3 + ["Sport"] * 3))
    settings = Settings(k_anonymity=5, small_clusters="suppress")
    tea = build_profiles(**(parts | {"items": items})).profiles[0]
    assert "Ecchi" in {entry["category"] for entry in tea["categories"]}
    assert "Ecchi" not in tea["name"] and "Kitchen" in tea["name"]
    barred = settings.model_copy(update={"unnamed_words": ("KITCHEN", "tea")})
    other = build_profiles(**(parts | {"items": items, "settings": barred})).profiles[0]
    assert other["name"].startswith("Ecchi") and not {"Kitchen", "Tea"} & set(other["name"].split())
    assert other["terms"] == tea["terms"] and other["categories"] == tea["categories"]


def test_how_a_thing_comes_is_no_name_beside_a_category(parts):
    texts = ["Ounce pack", "Pack ounce", "Ounce pack two", "Running shoe", "Trail running", "Running sock"]
    items = parts["items"].with_columns(pl.Series(Column.TEXT, texts))
    assert build_profiles(**(parts | {"items": items})).profiles[0]["name"] == "Kitchen"
    bare = items.with_columns(pl.lit(None, pl.String).alias(Column.CATEGORY))
    assert build_profiles(**(parts | {"items": bare})).profiles[0]["name"] == "Ounce Pack"


@pytest.mark.parametrize("users", [0, 1])
def test_no_user_and_one_user(interactions, users):
    made = interactions([[0]] * users, 1)
    items = pl.DataFrame(
        {Column.ITEM: ["i"], Column.TEXT: ["tea"], Column.CATEGORY: pl.Series([None], dtype=pl.String)}
    )
    built = build_profiles(np.zeros(users, np.int32), made, items)
    assert len(built.profiles) == users == built.clusters.height


def test_parts_of_different_runs_are_refused(parts):
    with pytest.raises(InputError, match="one row per user"):
        build_profiles(**(parts | {"labels": parts["labels"][:-1]}))
    with pytest.raises(InputError, match="6 items"):
        build_profiles(**(parts | {"items": parts["items"].head(3)}))


def test_personal_data_in_texts_does_not_reach_profiles(parts):
    texts = [f"{text} jane.doe@example.org +44 20 7946 0958" for text in TEXTS]
    built = build_profiles(**(parts | {"items": parts["items"].with_columns(pl.Series(Column.TEXT, texts))}))
    told = json.dumps(built.profiles) + json.dumps(built.clusters.to_dicts())
    assert "jane" not in told and "7946" not in told


def test_films_of_real_users(shared_data):
    ratings = pl.read_csv(shared_data / "movielens-latest-small" / "ratings.csv").filter(pl.col("rating") >= 3.5)
    films = pl.read_csv(shared_data / "movielens-latest-small" / "movies.csv")
    users = ratings["userId"].unique().sort()
    table = ratings.select(pl.col("movieId").unique().sort()).join(films, on="movieId", how="left")
    user = np.searchsorted(users.to_numpy(), ratings["userId"].to_numpy())
    item = np.searchsorted(table["movieId"].to_numpy(), ratings["movieId"].to_numpy())
    order = np.lexsort((item, user))
    offsets = np.searchsorted(user[order], np.arange(len(users) + 1)).astype(np.int64)
    ones = np.ones(order.size, np.float32)
    times = ratings["timestamp"].to_numpy()[order] * 1_000_000
    made = Interactions(
        offsets, item[order].astype(np.int32), ones, ones.astype(np.int32), times, times, len(users), table.height
    )
    items = table.select(
        pl.col("movieId").cast(pl.String).alias(Column.ITEM),
        pl.col("title").alias(Column.TEXT),
        pl.col("genres").alias(Column.CATEGORY),
    )
    # Two groups whose taste is known: the users who watched most children's films, and the rest.
    children = np.asarray(made.matrix() @ items[Column.CATEGORY].str.contains("Children").to_numpy().astype(float))
    labels = np.where(children / np.maximum(made.user_counts, 1) > 0.12, 1, 0).astype(np.int32)
    built = build_profiles(labels, made, items)
    family = built.profiles[1]
    lifts = {entry["category"]: entry["lift"] for entry in family["categories"]}
    assert lifts["Children"] == max(lifts.values()) > 1.5
    assert "Children" in family["name"] or "Animation" in family["name"]
    assert "toy story" in {term["term"] for term in family["terms"]} | {
        i["text"][:9].lower() for i in family["exemplar_items"]
    }
