import json
import random
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uicgpu.errors import InputError, SettingsError
from uicgpu.events.clean import clean_events
from uicgpu.settings import Settings

HEADER = "user_id,item_id,timestamp,event,rating\n"
SMALL = (
    HEADER + "u2,b,2020-01-03 06:00:00,view,4\n" + "u1,a,2020-01-01 12:00:00,view,5\n" + "u1,b,2020-01-02,buy,3\n"
    "u1,a,2020-01-03 12:00:00,buy,\n"
)


def test_the_outputs_of_a_small_table(clean):
    notes = []
    cleaned = clean(SMALL, notes=notes, kind_weights="buy=4")
    day = 86_400_000_000
    start = 18_262 * day  # 2020-01-01
    assert cleaned.kind_names == ("buy", "view")
    assert cleaned.events.schema == {
        "user": pl.Int32,
        "item": pl.Int32,
        "time": pl.Int64,
        "kind": pl.Int32,
        "value": pl.Float32,
        "weight": pl.Float32,
    }
    assert cleaned.events.rows() == [
        (0, 0, start + day // 2, 1, 5.0, 1.0),
        (0, 1, start + day, 0, 3.0, 4.0),
        (0, 0, start + 5 * day // 2, 0, None, 4.0),
        (1, 1, start + 2 * day + day // 4, 1, 4.0, 1.0),
    ]
    assert cleaned.interactions.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "weight": pl.Float32,
        "events": pl.Int32,
        "first_time": pl.Datetime("us"),
        "last_time": pl.Datetime("us"),
    }
    assert cleaned.interactions.rows()[0] == (
        "u1",
        "a",
        5.0,
        2,
        datetime(2020, 1, 1, 12),
        datetime(2020, 1, 3, 12),
    )
    assert cleaned.event_items.rows() == [("a", None, None), ("b", None, None)]
    assert cleaned.behaviour["user_id"].to_list() == ["u1", "u2"]
    assert cleaned.rejected.schema == {"source": pl.String, "row": pl.Int64, "reason": pl.String, "sample": pl.String}
    assert cleaned.labels is None
    facts = cleaned.facts
    assert (facts["rows_read"], facts["events_kept"], facts["users"], facts["items"], facts["pairs"]) == (4, 4, 2, 2, 3)
    assert facts["time_range"] == ["2020-01-01T12:00:00Z", "2020-01-03T12:00:00Z"]
    assert facts["columns"]["kind"] == "event"
    assert json.loads(json.dumps(facts)) == facts
    assert notes[0] == "event columns: user = user_id, item = item_id, time = timestamp, kind = event, value = rating"


def test_decay_hand_worked(clean):
    """Half-life 1 day, latest event 2020-01-03 12:00: 1 * 2^-2 + 4 * 2^0; the other pairs 4 * 2^-1.5 and 2^-0.25."""
    weights = clean(SMALL, kind_weights="buy=4", half_life=1).interactions["weight"].to_list()
    assert weights == pytest.approx([4.25, 4 * 2**-1.5, 2**-0.25], rel=1e-6)


def test_events_without_time_do_not_decay_and_come_first(clean):
    cleaned = clean("user_id,item_id,time\nu,a,2020-01-02\nu,b,\nu,c,2020-01-01\n", half_life=1)
    assert cleaned.events["item"].to_list() == [1, 2, 0]
    assert cleaned.interactions["weight"].to_list() == [1.0, 1.0, 0.5]
    assert cleaned.interactions["last_time"].null_count() == 1
    assert cleaned.facts["events_without_time"] == 1


def outputs(cleaned):
    return {
        name: getattr(cleaned, name).to_dicts() for name in ("events", "interactions", "event_items", "behaviour")
    } | {"labels": None if cleaned.labels is None else cleaned.labels.to_dicts()}


EVENT = st.tuples(
    st.sampled_from(["u1", "u2", "u3", "10"]),
    st.sampled_from(["a", "b", "c", "9"]),
    st.sampled_from(["2020-01-01", "2020-01-01 10:30", "2020-02-01", "1577836800", ""]),
    st.sampled_from(["view", "buy", ""]),
    st.sampled_from(["1", "2", "-1", "0.1", "0.2", "-0.3", ""]),
    st.sampled_from(["Red  Box", "RED BOX", "red box", ""]),
    st.sampled_from(["North", "South", ""]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=25), st.randoms(use_true_random=False), st.integers(1, 3))
def test_neither_the_order_of_rows_nor_their_files_matter(tmp_path_factory, backend, rows, chooser, n_files):
    names = ["user_id", "item_id", "time", "event", "quantity", "title", "area"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    folder = tmp_path_factory.mktemp("order")
    shuffled = list(range(len(rows)))
    chooser.shuffle(shuffled)
    frame.write_csv(folder / "whole.csv")
    parts = [part for part in (frame[shuffled][number::n_files] for number in range(n_files)) if part.height]
    for number, part in enumerate(parts):
        # A file with only some of the time forms still reads them the same way.
        part.write_csv(folder / f"part{number}.csv")
    found = []
    for pattern in ("whole.csv", "part*.csv"):
        chosen = Settings(events=[str(folder / pattern)], label_column="area", half_life=3.0)
        try:
            found.append(outputs(clean_events(chosen, backend, folder / "scratch", lambda _: None)))
        except InputError as error:
            found.append({"error": error.message.split(" of ")[0]})
    assert found[0] == found[1]


def test_an_event_told_twice_with_different_words_does_not_depend_on_which_came_first(tmp_path, backend):
    rows = [("u", "a", "2020-01-01", "buy", "1", title, area) for title, area in (("Red", "South"), ("Blue", "North"))]
    names = ["user_id", "item_id", "time", "event", "quantity", "title", "area"]
    found = []
    for number, order in enumerate((rows, rows[::-1])):
        pl.DataFrame(order, schema=names, orient="row").write_csv(tmp_path / f"{number}.csv")
        chosen = Settings(events=[str(tmp_path / f"{number}.csv")], label_column="area")
        found.append(outputs(clean_events(chosen, backend, tmp_path / "scratch", lambda _: None)))
    assert found[0] == found[1]
    assert len(found[0]["events"]) == 1 and found[0]["labels"] == [{"user_id": "u", "label": "North"}]
    assert found[0]["event_items"][0]["text"] == "Blue"


def test_csv_parquet_and_json_give_the_same(tmp_path, backend):
    rows = [
        {"user_id": 7, "item_id": 1.0, "timestamp": 1577836800, "rating": 4.5, "title": "A"},
        {"user_id": 8, "item_id": 2.0, "timestamp": 1577923200, "rating": 1.0, "title": "B"},
        {"user_id": 8, "item_id": 3.0, "timestamp": 1577923201, "rating": None, "title": None},
    ]
    frame = pl.DataFrame(rows)
    frame.write_csv(tmp_path / "e.csv")
    frame.write_csv(tmp_path / "e.tsv", separator="\t")
    frame.write_ndjson(tmp_path / "e.jsonl")
    frame.write_parquet(tmp_path / "e.parquet")
    frame.with_columns(pl.from_epoch("timestamp")).write_parquet(tmp_path / "e2.parquet")
    frame.with_columns(pl.col("title").cast(pl.Categorical)).write_parquet(tmp_path / "e3.parquet")
    found = [
        outputs(clean_events(Settings(events=[str(tmp_path / name)]), backend, None, lambda _: None))
        for name in ("e.csv", "e.tsv", "e.jsonl", "e.parquet", "e2.parquet", "e3.parquet")
    ]
    assert all(one == found[0] for one in found)
    assert [row["item_id"] for row in found[0]["event_items"]] == ["1", "2", "3"]


def test_mixed_types_over_files(tmp_path, backend):
    pl.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "value": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"user_id": ["1", "x"], "item_id": ["c", "a"], "value": [0.5, 3.0]}).write_parquet(
        tmp_path / "b.parquet"
    )
    pl.DataFrame({"user_id": [1.0, None], "item_id": ["d", "a"]}).write_parquet(tmp_path / "c.parquet")
    cleaned = clean_events(Settings(events=[str(tmp_path)]), backend, None, lambda _: None)
    assert cleaned.interactions.select("user_id", "item_id").rows() == [
        ("1", "a"),
        ("1", "c"),
        ("1", "d"),
        ("2", "b"),
        ("x", "a"),
    ]
    assert cleaned.rejected.select("source", "row", "reason").rows() == [("c.parquet", 2, "missing user")]


def test_files_may_differ_in_their_time_unit(tmp_path, backend):
    (tmp_path / "a.csv").write_text("user_id,item_id,ts\nu,a,1577836800\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,ts\nu,a,1577836800000\n")
    notes = []
    cleaned = clean_events(Settings(events=[str(tmp_path)]), backend, None, notes.append)
    assert cleaned.rejected["reason"].to_list() == ["duplicate"]
    assert cleaned.rejected["source"].to_list() == ["b.csv"]
    assert any("files differ in the form of their times: ms, s" in note for note in notes)


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "1e400", "five", "4,5"])
def test_values_that_are_no_numbers_are_refused(cell, clean):
    cleaned = clean(f'user_id,item_id,rating\nu,a,"{cell}"\nu,b,4\n')
    assert cleaned.rejected.select("row", "reason").rows() == [(1, "value not a number")]
    assert f"value={cell}" in cleaned.rejected["sample"][0]


