import pytest

from uicgpu.errors import InputError
from uicgpu.events.columns import choose_event_columns, choose_item_columns, choose_user_columns, named_column
from uicgpu.settings import Settings


def events(columns, **settings):
    return choose_event_columns(columns, Settings(**settings), "e.csv")


def items(columns, event_item_column=None, **settings):
    return choose_item_columns(columns, Settings(items=["i.csv"], **settings), "i.csv", event_item_column)


@pytest.mark.parametrize(
    ("columns", "user", "item", "time", "value"),
    [
        (["userId", "movieId", "rating", "timestamp"], "userId", "movieId", "timestamp", "rating"),
        (["User_ID", "Anime_ID", "Feedback"], "User_ID", "Anime_ID", None, "Feedback"),
        (["uid", "sku", "ts", "qty"], "uid", "sku", "ts", "qty"),
        (["visitorid", "itemid", "event", "time"], "visitorid", "itemid", "time", None),
        (
            ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
            "user_id:token",
            "item_id:token",
            "timestamp:float",
            "rating:float",
        ),
        (
            ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"],
            "Customer ID",
            "StockCode",
            "InvoiceDate",
            "Quantity",
        ),
        (
            ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"],
            "household_id",
            "product_id",
            "transaction_timestamp",
            "quantity",
        ),
        (["用户ID", "商品ID", "时间", "评分"], "用户ID", "商品ID", "时间", "评分"),
    ],
)
def test_usual_names(columns, user, item, time, value):
    chosen = events(columns)
    assert (chosen.user, chosen.item, chosen.time, chosen.value) == ((user,), item, time, value)


def test_the_choice_does_not_depend_on_the_order_of_columns():
    columns = ["userId", "movieId", "rating", "timestamp", "date", "title", "name", "genres", "type"]
    assert events(columns).facts() == events(columns[::-1]).facts()


def test_a_kind_column_and_what_describes_the_item():
    chosen = events(["user_id", "item_id", "behavior", "product.title", "review_title", "genres"])
    assert (chosen.kind, chosen.texts, chosen.category) == ("behavior", ("product.title",), "genres")


def test_with_item_files_the_events_do_not_describe_items():
    chosen = events(["user_id", "item_id", "title", "genres"], items=["i.csv"], text_columns=("name",))
    assert (chosen.texts, chosen.category) == ((), None)


def test_a_column_plays_one_part_only():
    columns = ["user_id", "category", "asin", "title", "main_category"]
    chosen = events(columns, user_column=("user_id", "category"), label_column="category")
    assert chosen.user == ("user_id", "category")
    assert chosen.label == "category"
    assert chosen.category == "main_category"


def test_full_names_come_before_the_last_part_of_dotted_ones():
    assert events(["a.user_id", "user_id", "item_id"]).user == ("user_id",)
    assert events(["a.user_id", "b.item_id"]).item == "b.item_id"


@pytest.mark.parametrize(
    ("columns", "flag", "named"),
    [
        (["user_id", "customer_id", "item_id"], "--user-column", "user_id, customer_id"),
        (["user_id", "asin", "parent_asin"], "--item-column", "asin, parent_asin"),
        (["user_id", "userId", "item_id"], "--user-column", "user_id, userId"),
    ],
)
def test_several_candidates_are_an_error(columns, flag, named):
    with pytest.raises(InputError, match=named) as caught:
        events(columns)
    assert flag in caught.value.fix


def test_weak_names_serve_when_there_is_no_better_one():
    assert events(["user", "item"]).user == ("user",)
    assert events(["user", "user_id", "product", "product_id"]).item == "product_id"


def test_no_candidate_lists_the_columns():
    with pytest.raises(InputError, match="no column with the user id") as caught:
        events(["who", "item_id"])
    assert "who, item_id" in caught.value.where
    assert "--user-column" in caught.value.fix


def test_a_wrong_flag_names_the_nearest_column():
    with pytest.raises(InputError, match="no column 'raiting'") as caught:
        events(["user_id", "item_id", "rating"], value_column="raiting")
    assert caught.value.fix == "did you mean --value-column rating?"
    assert "user_id, item_id, rating" in caught.value.where


def test_a_flag_may_leave_out_case_separators_and_the_folder():
    columns = ["Customer ID", "product.title", "a.x", "b.x"]
    assert named_column("customer_id", columns, "--f", "s") == "Customer ID"
    assert named_column("title", columns, "--f", "s") == "product.title"
    with pytest.raises(InputError, match=r"fits several columns: a\.x, b\.x"):
        named_column("x", columns, "--f", "s")


ANIME = ["anime_ids", "mal_id", "zh", "ja", "name", "genre_zh", "genre", "type", "episodes", "begin"]


def test_an_item_file_by_usual_names_and_by_flags():
    chosen = items(ANIME)
    assert (chosen.item, chosen.texts, chosen.category) == ("anime_ids", ("name",), "genre")
    chosen = items(ANIME, text_columns=("zh",), category_column="genre_zh")
    assert (chosen.texts, chosen.category) == (("zh",), "genre_zh")
    assert "texts = zh" in chosen.sentence()


def test_title_comes_before_description():
    assert items(["id", "description", "title", "brand"]).texts == ("title", "description")


def test_the_id_is_the_column_that_the_events_use():
    assert items(["asin", "parent_asin", "title"], "parent_asin").item == "parent_asin"
    assert items(["asin", "parent_asin", "title"], item_column="history.asins").item == "asin"
    with pytest.raises(InputError, match="asin, parent_asin"):
        items(["asin", "parent_asin", "title"])


def test_categories_alone_describe_items_but_nothing_does_not():
    assert items(["product_id", "department", "product_type"]).category == "department"
    with pytest.raises(InputError, match="no column with the items' text"):
        items(["product_id", "weight"])


def test_the_id_of_a_user_table():
    assert choose_user_columns(["id", "age"], Settings(), "u.csv") == ("id",)
    assert choose_user_columns(["user_id", "category", "x"], Settings(user_column="user_id,category"), "u") == (
        "user_id",
        "category",
    )
    assert choose_user_columns(["key", "member"], Settings(user_id_column="KEY"), "u") == ("key",)
