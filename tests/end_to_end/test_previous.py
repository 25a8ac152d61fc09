"""Cluster ids that go on from a former run: kept, born and gone, under raw ids and under pseudonyms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import uicgpu as uic
from uicgpu.cli.main import call

OPTIONS = ["--model", "minilm", "--label-column", "group", "--tune", "off", "--bootstrap", "100"]


@pytest.fixture(scope="module", autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UICGPU_KEY", str(tmp_path_factory.mktemp("key") / "key"))
        yield


@pytest.fixture(scope="module")
def later(finished: Path, generated: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Run the shop again with other settings after ``previous``; the vectors are those of the first run."""

    def run(previous: Path | None, *options: str, events: Path | None = None) -> Path:
        out = tmp_path_factory.mktemp("later") / "run"
        given = [*generated.options(), *OPTIONS, "--out", str(out), "--quiet", *options]
        if events is not None:
            given[1] = str(events)
        assert call(["run", *given, *(["--previous", str(previous)] if previous else [])]) == 0
        return out

    return run


@pytest.fixture(scope="module")
def chain(later: Callable[..., Path]) -> list[Path]:
    """Four clusters; the same cut in three; three cut in five."""
    runs = [later(None, "-k", "4")]
    for k in ("3", "5"):
        runs.append(later(runs[-1], "-k", k))
    return runs


