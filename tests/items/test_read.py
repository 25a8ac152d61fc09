import json

import polars as pl
import pytest

from uicgpu.errors import InputError
from uicgpu.items.read import read_items
from uicgpu.settings import Settings


def event_items(ids, texts=None, categories=None):
    nothing = [None] * len(ids)
    return pl.DataFrame(
        {"item_id": ids, "text": texts or nothing, "category": categories or nothing},
        schema={"item_id": pl.String, "text": pl.String, "category": pl.String},
    )


@pytest.fixture
def read(tmp_path):
    def read_text(content, ids=("1", "2"), name="items.csv", notes=None, **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        said = notes if notes is not None else []
        keywords = {key: settings.pop(key) for key in ("event_item_column", "texts_needed") if key in settings}
        return read_items(Settings(items=[str(path)], **settings), event_items(list(ids)), said.append, **keywords)

    return read_text


def test_items_of_the_events_come_first_then_the_rest_by_id(read):
    table = read("item_id,title,genres\n9,Nine,A|B\n10,Ten,\n2,Two,C\n", ids=("1", "2", "9"))
    strings = dict.fromkeys(("item_id", "title", "text", "category"), pl.String)
    assert table.items.schema == {**strings, "row": pl.Int32}
    assert table.items.rows() == [
        ("1", "", "", None, 0),
        ("2", "Two", "Two. C", "C", 1),
        ("9", "Nine", "Nine. A, B", "A|B", 2),
        ("10", "Ten", "Ten", None, 3),
    ]
    facts = table.facts
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["items"], facts["items_with_events"], facts["items_without_text"]) == (4, 3, 1)
    assert (facts["event_items_described"], facts["distinct_texts"], facts["items_with_category"]) == (2, 4, 2)
    assert facts["columns"] == {"item": "item_id", "texts": ["title"], "category": "genres"}


def test_ids_are_written_as_in_the_events(read):
    assert read("item_id,title\n1.0,One\n 2 ,Two\n").items["text"].to_list() == ["One", "Two"]


def test_the_choice_of_columns_is_said(read):
    notes = []
    read('anime_ids,zh,name,genre_zh,genre\n1,一,One,甲、乙,"A, B"\n2,二,Two,甲,A\n', notes=notes)
    assert notes == ["item columns: item = anime_ids, texts = name, category = genre"]
    table = read(
        "anime_ids,zh,name,genre_zh,genre\n1,一,One,甲、乙,A\n2,二,Two,甲,A\n",
        text_columns="zh",
        category_column="genre_zh",
    )
    assert table.items["text"].to_list() == ["一。甲、乙", "二。甲"]
    assert table.items["category"].to_list() == ["甲|乙", "甲"]


def test_title_and_description_are_joined(read):
    table = read("id,description,title\n1,It is red,Box\n2,,Ball\n")
    assert table.items["text"].to_list() == ["Box. It is red", "Ball"]


def test_recbole_word_sequences_are_split_by_space(read):
    table = read(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tComedy War\n2\tX\t\n", name="m.item"
    )
    assert table.items.rows()[0][2:4] == ("Toy Story. Comedy, War", "Comedy|War")


def test_repeated_and_missing_ids(read):
    table = read("item_id,title\n1,One\n1,One\n2,Two\n,Nobody\n1,Uno\nnull,x\n" + "y" * 1001 + ",z\n")
    assert table.items["text"].to_list() == ["One", "Two"]
    assert table.rejected.rows() == [
        ("items.csv", 4, "missing item", "Nobody"),
        ("items.csv", 5, "duplicate item", "1, Uno"),
        ("items.csv", 6, "missing item", "x"),
        ("items.csv", 7, "id too long", "y" * 160 + ", z"),
    ]
    assert table.facts["repeated_rows"] == 1


def test_bad_lines_are_refused_together_with_rows(read):
    table = read("item_id,title\n1,One\n2,Two,2\n2,Two\n1,Uno\n")
    assert table.rejected.select("row", "reason").rows() == [(2, "wrong number of fields"), (4, "duplicate item")]


def test_several_files_keep_the_first_by_file_and_row(tmp_path):
    (tmp_path / "b.csv").write_text("item_id,title\n1,From b\n2,Two\n")
    (tmp_path / "a.jsonl").write_text('{"item_id": 1, "title": "From a", "x": {"y": 1}}\n')
    table = read_items(Settings(items=[str(tmp_path)]), event_items(["1", "2"]), lambda _: None)
    assert table.items["text"].to_list() == ["From a", "Two"]
    assert table.rejected["source"].to_list() == ["b.csv"]


