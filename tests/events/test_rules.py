"""The rules, against hand-worked rows and a slow oracle in plain Python."""

import ast
import csv
import io
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import uicgpu.events
from uicgpu.errors import InputError
from uicgpu.events.rules import REASON_WORDS, Reason

# What cudf-polars translates (checked against its translator; the check itself runs in scripts/gpu-contract).
TRANSLATED = set(
    "select with_columns filter join sort unique group_by agg rename with_row_index scan "
    "alias cast is_null is_not_null is_in is_finite fill_null fill_nan over floor min max sum len count "
    "lit col concat concat_str when then otherwise contains slice strip_chars strip_chars_start strip_chars_end "
    "to_lowercase len_chars replace_all to_datetime".split()
)
# Other methods that these modules call: types, their own functions, plain Python.
NOT_POLARS = set(
    "String Datetime is_temporal is_float is_decimal is_numeric append items fromkeys "
    "text_of id_of joined_id known_text number_of is_usable_number prepared microseconds TimeForm".split()
)
PLAN_MODULES = ("rules.py", "times.py", "cells.py")


@pytest.mark.parametrize("name", PLAN_MODULES)
def test_the_plan_uses_only_operations_that_the_gpu_engine_translates(name):
    source = (Path(uicgpu.events.__file__).parent / name).read_text()
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        called = node.func.attr
        assert called in TRANSLATED | NOT_POLARS, f"{name}:{node.lineno} calls {called}"
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called == "replace_all":
            assert options.get("literal") == "True", f"{name}:{node.lineno}: regular expressions are not translated"
        if called == "to_datetime":
            assert (options.get("cache"), options.get("strict")) == ("False", "False"), f"{name}:{node.lineno}"
        if called == "unique":
            assert "maintain_order" not in options


def test_every_reason_has_words():
    assert set(REASON_WORDS) == set(Reason) - {Reason.NONE}
    assert len(set(REASON_WORDS.values())) == len(REASON_WORDS)


def reasons(cleaned):
    return [(row["row"], row["reason"]) for row in cleaned.rejected.to_dicts()]


def test_the_first_reason_that_applies(clean):
    long = "x" * 1001
    cleaned = clean(
        "user_id,item_id,timestamp,kind,value\n"
        "u,11,2020-01-01,view,5\n"
        ",,bad,drop,x\n"
        "u,,bad,drop,x\n"
        f"u,{long},bad,drop,x\n"
        "u,zz,bad,drop,x\n"
        "u,12,bad,drop,x\n"
        "u,12,1850-01-01,drop,x\n"
        "u,12,2020-01-01,drop,x\n"
        "u,12,2020-01-01,drop,inf\n"
        "u,12,2020-01-01,DROP ,1\n"
        "u,12,2020-01-01,view,0.5\n"
        "u,11,2020-01-01,view,5.0\n"
        "u,11,,view,\n",
        item_pattern="^[0-9]",
        kind_weights="drop=0",
        min_value=1,
    )
    assert reasons(cleaned) == [
        (2, "missing user"),
        (3, "missing item"),
        (4, "id too long"),
        (5, "item id does not match item_pattern"),
        (6, "unreadable time"),
        (7, "time out of range"),
        (8, "value not a number"),
        (9, "value not a number"),
        (10, "kind weight 0"),
        (11, "value below min_value"),
        (12, "duplicate"),
    ]
    assert cleaned.events.height == 2


