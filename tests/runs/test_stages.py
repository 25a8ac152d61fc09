"""The stage graph: what is unchanged is not computed again, what is damaged or interrupted is."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from uicgpu.errors import OutOfResourcesError, RunFolderError
from uicgpu.runs.folder import RunFolder, write_json
from uicgpu.runs.progress import SilentProgress
from uicgpu.runs.stages import Stage, StageContext, execute, fingerprint_inputs
from uicgpu.settings import Settings


class Pipeline:
    """Three stages: ``double`` reads a number from an input file, ``parity`` its remainder, ``tell`` a sentence."""

    def __init__(self, tmp_path: Path) -> None:
        self.calls: list[str] = []
        self.input = tmp_path / "number.txt"
        self.input.write_text("3")
        self.folder = RunFolder(tmp_path / "run")
        self.folder.prepare()
        self.fail_in: str | None = None
        self.hits = 3

    def stages(self) -> list[Stage]:
        return [
            Stage("double", self._double, ("double.json",), settings=("top",), inputs=("events",)),
            Stage("parity", self._parity, ("parity.json",), needs=("double",)),
            Stage("tell", self._tell, ("tell.json",), needs=("parity",), settings=("language",)),
        ]

    def _begin(self, name: str) -> None:
        self.calls.append(name)
        if self.fail_in == name:
            raise KeyboardInterrupt

    def _double(self, context: StageContext) -> dict[str, Any]:
        self._begin("double")
        value = int(self.input.read_text()) * 2 * context.settings.top
        context.measured["cache_hits"] = self.hits
        write_json(context.folder.file("double.json"), value)
        return {}

    def _parity(self, context: StageContext) -> dict[str, Any]:
        self._begin("parity")
        value = json.loads(context.folder.file("double.json").read_text())
        write_json(context.folder.file("parity.json"), value % 2)
        return {}

    def _tell(self, context: StageContext) -> dict[str, Any]:
        self._begin("tell")
        write_json(context.folder.file("tell.json"), context.settings.language)
        return {"parity": json.loads(context.folder.file("parity.json").read_text())}

    def run(self, **settings: Any) -> list[str]:
        self.calls.clear()
        self.folder.load()
        recorded = self.folder.manifest.get("inputs", [])
        self.folder.manifest = {
            "format_version": 1,
            "inputs": fingerprint_inputs({"events": [self.input]}, recorded),
            "stages": self.folder.manifest.get("stages", {}),
        }
        backend = SimpleNamespace(release=lambda: None, engines={})
        context = StageContext(Settings(**settings), backend, self.folder, SilentProgress())
        execute(self.stages(), context, "0.1.0")
        return list(self.calls)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def test_a_second_run_does_nothing(pipeline: Pipeline) -> None:
    assert pipeline.run() == ["double", "parity", "tell"]
    assert pipeline.run() == []


def test_a_machine_setting_changes_nothing(pipeline: Pipeline) -> None:
    pipeline.run(threads=1)
    assert pipeline.run(threads=2, memory=2**30) == []


def test_a_setting_recomputes_only_what_reads_it(pipeline: Pipeline) -> None:
    pipeline.run()
    assert pipeline.run(language="zh") == ["tell"]


def test_an_unchanged_output_stops_the_recomputation(pipeline: Pipeline) -> None:
    pipeline.run()
    # 3 * 2 * 4 is another number than 3 * 2 * 10, but of the same parity: "tell" need not run.
    assert pipeline.run(top=4) == ["double", "parity"]


def test_what_was_measured_is_recorded_for_its_own_stage_and_enters_no_key(pipeline: Pipeline) -> None:
    pipeline.run()
    before = pipeline.folder.manifest["stages"]["parity"]
    assert pipeline.folder.manifest["stages"]["double"]["cache_hits"] == 3
    assert "cache_hits" not in before
    pipeline.hits = 5
    pipeline.folder.file("double.json").unlink()
    assert pipeline.run() == ["double"]
    assert pipeline.folder.manifest["stages"]["double"]["cache_hits"] == 5
    assert pipeline.folder.manifest["stages"]["parity"] == before


def test_a_changed_input_recomputes(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.input.write_text("44")
    assert pipeline.run() == ["double", "parity"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_artefact_is_computed_again(pipeline: Pipeline, damage: str) -> None:
    pipeline.run()
    path = pipeline.folder.file("parity.json")
    before = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(before[:-1] if damage == "truncate" else b"1" + before[1:])
    assert pipeline.run() == ["parity"]
    assert path.read_bytes() == before


def test_an_interrupted_stage_is_done_again_and_finished_ones_are_kept(pipeline: Pipeline) -> None:
    pipeline.fail_in = "parity"
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    pipeline.fail_in = None
    assert pipeline.run() == ["parity", "tell"]
    assert pipeline.folder.manifest["stages"]["tell"]["facts"] == {"parity": 0}


def test_a_stage_that_writes_nothing_is_an_error(pipeline: Pipeline) -> None:
    stage = Stage("lazy", lambda context: {}, ("lazy.json",))
    context = StageContext(
        Settings(), SimpleNamespace(release=lambda: None, engines={}), pipeline.folder, SilentProgress()
    )
    pipeline.folder.manifest = {"format_version": 1, "inputs": [], "stages": {}}
    with pytest.raises(RunFolderError, match=r"lazy did not write lazy\.json"):
        execute([stage], context, "0.1.0")


def test_memory_that_does_not_suffice_is_exit_code_5(pipeline: Pipeline) -> None:
    def hungry(context: StageContext) -> dict[str, Any]:
        raise MemoryError

    context = StageContext(
        Settings(), SimpleNamespace(release=lambda: None, engines={}), pipeline.folder, SilentProgress()
    )
    pipeline.folder.manifest = {"format_version": 1, "inputs": [], "stages": {}}
    with pytest.raises(OutOfResourcesError, match="stage hungry"):
        execute([Stage("hungry", hungry, ())], context, "0.1.0")
