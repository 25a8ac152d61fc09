"""Errors end up in logs: they say where a row stands and what it looks like, never which user it is."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uicgpu.backends import choose_backend
from uicgpu.errors import InputError
from uicgpu.events.clean import clean_events
from uicgpu.events.forms import form_of
from uicgpu.interests.behaviour import feature_matrix
from uicgpu.items.attributes import read_attributes
from uicgpu.items.read import read_items
from uicgpu.pipeline.finished import recommend_users
from uicgpu.runs.artefacts import open_run
from uicgpu.settings import Settings

SECRET = "jane.doe42@example.org"
TEXTS = {"text": pl.String, "category": pl.String}


def _message(caught):
    error = caught.value
    return " ".join(str(part) for part in (error, error.args, vars(error)))


def test_an_unknown_user_is_told_by_position(finished):
    known = open_run(finished()).users["user_id"][0]
    with pytest.raises(InputError, match="1 of 3 users are not in this run, the first is number 2") as caught:
        recommend_users(finished(), [known, SECRET, known])
    assert "jane" not in _message(caught)


def test_a_repeated_user_is_told_by_row():
    frame = pl.DataFrame({"user_id": ["a", SECRET, "b", SECRET], "pace": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(InputError, match="row 4, column user_id") as caught:
        feature_matrix(frame)
    assert "jane" not in _message(caught)


def test_tables_that_do_not_meet_show_the_form_of_their_ids(tmp_path):
    pl.DataFrame({"user_id": [SECRET], "age": [30]}).write_csv(tmp_path / "users.csv")
    with pytest.raises(InputError, match=r"events have ids like 'a-99'; users have ids like 'aaaa\.aaa99@") as caught:
        read_attributes(Settings(users=[str(tmp_path / "users.csv")]), ["u-17", "u-18"], lambda _: None)
    assert "jane" not in _message(caught) and "17" not in _message(caught)


@pytest.mark.parametrize(
    "content",
    [f"{SECRET}\nanother\n", "4217,99\n4218,98\n", f"a,b\n{SECRET}\n{SECRET},1,2\n"],
    ids="one none torn".split(),
)
def test_a_file_that_is_no_table_is_not_quoted(tmp_path, content):
    from uicgpu.events.read import read_table

    (tmp_path / "events.csv").write_text(content)
    with pytest.raises(InputError) as caught:
        read_table([str(tmp_path / "events.csv")], tmp_path / "staging", "events")
    assert "jane" not in _message(caught) and "4217" not in _message(caught)


def test_a_wrong_time_column_is_not_quoted(tmp_path):
    content = f"user_id,item_id,mail\na,b,{SECRET}\na,c,{SECRET}\nb,c,jane\n"
    (tmp_path / "events.csv").write_text(content)
    settings = Settings(events=[str(tmp_path / "events.csv")], time_column="mail")
    with pytest.raises(InputError, match=r"3 of 3 times cannot be read, such as 'aaaa\.aaa99@") as caught:
        clean_events(settings, choose_backend("cpu", threads=1), None, lambda _: None)
    assert "jane" not in _message(caught) and "4217" not in _message(caught)
    assert caught.value.where == "events.csv, row 1, column mail"


def test_item_ids_that_fit_no_event_show_their_form(tmp_path):
    pl.DataFrame({"item_id": ["ab-1"], "title": ["Tea"]}).write_csv(tmp_path / "items.csv")
    events = pl.DataFrame({"item_id": [SECRET], "text": [None], "category": [None]}, schema_overrides=TEXTS)
    with pytest.raises(InputError, match=r"events have ids like 'aaaa\.aaa99@.*; items have ids like 'aa-9'") as caught:
        read_items(Settings(items=[str(tmp_path / "items.csv")]), events, lambda _: None)
    assert "jane" not in _message(caught)


def test_a_librarys_error_is_told_without_values(tmp_path):
    from uicgpu.events.read import read_table
    from uicgpu.events.refused import blame

    (tmp_path / "events.csv").write_text("user_id,item_id\na,b\n")
    table = read_table([str(tmp_path / "events.csv")], tmp_path / "staging", "events")
    told = blame(table, pl.exceptions.InvalidOperationError(f'strict conversion failed for 1 values: ["{SECRET}"]'))
    assert "strict conversion failed" in told.message and "jane" not in told.message


@given(st.text())
def test_a_form_keeps_neither_letters_nor_digits(text):
    form = form_of(text)
    assert form.isprintable() and len(form) <= 41
    assert not {character for character in form if character.isalnum()} - {"a", "9"}