def test_nan_and_infinite_values_of_parquet_are_refused(tmp_path, backend):
    values = [float("nan"), float("inf"), None, 2.0]
    pl.DataFrame({"user_id": ["u"] * 4, "item_id": list("abcd"), "rating": values}).write_parquet(
        tmp_path / "e.parquet"
    )
    cleaned = clean_events(Settings(events=[str(tmp_path)]), backend, None, lambda _: None)
    assert cleaned.rejected["row"].to_list() == [1, 2]
    assert cleaned.events["value"].to_list() == [None, 2.0]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xef\xbb\xbfuser_id,item_id\r\nu,a\r\nv,b\r\n", "bom-crlf.csv"),
        ("user_id,item_id\nu,a\nv,b\n".encode("utf-16"), "utf16.csv"),
        (b"user_id,item_id\n\x00u\x00,a\nv,b\x00\n", "nul.csv"),
        (b"user_id;item_id\n u ;a\nv;b", "semicolon.csv"),
        (b'user_id\titem_id\nu\ta\n"v"\tb\n', "tab.tsv"),
        (b"user_id:token\titem_id:token\nu\ta\nv\tb\n", "atomic.inter"),
        (b'{"user_id": "u", "item_id": "a"}\nbad\n{"user_id": "v", "item_id": "b"}\n', "bad-line.jsonl"),
        (b"user_id,item_id\nu,a\nv,b\nragged\n", "ragged.csv"),
    ],
)
def test_files_with_quirks_are_read(content, name, clean):
    assert clean(content, name).interactions.select("user_id", "item_id").rows() == [("u", "a"), ("v", "b")]


