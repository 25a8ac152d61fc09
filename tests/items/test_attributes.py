import polars as pl
import pytest

from uicgpu.errors import InputError
from uicgpu.items.attributes import read_attributes
from uicgpu.settings import Settings

USERS = "user_id,age,plan,zip\nu2,31,free,01234\nu1,,paid,x\nu9,5,free,\n"


@pytest.fixture
def read(tmp_path):
    def read_text(content, ids=("u1", "u2", "u3"), notes=None, **settings):
        path = tmp_path / "users.csv"
        path.write_text(content)
        said = notes if notes is not None else []
        return read_attributes(Settings(users=[str(path)], **settings), list(ids), said.append)

    return read_text


def test_one_row_per_user_of_the_run(read):
    table = read(USERS)
    assert table.attributes.schema == {"user_id": pl.String, "age": pl.Float64, "plan": pl.String, "zip": pl.String}
    assert table.attributes.rows() == [
        ("u1", None, "paid", "x"),
        ("u2", 31.0, "free", "01234"),
        ("u3", None, None, None),
    ]
    assert table.facts["users_described"] == 2
    assert table.facts["users_unknown_to_the_events"] == 1
    assert table.label is None


def test_a_numeric_label_stays_text(read):
    table = read("user_id,group\nu1,1\nu2,2\nu3,2\n", label_column="Group")
    assert table.label == "group"
    assert table.attributes["group"].to_list() == ["1", "2", "2"]


def test_a_missing_label_names_the_nearest_column(read):
    with pytest.raises(InputError, match="--label-column: no column 'plam'") as caught:
        read(USERS, label_column="plam")
    assert caught.value.fix == "did you mean --label-column plan?"
    assert "user_id, age, plan" in caught.value.where


def test_repeated_and_missing_users(read):
    table = read("user_id,age\nu1,1\nu1,2\n,3\nu1,1\n")
    assert table.rejected.rows() == [
        ("users.csv", 2, "duplicate user", "u1, 2"),
        ("users.csv", 3, "missing user", "3"),
    ]
    assert table.facts["repeated_rows"] == 1


def test_no_matching_user_shows_both_sides(read):
    with pytest.raises(InputError, match="events have ids like 'a9'; users have ids like '9'") as caught:
        read("user_id,age\n8,1\n7,2\n")
    assert "--user-id-column" in caught.value.fix


def test_a_low_match_is_said(read):
    notes = []
    read("user_id,age\nu1,1\n", notes=notes)
    assert notes == ["only 1 of 3 users are in the user files"]


def test_composite_users(read):
    table = read(
        "user_id,area,age\nu,1,30\nu,2,40\n", ids=("u|1", "u|2"), user_column="user_id,area", label_column="area"
    )
    assert table.attributes.to_dict(as_series=False) == {
        "user_id": ["u|1", "u|2"],
        "area": ["1", "2"],
        "age": [30.0, 40.0],
    }


def test_an_attribute_called_user_id_keeps_out_of_the_way(read):
    table = read("id,user_id\nu1,x\n", user_id_column="id")
    assert table.attributes.columns == ["user_id", "user_id (attribute)"]


def test_a_table_with_ids_alone_is_refused(read):
    with pytest.raises(InputError, match="no column besides the user id"):
        read("user_id,id\nu1,2\n", user_column="user_id,id")
