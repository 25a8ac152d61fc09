import numpy as np
import polars as pl
import pytest

from uicgpu.errors import InputError
from uicgpu.interests import Features, FeatureScale, feature_matrix


def test_rows_follow_the_sorted_users_and_columns_keep_their_order():
    frame = pl.DataFrame({"user_id": ["b", "a"], "value": [2, None], "hour": [20.0, float("inf")]})
    found = feature_matrix(frame)
    assert found.names == ("value", "hour")
    np.testing.assert_array_equal(found.values, [[np.nan, np.nan], [2, 20]])
    assert found.shape == (2, 2)


def test_named_users_come_in_their_order_and_unknown_ones_are_unknown():
    frame = pl.DataFrame({"user_id": ["b", "a"], "value": [2.0, 1.0]})
    np.testing.assert_array_equal(feature_matrix(frame, ["b", "c", "a"]).values, [[2], [np.nan], [1]])


def test_frame_without_features():
    assert feature_matrix(pl.DataFrame({"user_id": ["a", "b"]})).shape == (2, 0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"value": [1.0]}), "no column user_id"),
        (
            pl.DataFrame({"user_id": ["a", "a"], "value": [1.0, 2.0]}),
            "more than one row of behaviour features\nwhere: row 2",
        ),
        (pl.DataFrame({"user_id": ["a"], "plan": ["free"]}), "feature plan has type String"),
    ],
)
def test_unusable_tables_are_refused(frame, message):
    with pytest.raises(InputError, match=message):
        feature_matrix(frame)


def test_standardising_by_hand():
    scale = FeatureScale.fit(Features(("x",), np.array([[1.0], [3.0], [np.nan]])))
    assert (scale.mean[0], scale.scale[0]) == (2.0, 1.0)
    found = scale.standardise(Features(("x",), np.array([[1.0], [2.5], [9.0], [-9.0], [np.nan]])))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], [-1, 0.5, 3, -3, 0])


@pytest.mark.parametrize("column", [[5.0, 5.0, 5.0], [0.1, 0.1, 0.1], [np.nan, np.nan, np.nan], [7.0, np.nan, np.nan]])
def test_constant_and_unknown_features_become_zero(column):
    told = Features(("x",), np.array(column)[:, None])
    np.testing.assert_array_equal(FeatureScale.fit(told).standardise(told), 0)


def test_features_are_matched_by_name():
    scale = FeatureScale.fit(Features(("a", "b"), np.array([[0.0, 10], [2, 30]])))
    found = scale.standardise(Features(("b", "new"), np.array([[30.0, 99]])))
    np.testing.assert_array_equal(found, [[0, 1]])


def test_no_users():
    scale = FeatureScale.fit(Features(("a",), np.empty((0, 1))))
    np.testing.assert_array_equal(scale.standardise(Features(("a",), np.array([[3.0]]))), [[0]])


def test_shape_must_fit_the_names():
    with pytest.raises(InputError, match="1 names"):
        Features(("a",), np.ones((2, 2)))