def test_returns_hand_worked(clean):
    """Pair (a, x): 5 - 2 = 3 stays; (a, y): 3 - 3 = 0 goes; (b, x): 2 - 5 < 0 goes; (b, y): only a return."""
    cleaned = clean(
        "user_id,item_id,timestamp,quantity\n"
        "a,x,2020-01-01,5\n"
        "a,x,2020-01-02,-2\n"
        "a,y,2020-01-01,1\n"
        "a,y,2020-01-02,2\n"
        "a,y,2020-01-03,-3\n"
        "b,x,2020-01-01,2\n"
        "b,x,2020-01-02,-5\n"
        "b,y,2020-01-01,-1\n"
        "b,z,2020-01-01,0\n"
        "b,w,2020-01-01,\n"
    )
    assert reasons(cleaned) == [
        (2, "return"),
        (3, "returned"),
        (4, "returned"),
        (5, "return"),
        (6, "returned"),
        (7, "return"),
        (8, "return"),
        (9, "zero quantity"),
    ]
    assert cleaned.interactions.select("user_id", "item_id").rows() == [("a", "x"), ("b", "w")]


def test_a_repeated_line_counts_once_for_what_is_left(clean):
    """Bought 3 twice on one line each is bought 3 once; 3 - 4 < 0."""
    cleaned = clean(
        "user_id,item_id,timestamp,quantity\n"
        "a,x,2020-01-01,3\na,x,2020-01-01,3\na,x,2020-01-02,-4\nb,x,2020-01-01,0.1\nb,x,2020-01-02,0.2\n"
        "b,x,2020-01-03,-0.3\nc,x,2020-01-01,1\n"
    )
    assert reasons(cleaned) == [
        (1, "returned"),
        (2, "returned"),
        (3, "return"),
        (4, "returned"),
        (5, "returned"),
        (6, "return"),
    ]


@pytest.mark.parametrize(
    ("column", "kept"), [("rating", 3), ("score", 3), ("quantity", 1), ("count", 1), ("thumbs", 1)]
)
def test_negative_values_are_returns_only_of_quantities(column, kept, clean):
    flags = {"value_column": column} if column == "thumbs" else {}
    cleaned = clean(f"user_id,item_id,{column}\nu,a,-1\nu,b,0\nu,c,2\n", **flags)
    assert cleaned.events.height == kept


def test_zero_is_a_value_where_nothing_is_negative(clean):
    assert clean("user_id,item_id,thumbs\nu,b,0\nu,c,2\n", value_column="thumbs").events.height == 2


def test_a_duplicate_keeps_the_first_row(clean):
    cleaned = clean("user_id,item_id,t\n" + "u,a,9\n" * 3 + " u ,a,9.0\nu,a,8\n", time_column="t")
    assert reasons(cleaned) == [(2, "duplicate"), (3, "duplicate"), (4, "duplicate")]
    assert cleaned.rejected["sample"][2] == "user=u, item=a, time=9.0, kind=event"


def test_missing_times_and_values_are_equal_in_duplicates(clean):
    cleaned = clean("user_id,item_id,time,rating\nu,a,,\nu,a,,\nu,a,,1\n")
    assert reasons(cleaned) == [(2, "duplicate")]


# --- the oracle -------------------------------------------------------------------------------------------------------

MISSING = {"", "null", "NULL", "Null", "None", "<NA>", "\\N"}
MISSING_ID = MISSING | {"nan", "NaN", "NAN", "NaT"}


def oracle_id(cell):
    cell = cell.strip()
    if cell in MISSING_ID:
        return None
    whole, dot, rest = cell.partition(".")
    return whole if dot and rest == "0" and whole.lstrip("-").isdigit() and whole.count("-") <= 1 else cell


def oracle_time(cell):
    """Return (microseconds or None, fault)."""
    cell = cell.strip()
    if cell in MISSING_ID:
        return None, None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(cell))
    except ValueError:
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError:
            return None, "unreadable time"
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not datetime(1900, 1, 1, tzinfo=UTC) <= moment <= datetime(2200, 1, 1, tzinfo=UTC):
        return None, "time out of range"
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), None


def oracle_value(cell):
    cell = cell.strip()
    if cell in MISSING:
        return None, None
    try:
        value = float(cell)
    except ValueError:
        return None, "value not a number"
    return (value, None) if math.isfinite(value) else (None, "value not a number")