@pytest.mark.parametrize(
    ("content", "rows"),
    [("u,a,2020-01-01", 1), ("u,a,2020-01-01\n" * 5, 5), ("u,a,\nu,b,\nu,c,", 3), ("u,a,\nv,a,\nw,a,", 3)],
)
def test_one_row_one_user_one_item_and_all_duplicates_complete(content, rows, clean):
    cleaned = clean("user_id,item_id,time\n" + content + "\n")
    assert cleaned.facts["rows_read"] == rows
    assert cleaned.facts["events_kept"] + sum(cleaned.facts["rejected"].values()) == rows
    assert cleaned.behaviour.null_count().sum_horizontal().item() == 0
    assert np.isfinite(cleaned.behaviour.drop("user_id").to_numpy()).all()


def test_nothing_left_says_what_was_refused(clean):
    with pytest.raises(InputError, match=r"no event is left of 3 rows \(missing item: 2, missing user: 1\)") as caught:
        clean("user_id,item_id\n,a\nu,\nv,\n")
    assert caught.value.where == "events.csv"


def test_an_unreadable_time_column_shows_samples(clean):
    with pytest.raises(InputError, match="2 of 3 times cannot be read, such as 'noon', 'May 5'") as caught:
        clean("user_id,item_id,time\nu,a,noon\nu,b,May 5\nu,c,2020-01-01\n")
    assert caught.value.where == "events.csv, row 1, column time"
    assert "epoch seconds" in caught.value.fix


def test_an_ambiguous_date_column_is_an_error(clean):
    with pytest.raises(InputError, match="times cannot be read, such as '1/2/2020'"):
        clean("user_id,item_id,date\nu,a,1/2/2020\nu,b,3/4/2020\n")


def test_a_time_of_day_is_no_time(tmp_path, backend):
    pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "time": [datetime(2020, 1, 1, 5).time()]}).write_parquet(
        tmp_path / "e.parquet"
    )
    with pytest.raises(InputError, match="column time holds Time, not a date"):
        clean_events(Settings(events=[str(tmp_path)]), backend, None, lambda _: None)


def test_nested_parquet_columns_are_refused(tmp_path, backend):
    pl.DataFrame({"user_id": ["u"], "item_id": [["a", "b"]]}).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=r"column item_id holds List\(String\), not plain values"):
        clean_events(Settings(events=[str(tmp_path)]), backend, None, lambda _: None)


def test_a_file_of_another_kind_among_the_events_is_named(tmp_path, backend):
    (tmp_path / "ratings.csv").write_text("user_id,item_id\nu,a\n")
    (tmp_path / "movies.csv").write_text("item_id,title\na,A\n")
    with pytest.raises(InputError, match="no column user_id in this file") as caught:
        clean_events(Settings(events=[str(tmp_path)]), backend, None, lambda _: None)
    assert caught.value.where.startswith("movies.csv")


