"""How benchmarks of finished runs are told which."""

import json

import polars as pl
import pytest

from uicgpu.bench.finished_runs import known_groups, measure_named_runs


def test_names_and_folders_go_to_the_measurement_and_its_result_to_the_file(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "a=b").mkdir()
    arguments = [f"films={tmp_path / 'one'}", f"shop={tmp_path / 'a=b'}", "--out", str(tmp_path / "out.json")]
    measure_named_runs("what", lambda runs: {name: path.name for name, path in runs.items()}, arguments)
    assert json.loads((tmp_path / "out.json").read_text()) == {"films": "one", "shop": "a=b"}


@pytest.mark.parametrize("entry", ["films", "={folder}", "films=", "films={folder}/missing"])
def test_half_a_name_is_a_usage_error(entry, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        measure_named_runs("what", dict, [entry.format(folder=tmp_path), "--out", str(tmp_path / "out.json")])
    assert ended.value.code == 2 and "write NAME=RUN" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_groups_come_in_the_order_of_the_users(tmp_path):
    class Finished:
        path = tmp_path
        users = pl.DataFrame({"user_id": ["a", "b", "c"]})

    (tmp_path / "stages").mkdir()
    labels = pl.DataFrame({"user_id": ["c", "a"], "label": ["red", "blue"]})
    labels.write_parquet(tmp_path / "stages" / "labels.parquet")
    assert known_groups(Finished()).tolist() == ["blue", None, "red"]
    labels.clear().write_parquet(tmp_path / "stages" / "labels.parquet")
    assert known_groups(Finished()) is None
