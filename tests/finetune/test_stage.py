from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from uicgpu.backends import choose_backend
from uicgpu.encode.encoder import Encoder
from uicgpu.errors import RunFolderError
from uicgpu.finetune.folder import read_ranking_map
from uicgpu.finetune.recipe import Recipe
from uicgpu.finetune.stage import ranking_vectors, skip_stage, train_stage, trained_encoder
from uicgpu.runs.folder import RunFolder, write_parquet
from uicgpu.runs.progress import SilentProgress
from uicgpu.runs.stages import StageContext
from uicgpu.settings import Settings
from uicgpu.vocabulary import Artefact, Column, StageName


@pytest.fixture
def context(tmp_path, toy_folder, world):
    folder = RunFolder(tmp_path / "run")
    write_parquet(folder.file(Artefact.ITEMS), pl.DataFrame({Column.TEXT: world[1]}))
    folder.manifest = {"stages": {}}
    settings = Settings(events=("e.csv",), out=str(tmp_path / "run"), model=str(toy_folder), split="none", threads=1)
    return StageContext(settings, choose_backend("cpu", 1, 2**30), folder, SilentProgress())


def done(context, facts):
    context.folder.manifest["stages"][StageName.TRAIN] = {"status": "done", "facts": facts}
    return context


def ranked(context, vectors):
    return ranking_vectors(context.folder.path, context.folder.manifest, vectors)


def test_another_encoder_in_its_place_is_refused(context, world):
    facts = train_stage(context, lambda architecture: Recipe("whiten"), world[0])
    done(context, {**facts, "weights_sha256": "0" * 64})
    with pytest.raises(RunFolderError, match="not the one"):
        trained_encoder(context.folder.path, context.folder.manifest)


def test_a_trained_run_encodes_with_its_own_encoder(context, world):
    facts = train_stage(context, lambda architecture: Recipe("head"), world[0])
    done(context, facts)
    encoder = context.folder.file("encoder")
    assert trained_encoder(context.folder.path, context.folder.manifest) == encoder
    vectors = Encoder(encoder, device="cpu", guard=False, threads=1).encode(world[1])
    assert np.array_equal(ranked(context, vectors), read_ranking_map(encoder).apply(vectors))
    written = json.loads(context.folder.file(Artefact.TRAINING).read_text())
    assert written["trained"] and written["weights_sha256"] == facts["weights_sha256"]
    assert not context.folder.file("stages/train-checkpoints").exists()


def test_the_stage_gives_the_same_bytes_again(context, world):
    first = train_stage(context, lambda architecture: Recipe("whiten"), world[0])
    before = {path.name: path.read_bytes() for path in context.folder.path.rglob("*") if path.suffix == ".json"}
    assert train_stage(context, lambda architecture: Recipe("whiten"), world[0]) == first
    assert before == {path.name: path.read_bytes() for path in context.folder.path.rglob("*") if path.suffix == ".json"}


def test_a_run_without_training_is_what_it_was(context):
    done(context, skip_stage(context))
    assert trained_encoder(context.folder.path, context.folder.manifest) is None
    vectors = np.eye(3, dtype=np.float32)
    assert np.array_equal(ranked(context, vectors), vectors)