def lineage(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = uic.open_run(path).facts("cluster")["previous"]
    return told


def test_a_cluster_that_is_gone_leaves_its_id_and_a_new_one_gets_none_that_was_used(chain: list[Path]) -> None:
    four, three, five = (uic.open_run(path) for path in chain)
    assert sorted(four.users["cluster"].unique()) == [0, 1, 2, 3]
    first = lineage(chain[1])
    assert len(first["kept"]) == 3 and len(first["deaths"]) == 1 and first["births"] == []
    gone = first["deaths"][0]
    assert set(three.users["cluster"].unique()) == {0, 1, 2, 3} - {gone}
    assert list(first["merges"].values()) == [[min(into, gone), max(into, gone)] for into in map(int, first["merges"])]
    second = lineage(chain[2])
    assert len(second["kept"]) == 3 and second["births"] == [4, 5] and second["next_id"] == 6
    assert set(five.users["cluster"].unique()) == {0, 1, 2, 3, 4, 5} - {gone}
    assert five.metrics["cluster.previous.births"] == 2 and five.metrics["cluster.next_id"] == 6
    assert three.metrics["cluster.previous.deaths"] == 1 and three.metrics["cluster.next_id"] == 4


def test_most_users_of_a_kept_cluster_are_the_same(chain: list[Path]) -> None:
    four, three = (uic.open_run(path).users.select("user_id", "cluster") for path in chain[:2])
    both = four.join(three, on="user_id", suffix="_later")
    for cluster in map(int, lineage(chain[1])["kept"]):
        before = both.filter(pl.col("cluster") == cluster)
        assert (before["cluster_later"] == cluster).mean() > 0.9


def test_every_artefact_speaks_of_the_same_ids(chain: list[Path]) -> None:
    run = uic.open_run(chain[2])
    ids = set(run.users["cluster"].unique())
    assert set(run.users["second_cluster"].unique()) <= ids
    assert set(run.clusters["cluster"]) == {profile["cluster"] for profile in run.profiles} == ids
    assert sorted(run.clusters["row"]) == list(range(run.centroids.shape[0]))
    for profile in run.profiles:
        assert profile["nearest"]["cluster"] in ids - {profile["cluster"]}
    # the row of a cluster is the centroid that its users are nearest to
    distances = np.linalg.norm(np.asarray(run.interest_vectors)[:, None] - np.asarray(run.centroids)[None], axis=2)
    nearest = run.cluster_ids[distances.argmin(axis=1)]
    assert (nearest == run.users.sort("row")["cluster"].to_numpy()).mean() > 0.99


def test_new_events_lead_to_the_same_ids(chain: list[Path], generated: Any, tmp_path: Path) -> None:
    out = tmp_path / "assigned.parquet"
    assert call(["assign", str(chain[2]), "--events", str(generated.events), "--out", str(out), "--quiet"]) == 0
    assigned, users = pl.read_parquet(out), uic.open_run(chain[2]).users
    for column in ("cluster", "second_cluster"):
        assert (assigned[column] == users[column]).mean() > 0.97


def test_the_other_commands_follow(chain: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = uic.open_run(chain[2])
    user = run.users.row(0, named=True)
    capsys.readouterr()
    assert call(["profile", str(chain[2]), "--user", user["user_id"], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cluster"] == user["cluster"] == told["nearest_centre"]
    assert call(["privacy", str(chain[2]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]


@pytest.mark.parametrize(
    ("language", "title", "gone"), [("en", "Since the former run", "Gone: “"), ("zh", "与上次运行相比", "已消失：“")]
)
def test_the_report_tells(chain: list[Path], tmp_path: Path, language: str, title: str, gone: str) -> None:
    shutil.copytree(chain[1], tmp_path / "run")
    assert call(["report", str(tmp_path / "run"), "--language", language, "--quiet"]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert title in page and gone in page
    assert title not in (chain[0] / "report.html").read_text(encoding="utf-8")


def test_the_summary_tells(chain: list[Path], generated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    given = [*generated.options(), *OPTIONS, "--out", str(chain[1]), "-k", "3", "--previous", str(chain[0])]
    assert call(["run", *given]) == 0
    shown = capsys.readouterr()
    assert "3 kept, 0 new, 1 gone, 1 merge)" in shown.out
    assert "nothing to do" in shown.err


def test_an_export_knows_the_ids_under_the_same_key(
    chain: list[Path], later: Callable[..., Path], tmp_path: Path
) -> None:
    assert call(["export", str(chain[1]), "--out", str(tmp_path / "handed on"), "--quiet"]) == 0
    run = later(tmp_path / "handed on", "-k", "5")
    ours, wanted = (uic.open_run(path) for path in (run, chain[2]))
    assert ours.users.equals(wanted.users)
    assert lineage(run) == lineage(chain[2])


class TestRefusals:
    def refused(self, generated: Any, out: Path, previous: Path, capsys: Any, code: int) -> str:
        capsys.readouterr()
        given = [*generated.options(), *OPTIONS, "-k", "4", "--out", str(out), "--previous", str(previous)]
        assert call(["run", *given]) == code
        shown: str = capsys.readouterr().err
        return shown

    def test_another_key(self, chain: Any, generated: Any, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
        assert call(["export", str(chain[0]), "--out", str(tmp_path / "out"), "--quiet"]) == 0
        other = tmp_path / "other.key"
        monkeypatch.setenv("UICGPU_KEY", str(other))
        shown = self.refused(generated, tmp_path / "run", tmp_path / "out", capsys, 2)
        assert "their key is not here" in shown and not other.exists()
        other.write_text("ab" * 32)
        other.chmod(0o600)
        shown = self.refused(generated, tmp_path / "run", tmp_path / "out", capsys, 3)
        assert "under this key of pseudonyms" in shown and "UICGPU_KEY" in shown

    def test_other_users(self, chain: Any, generated: Any, tmp_path: Path, capsys: Any) -> None:
        for name in ("events", "users"):
            table = pl.read_csv(getattr(generated, name))
            table.with_columns(pl.format("x{}", "user_id").alias("user_id")).write_csv(tmp_path / f"{name}.csv")
        other = type(generated)(tmp_path / "events.csv", generated.items, tmp_path / "users.csv")
        shown = self.refused(other, tmp_path / "run", chain[0], capsys, 3)
        assert "no user of this run is in the former one" in shown and str(chain[0]) in shown

    def test_no_run(self, generated: Any, tmp_path: Path, capsys: Any) -> None:
        shown = self.refused(generated, tmp_path / "run", tmp_path, capsys, 3)
        assert "neither a finished run nor an export with its users" in shown

    def test_the_same_folder(self, chain: Any, generated: Any, capsys: Any) -> None:
        shown = self.refused(generated, chain[0], chain[0], capsys, 2)
        assert "are the same folder" in shown
