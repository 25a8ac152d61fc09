"""What goes wrong with a training in practice, through the command: the exit code, the words, and what is left."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from uicgpu.cli.main import call
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.schedule import Schedule
from uicgpu.runs import folder as run_folder


@pytest.fixture
def train(files, toy_folder, tmp_path):
    """Run the command on the small world; arguments may replace the files and the model."""

    def begin(*more, events=None, items=None, model=toy_folder):
        given = list(files)
        for flag, path in (("--events", events), ("--items", items)):
            if path is not None:
                given[given.index(flag) + 1] = str(path)
        given += ["--model", str(model), "--recipe", "full", "--steps", "6", "--block", "24", "--threads", "1"]
        return call(["train", *given, "--out", str(tmp_path / "out"), *more])

    return begin


@pytest.fixture
def often(monkeypatch):
    """A checkpoint every second step."""
    monkeypatch.setattr("uicgpu.finetune.recipe.Schedule", lambda: Schedule(checkpoint_every=2))


def write_events(path, pairs):
    lines = [f"{user},{item},{1_600_000_000 + place}" for place, (user, item) in enumerate(pairs)]
    path.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    return path


def pairs_of(world):
    events, _ = world
    return [(f"u{user}", int(item)) for user, item in zip(events.users, events.items, strict=True)]


def test_too_few_pairs_name_the_number_needed(train, world, tmp_path, capsys):
    few = write_events(tmp_path / "few.csv", pairs_of(world)[:250])
    assert train(events=few) == 3
    said = capsys.readouterr().err
    assert "250 pairs of 25 users" in said
    assert "needed are 300 pairs, 20 users and 40 texts" in said
    assert not (tmp_path / "out").exists()


def test_one_giant_user_neither_trains_alone_nor_decides(train, world, tmp_path, capsys):
    giant = write_events(tmp_path / "giant.csv", [("giant", item) for item in range(90)] * 3)
    assert train(events=giant) == 3
    assert "of 1 users" in capsys.readouterr().err
    among_others = write_events(tmp_path / "both.csv", pairs_of(world) + [("giant", item) for item in range(90)])
    assert train("-q", "--json", events=among_others) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 90 * 10 + 90


def test_items_with_one_text_are_one_text(train, world, tmp_path, capsys):
    """Each item twice, in other letters: nothing is its own positive, and the hold-out splits no text."""
    texts = world[1]
    twice = tmp_path / "twice.csv"
    rows = [f"{number},{text}" for number, text in enumerate(texts)]
    rows += [f"{number + len(texts)},{text.upper()}" for number, text in enumerate(texts)]
    twice.write_text("item_id,title\n" + "\n".join(rows) + "\n")
    doubled = [(user, item + shift) for user, item in pairs_of(world) for shift in (0, len(texts))]
    assert train("-q", items=twice, events=write_events(tmp_path / "doubled.csv", doubled)) == 0
    facts = json.loads((tmp_path / "out" / "training.json").read_text())
    assert facts["data"]["texts"] == len(texts)
    assert facts["data"]["pairs"] == len(pairs_of(world))


def test_a_loss_that_is_not_finite_stops_and_the_next_run_goes_on(train, often, tmp_path, capsys, monkeypatch):
    step, losses = TrainableEncoder.step, []

    def spoiled(self, rows, loss_of, cached=None):
        losses.append(step(self, rows, loss_of, cached))
        return float("nan") if len(losses) == 2 + 5 else losses[-1]  # two steps belong to the estimate

    monkeypatch.setattr(TrainableEncoder, "step", spoiled)
    assert train("--learning-rate", "0.001") == 1
    said = capsys.readouterr().err
    assert "the loss is nan" in said and "at step 5" in said
    assert "--learning-rate" in said
    assert not (tmp_path / "out").exists()
    kept = list((tmp_path / ".out.checkpoints").glob("*.safetensors"))
    assert [file.name for file in kept] == ["full-4.safetensors"]
    monkeypatch.setattr(TrainableEncoder, "step", step)
    assert train("--learning-rate", "0.001") == 0
    assert "going on after step 4" in capsys.readouterr().err
    assert (tmp_path / "out" / "README.md").is_file()
    assert not (tmp_path / ".out.checkpoints").exists()


def test_a_base_without_safetensors_is_refused_before_anything_is_read(train, build, tmp_path, capsys):
    folder = build.folder(tmp_path / "base")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert train(model=folder) == 3
    said = capsys.readouterr().err
    assert "pytorch_model.bin" in said or "safetensors" in said
    assert not (tmp_path / "out").exists()


def test_a_full_disk_in_a_checkpoint_keeps_the_former_one(train, often, tmp_path, capsys, monkeypatch):
    fsync, folder = os.fsync, tmp_path / ".out.checkpoints"

    def full(handle):
        if (folder / "full-2.safetensors").exists() and (folder / "full-checkpoint.json").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(run_folder.os, "fsync", full)
    assert train() == 5
    assert "no space left" in capsys.readouterr().err
    monkeypatch.setattr(run_folder.os, "fsync", fsync)
    assert sorted(file.name for file in folder.iterdir()) == ["full-2.safetensors", "full-checkpoint.json"]
    assert train() == 0
    assert "going on after step 2" in capsys.readouterr().err


def test_weights_that_change_the_structure_of_meaning_do_not_ship(train, tmp_path, capsys):
    assert train("--least-structure", "1", "--learning-rate", "0.01") == 0
    assert "the weights of full were not considered" in capsys.readouterr().err
    facts = json.loads((tmp_path / "out" / "training.json").read_text())
    assert facts["gate"]["refused_for_structure"] == ["blend", "full"]
    assert max(facts["structure"]["full"], facts["structure"]["blend"]) < 1 == facts["structure"]["base"]
    assert {row["arm"] for row in facts["gate"]["table"]} == {"frozen", "half-whitened", "head", "head + whitening"}


def test_structure_is_the_correlation_of_all_cosines():
    from uicgpu.finetune.similarity import meaning_of

    random = np.random.default_rng(0)

    def encoder(share):
        own = random.normal(size=(64, 8))

        def encode(texts):
            mixed = (1 - share) * fixed + share * own
            return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)

        return encode

    fixed = random.normal(size=(64, 8))
    before = meaning_of(encoder(0))
    assert before.structure_of(before) == pytest.approx(1)
    near, far = (meaning_of(encoder(share)).structure_of(before) for share in (0.2, 1))
    assert near > 0.9 and abs(far) < 0.2
    turned, _ = np.linalg.qr(random.normal(size=(8, 8)))
    assert meaning_of(lambda texts: encoder(0)(texts) @ turned).structure_of(before) == pytest.approx(1)