def test_lists_of_parquet_are_categories(tmp_path):
    frame = pl.DataFrame({"item_id": [1, 2], "title": ["A", "B"], "genres": [["x", None, "y"], []]})
    frame.write_parquet(tmp_path / "i.parquet")
    table = read_items(Settings(items=[str(tmp_path)]), event_items(["1", "2"]), lambda _: None)
    assert table.items["category"].to_list() == ["x|y", None]


def test_texts_of_any_kind(read):
    long = "word " * 250_000
    table = read(f'item_id,title\n1,{long}\n2,"a\nb 👋 مرحبا"\n3,\n', ids=("1", "2", "3"))
    assert len(table.items["text"][0]) == len(long) - 1
    assert table.items["text"].to_list()[1:] == ["a b 👋 مرحبا", ""]
    surrogate = b'{"item_id": 1, "title": "a\\ud800b"}\n{"item_id": 2, "title": "c\\u0000d", "z": [1]}\n'
    assert read(surrogate, name="s.jsonl").items["text"].to_list() == ["ab", "cd"]


def test_no_matching_id_shows_both_sides(read):
    with pytest.raises(InputError, match="events have ids like '9'; items have ids like 'a'") as caught:
        read("item_id,title\na,A\nb,B\n")
    assert "--item-id-column" in caught.value.fix
    assert caught.value.where == "items.csv, column item_id"


def test_a_low_match_is_said(read):
    notes = []
    read("item_id,title\n1,A\nb,B\n", ids=("1", "2", "3"), notes=notes)
    assert any("only 1 of the 3 items" in note for note in notes)
    assert any("2 of 4 items have no text" in note for note in notes)


def test_item_files_alone(read):
    table = read("item_id,title\nb,B\na,A\n", ids=())
    assert table.items["item_id"].to_list() == ["a", "b"]


def test_the_texts_of_the_events_serve_without_item_files():
    given = event_items(["1", "2"], ["Pink box", None], ["A|B", "C"])
    table = read_items(Settings(events=["e.csv"]), given, lambda _: None)
    assert table.items.rows() == [("1", "Pink box", "Pink box. A, B", "A|B", 0), ("2", "", "C", "C", 1)]


def test_no_text_at_all_says_what_to_add(read):
    with pytest.raises(InputError, match="the events carry none") as caught:
        read_items(Settings(events=["e.csv"]), event_items(["1"]), lambda _: None)
    assert "--items FILE" in caught.value.fix
    assert read_items(Settings(), event_items(["1"]), lambda _: None, texts_needed=False).items["text"].to_list() == [
        ""
    ]
    with pytest.raises(InputError, match="the chosen text columns are empty"):
        read("item_id,title\n1,\n2,\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("item_id,title\n", "a header and no rows"),
        ("item_id\n1\n", "only one column"),
        ("item_id,weight\n1,2\n", "no column with the items' text"),
        ("title,genres\n1,2\n", "no column with the item id"),
        ("asin,parent_asin,title\n1,2,3\n", "asin, parent_asin"),
        ("item_id,title\n,x\n", "no row has an id"),
    ],
)
def test_bad_files(content, message, read):
    with pytest.raises(InputError, match=message):
        read(content)


def test_the_events_column_settles_which_id(read):
    table = read("asin,parent_asin,title\nx,1,A\ny,2,B\n", event_item_column="parent_asin")
    assert table.items["text"].to_list() == ["A", "B"]


def test_a_wrong_flag_names_the_nearest_column(read):
    with pytest.raises(InputError, match="--text-columns: no column 'titel'") as caught:
        read("item_id,title\n1,A\n", text_columns="titel")
    assert caught.value.fix == "did you mean --text-columns title?"


def test_real_item_files(shared_data):
    movies = Settings(items=[str(shared_data / "movielens-latest-small/movies.csv")])
    table = read_items(movies, event_items(["1"]), lambda _: None)
    assert table.items.height == 9_125
    assert table.items["text"][0] == "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy"
    assert table.items["category"].null_count() == 18
    anime = str(shared_data / "anime-zh/items_zh.csv")
    table = read_items(Settings(items=[anime]), event_items(["1723"]), lambda _: None)
    assert table.items.height == 3_713
    assert table.items["text"][0] == "Kimi no Na wa. Drama, Romance, School, Supernatural"
    chinese = Settings(items=[anime], text_columns="zh", category_column="genre_zh")
    table = read_items(chinese, event_items(["1723"]), lambda _: None)
    assert table.items["text"][0] == "你的名字。剧情、恋爱、校园、超自然"
    assert not table.items["text"].str.contains("&[a-z#0-9]+;").any()