def oracle(rows, *, quantity, min_value, weights):
    """Clean rows one by one: (kept as sorted tuples, {row: reason})."""
    passed, refused = [], {}
    for number, row in enumerate(rows, start=1):
        user, item = oracle_id(row["user_id"]), oracle_id(row["item_id"])
        time, time_fault = oracle_time(row["time"])
        value, value_fault = oracle_value(row["value"])
        kind = (oracle_id(row["kind"]) or "event").lower()
        fault = None
        if user is None:
            fault = "missing user"
        elif item is None:
            fault = "missing item"
        elif max(len(user), len(item)) > 1000:
            fault = "id too long"
        elif time_fault or value_fault:
            fault = time_fault or value_fault
        elif weights.get(kind, 1) == 0:
            fault = "kind weight 0"
        if fault:
            refused[number] = fault
        else:
            passed.append((number, user, item, time, kind, value))
    seen, net, returned = set(), {}, set()
    first = {}
    for number, *key in passed:
        first[number] = tuple(key) not in seen
        if first[number] and key[4] is not None:
            pair = (key[0], key[1])
            net[pair] = net.get(pair, 0) + key[4]
            if key[4] < 0:
                returned.add(pair)
        seen.add(tuple(key))
    kept = []
    for number, user, item, time, kind, value in passed:
        pair = (user, item)
        if min_value is not None and value is not None and value < min_value:
            refused[number] = "value below min_value"
        elif quantity and value is not None and value < 0:
            refused[number] = "return"
        elif quantity and pair in returned and net[pair] <= 0:
            refused[number] = "returned"
        elif quantity and value == 0:
            refused[number] = "zero quantity"
        elif not first[number]:
            refused[number] = "duplicate"
        else:
            kept.append((user, item, time, kind, value, weights.get(kind, 1)))
    return kept, refused


POOLS = {
    "user_id": ["u1", "u2", " u1 ", "3.0", "3", "", "nan"],
    "item_id": ["a", "b", "7", "7.0", "", "null", "y" * 1001],
    "time": [
        "2020-01-01",
        "2020-01-01 10:00:00",
        "1577836800",
        "1850-01-01",
        "2020-01-01T10:00:00Z",
        "-86400",
        "",
        "x",
    ],
    "kind": ["view", "VIEW", "buy", "spam", ""],
    "value": ["1", "1.0", "2", "-1", "-2", "0", "abc", "NaN", "inf", "", "null"],
}


def dirty_rows(seed):
    chooser = random.Random(seed)
    return [{name: chooser.choice(pool) for name, pool in POOLS.items()} for _ in range(chooser.randint(5, 120))]


@pytest.mark.parametrize("seed", range(25))
def test_random_dirty_rows_against_the_oracle(seed, clean):
    rows = dirty_rows(seed)
    column = "quantity" if seed % 2 else "rating"
    min_value = 1 if seed % 3 == 0 else None
    weights = {"spam": 0.0, "buy": 4.0}
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["user_id", "item_id", "time", "kind", column])
    writer.writerows([row[name] for name in POOLS] for row in rows)
    kept, refused = oracle(rows, quantity=column == "quantity", min_value=min_value, weights=weights)
    if not kept:
        with pytest.raises(InputError):
            clean(buffer.getvalue(), kind_weights=weights, min_value=min_value)
        return
    cleaned = clean(buffer.getvalue(), kind_weights=weights, min_value=min_value)
    assert dict(reasons(cleaned)) == refused
    users, items = cleaned.behaviour["user_id"].to_list(), cleaned.event_items["item_id"].to_list()
    found = [
        (
            users[row["user"]],
            items[row["item"]],
            row["time"],
            cleaned.kind_names[row["kind"]],
            row["value"],
            row["weight"],
        )
        for row in cleaned.events.to_dicts()
    ]

    def order(row):
        return tuple((part is not None, part) for part in (row[0], row[2], row[1], row[3], row[4]))

    assert found == sorted(kept, key=order)
