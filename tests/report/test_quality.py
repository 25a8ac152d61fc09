"""What the section on whether the clusters are real says beside its figures."""

import json
import shutil

import pytest

from uicgpu.report import build_report


@pytest.fixture
def with_facts(fake_run, tmp_path):
    """Build the report of a run whose clustering left these facts."""

    def build(language, **facts):
        run = tmp_path / "run"
        shutil.copytree(fake_run(), run)
        manifest = json.loads((run / "manifest.json").read_text())
        manifest["stages"]["cluster"]["facts"] |= facts
        (run / "manifest.json").write_text(json.dumps(manifest))
        return build_report(run, language=language)

    return build


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The clusters are the consensus of 20 fits on resampled users."),
        ("zh", "群组由 20 次重抽样用户聚类的共识得出。"),
    ],
)
def test_a_consensus_is_told(with_facts, language, sentence):
    assert sentence in with_facts(language, consensus=20)


def test_nothing_is_told_without_one(with_facts):
    assert "fits on resampled users" not in with_facts("en", consensus=0)