@pytest.mark.parametrize("position", [30, 120, 300])
def test_a_parquet_file_with_damaged_pages_is_named_or_read(position, tmp_path, backend):
    path = tmp_path / "e.parquet"
    frame = pl.DataFrame({"user_id": [f"u{n}" for n in range(500)], "item_id": [f"i{n % 7}" for n in range(500)]})
    frame.write_parquet(path)
    content = bytearray(path.read_bytes())
    content[position : position + 40] = bytes(40)
    path.write_bytes(content)
    try:
        clean_events(Settings(events=[str(path)]), backend, None, lambda _: None)
    except InputError as error:
        assert error.where == "e.parquet"


def test_a_pattern_that_the_engine_lacks_is_a_settings_error(clean):
    with pytest.raises(SettingsError, match="look-around"):
        clean("user_id,item_id\nu,a\n", item_pattern="(?=a)")


def test_composite_users_and_labels(clean):
    cleaned = clean(
        "user_id,category,item_id\n1,Toys,a\n1,Toys,b\n1,Books,a\n2,Toys,a\n2,,a\n",
        user_column="user_id,category",
        label_column="category",
    )
    assert cleaned.behaviour["user_id"].to_list() == ["1|Books", "1|Toys", "2|Toys"]
    assert cleaned.labels.rows() == [("1|Books", "Books"), ("1|Toys", "Toys"), ("2|Toys", "Toys")]
    assert cleaned.rejected["reason"].to_list() == ["missing user"]


def test_a_label_is_the_most_frequent_and_ties_go_to_the_first(clean):
    cleaned = clean("user_id,item_id,area\nu,a,S\nu,b,N\nu,c,\nv,a,S\nv,b,S\nv,c,N\nw,a,\n", label_column="area")
    assert cleaned.labels.rows() == [("u", "N"), ("v", "S")]


def test_a_label_of_the_user_table_is_not_looked_for_in_the_events(clean):
    assert clean("user_id,item_id\nu,a\n", label_column="plan", users=["u.csv"]).labels is None
    with pytest.raises(InputError, match="--label-column: no column 'plan'"):
        clean("user_id,item_id\nu,a\n", label_column="plan")


def test_item_texts_of_the_events(clean):
    cleaned = clean(
        "user_id,item_id,Description,genres\n"
        "u,1,PINK  BOX,B|A\nv,1, PINK BOX ,B|A\nw,1,RED BOX,\nu,2,BLUE BOX,(no genres listed)\nv,2,ART BOX,C\nu,3,,\n"
    )
    assert cleaned.event_items.rows() == [("1", "Pink box", "B|A"), ("2", "Art box", "C"), ("3", None, None)]


def test_a_text_of_a_megabyte_is_kept(clean):
    long = "word " * 250_000
    assert len(clean(f"user_id,item_id,title\nu,a,{long}\nu,b,x\n").event_items["text"][0]) == len(long) - 1


def test_hints(clean):
    notes = []
    items = "".join(f"u,{number},1\n" for number in range(10_000, 10_200))
    clean("user_id,item_id,rating\nu,POST,0.5\nu,M,5\n" + items, notes=notes, kind_weights="click=2")
    assert any("consider --min-value 3.5" in note for note in notes)
    assert any("M, POST" in note and "--item-pattern '^[0-9]{5}'" in note for note in notes)
    assert any("kinds that do not occur: click; kinds present: no kind column" in note for note in notes)
    notes.clear()
    clean("user_id,item_id,event,rating\nu,a,View,3\nu,b,buy,7\n", notes=notes, kind_weights="Vew=2")
    assert any("do not occur: vew; kinds present: buy, view" in note for note in notes)
    assert not any("min-value" in note for note in notes)


def test_a_column_with_countless_kinds_is_a_mistake(clean, monkeypatch):
    monkeypatch.setattr("uicgpu.events.survey.MOST_KINDS", 2)
    with pytest.raises(InputError, match="column event has 3 different kinds"):
        clean("user_id,item_id,event\nu,a,x\nu,a,y\nu,a,z\n")


def test_staged_files_of_a_temporary_folder_are_removed(tmp_path, backend, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "e.csv").write_text("user_id,item_id\nu,a\n")
    clean_events(Settings(events=[str(tmp_path / "e.csv")]), backend, None, lambda _: None)
    assert not list((tmp_path / "temporary").iterdir())


def test_many_small_files(tmp_path, backend):
    chooser = random.Random(5)
    for number in range(40):
        rows = "".join(f"u{chooser.randint(0, 9)},i{chooser.randint(0, 9)}\n" for _ in range(5))
        (tmp_path / f"{number:02d}.csv").write_text("user_id,item_id\n" + rows)
    cleaned = clean_events(Settings(events=[str(tmp_path)]), backend, None, lambda _: None)
    assert cleaned.facts["rows_read"] == 200
    assert cleaned.events.height + cleaned.rejected.height == 200
