from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from uicgpu.cli.main import call
from uicgpu.errors import InputError
from uicgpu.pipeline.export import export_run
from uicgpu.pipeline.privacy import check_privacy, private_utility
from uicgpu.runs.folder import RunFolder


def test_a_run_passes(finished, capsys):
    assert call(["privacy", str(finished()), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and told["canaries_found"] == told["ids_found"] == told["personal_data_found"] == 0
    assert [attack["known"] for attack in told["linkage"]] == [1, 2, 5]
    assert all(attack["worst"] <= 1 / 20 for attack in told["linkage"])
    assert told["canaries_planted"] > 1000 and told["smallest_group"] >= 20


def _tampered(finished, tmp_path, change):
    folder = tmp_path / "run"
    shutil.copytree(finished(), folder)
    profiles = json.loads((folder / "profiles.json").read_text())
    change(profiles)
    (folder / "profiles.json").write_text(json.dumps(profiles))
    record = RunFolder(folder)
    record.load()
    record.manifest["stages"]["profiles"]["outputs"]["profiles.json"] = record.describe("profiles.json")
    record.save()
    return check_privacy(folder)


def test_a_profile_that_tells_a_user_fails(finished, tmp_path):
    def change(profiles):
        profiles[0]["terms"][0]["term"] = "u000017"

    told = _tampered(finished, tmp_path, change)
    assert told["ids_found"] == 1 and not told["passed"]


def test_a_user_in_the_markdown_fails(finished, monkeypatch):
    monkeypatch.setattr("uicgpu.pipeline.privacy.build_markdown", lambda folder: "| u000017 |")
    told = check_privacy(finished())
    assert told["ids_found"] == 1 and not told["passed"]


def test_personal_data_in_a_profile_fails(finished, tmp_path):
    def change(profiles):
        profiles[0]["name"] = "jane@example.org"

    told = _tampered(finished, tmp_path, change)
    assert told["personal_data_found"] >= 1 and not told["passed"]


def test_a_published_group_below_k_fails(finished, tmp_path):
    def change(profiles):
        for profile in profiles:
            if profile["merged_into"] is not None:
                host = next(entry for entry in profiles if entry["cluster"] == profile["merged_into"])
                profile |= {**host, "cluster": profile["cluster"], "merged_into": None}

    small = lambda **options: finished(users=200, clusters=6)  # noqa: E731
    told = _tampered(small, tmp_path, change)
    assert told["smallest_group"] < 20 and not told["passed"]


def test_a_broken_scrubber_is_noticed(finished, monkeypatch):
    monkeypatch.setattr("uicgpu.privacy.text._EMAIL", __import__("re").compile("never"))
    assert check_privacy(finished())["canaries_found"] > 0


def test_an_export_holds_pseudonyms_and_nothing_else_of_users(finished, key_file, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    export_run(finished(), first)
    export_run(finished(), second)
    names = {path.name for path in first.iterdir()}
    assert names == {"report.html", "profiles.json", "metrics.json", "clusters.csv", "users.csv", "export.json"}
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert "u000017" not in (first / name).read_text(encoding="utf-8")
    users = pl.read_csv(first / "users.csv")
    assert users.columns == ["user_id", "cluster", "name"] and users["user_id"].is_sorted()
    assert users["user_id"].n_unique() == 1500 and users.group_by("cluster").len()["len"].min() >= 20
    key_file.unlink()
    export_run(finished(), tmp_path / "c")
    assert not set(pl.read_csv(tmp_path / "c" / "users.csv")["user_id"]) & set(users["user_id"])


def test_raw_ids_are_written_when_asked(finished, tmp_path, capsys):
    assert call(["export", str(finished()), "--out", str(tmp_path / "raw"), "--raw-ids", "--quiet"]) == 0
    assert pl.read_csv(tmp_path / "raw" / "users.csv")["user_id"].to_list()[:2] == ["u000000", "u000001"]
    assert json.loads((tmp_path / "raw" / "export.json").read_text())["user_ids"] == "raw"


def test_a_report_with_single_users_is_not_exported_by_default(finished, key_file, tmp_path):
    run = finished(users=60, clusters=2, raw_ids=True)
    assert "u0000" in (run / "report.html").read_text(encoding="utf-8")
    export_run(run, tmp_path / "out")
    assert "u0000" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_full_folder_is_refused(finished, key_file, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").touch()
    with pytest.raises(InputError, match="not empty"):
        export_run(finished(), tmp_path / "full")


def test_private_centres_are_released_with_their_statement(finished, key_file, tmp_path):
    export_run(finished(), tmp_path / "out", epsilon=1.0)
    told = json.loads((tmp_path / "out" / "export.json").read_text())["differential_privacy"]
    assert (told["epsilon"], told["delta"], told["reproducible"]) == (1.0, 1e-6, False)
    assert pl.read_csv(tmp_path / "out" / "counts.csv").height == 8
    with pytest.raises(InputError, match="finite"):
        export_run(finished(), tmp_path / "other", epsilon=float("inf"))


def test_utility_is_told_for_four_budgets(finished):
    table = private_utility(finished(users=300, clusters=3))
    assert [row["epsilon"] for row in table] == [0.5, 1.0, 3.0, "inf"]
    assert table[3]["spread"] < table[0]["spread"]
    assert table[3]["count_error"] < 0.05 < table[0]["count_error"]


def test_the_command_tells_what_privacy_costs(finished, capsys):
    assert call(["privacy", str(finished(users=300, clusters=3)), "--utility"]) == 0
    assert capsys.readouterr().out.count("counts off by") == 4


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "=cmd|' /C calc'!A0",
    "＝1+1",
    "\n=1",
    "=HYPERLINK()",
    "+\u0661",
    "-x",
]


def test_no_cell_of_a_table_is_a_formula(finished, key_file, tmp_path):
    run = finished(users=400, clusters=4, payloads=FORMULAS)
    export_run(run, tmp_path / "pseudonyms")
    export_run(run, tmp_path / "raw", raw_ids=True)
    for folder in ("pseudonyms", "raw"):
        for name in ("clusters.csv", "users.csv"):
            frame = pl.read_csv(tmp_path / folder / name)
            for column in frame.select(pl.col(pl.String)):
                assert not column.drop_nulls().str.contains(r"^[=+\-@\t\r\n＝]").any(), (name, column.name)
