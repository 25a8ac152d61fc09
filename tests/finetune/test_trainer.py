from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from uicgpu.encode.folders import read_folder
from uicgpu.errors import OutOfResourcesError, UicError
from uicgpu.finetune.blocks import BlockSampler
from uicgpu.finetune.checkpoint import Checkpoint
from uicgpu.finetune.head import HEAD_SCHEDULE, LinearHead
from uicgpu.finetune.later import LaterBehaviour
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.trainer import Training
from uicgpu.runs import folder as run_folder


def begin_training(trainee, data, schedule, folder=None, identity="id"):
    sampler = BlockSampler(data.past, schedule.block, schedule.pairs, 0, "full")
    checkpoint = Checkpoint(folder, "full", identity) if folder is not None else None
    return Training(trainee, sampler, LaterBehaviour(data.past, data.later, 0), schedule, "full", checkpoint)


@pytest.fixture
def start(toy_folder, tuned, short):
    """A fresh encoder and its training."""

    def begin(folder=None, identity="id", **changes):
        trainee = TrainableEncoder(read_folder(toy_folder), tuned.data.texts.texts)
        return trainee, begin_training(trainee, tuned.data, dataclasses.replace(short, **changes), folder, identity)

    return begin


def weights_of(trainee):
    return {name: value.detach().numpy().copy() for name, value in trainee.parameters().items()}


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_later_behaviour_gets_better(start):
    _, training = start(steps=12)
    record = training.run()
    values = dict(record.validation)
    assert values[record.best_step] > values[0]
    assert record.losses[-1] < record.losses[0]


def test_a_killed_training_goes_on_to_the_same_bytes(start, tmp_path):
    whole, training = start(tmp_path / "whole")
    expected = training.run()
    broken, training = start(tmp_path / "broken")
    step = broken.step
    calls = []

    def dies(rows, loss_of):
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(rows, loss_of)

    broken.step = dies
    with pytest.raises(KeyboardInterrupt):
        training.run()
    resumed, training = start(tmp_path / "broken")
    assert training.run() == expected
    assert same(weights_of(resumed), weights_of(whole))


@pytest.mark.slow
def test_kill_9_in_the_middle_gives_the_same_bytes(toy_folder, tmp_path, start, tuned):
    """The real thing: another process is killed while it trains."""
    program = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from conftest import SHORT, make_world
        from pathlib import Path
        from uicgpu.encode.folders import read_folder
        from uicgpu.finetune.network import TrainableEncoder
        from uicgpu.finetune.recipe import Recipe
        from uicgpu.finetune.data import prepare
        from test_trainer import begin_training
        data = prepare(*make_world(), Recipe("full", SHORT), 0)
        trainee = TrainableEncoder(read_folder(Path({str(toy_folder)!r})), data.texts.texts)
        training = begin_training(trainee, data, SHORT, Path({str(tmp_path)!r}))
        training.run(lambda count: training.record.step == 3 and os.kill(os.getpid(), signal.SIGKILL))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed, training = start(tmp_path)
    record = training.run()
    whole, training = start()
    assert training.run() == record
    assert same(weights_of(resumed), weights_of(whole))


def test_a_finished_training_is_not_run_again(start, tmp_path):
    one, training = start(tmp_path)
    training.run()
    again, training = start(tmp_path)
    again.step = None
    training.run()
    assert same(weights_of(one), weights_of(again))


def test_a_checkpoint_of_something_else_is_not_used(start, tmp_path):
    start(tmp_path)[1].run()
    _, other = start(tmp_path, identity="another id")
    other._resume()
    assert other.record.step == 0


def test_a_damaged_checkpoint_is_not_used(start, tmp_path):
    start(tmp_path)[1].run()
    file = next(tmp_path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    _, training = start(tmp_path)
    training._resume()
    assert training.record.step == 0


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(start, tmp_path):
    trainee, training = start(tmp_path)
    step = trainee.step
    losses = []

    def spoiled(rows, loss_of):
        losses.append(step(rows, loss_of))
        return float("nan") if len(losses) == 4 else losses[-1]

    trainee.step = spoiled
    with pytest.raises(UicError, match=r"loss is nan.*at step 4") as caught:
        training.run()
    assert "checkpoint of step 2 is kept" in caught.value.where
    assert "--learning-rate" in caught.value.fix
    _, training = start(tmp_path)
    training._resume()
    assert training.record.step == 2


def test_a_full_disk_keeps_the_last_checkpoint(start, tmp_path, monkeypatch):
    _, training = start(tmp_path)
    fsync = os.fsync

    def full(handle):
        if training.record.step == 4:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(run_folder.os, "fsync", full)
    with pytest.raises(OutOfResourcesError, match="no space left"):
        training.run()
    monkeypatch.undo()
    assert not list(tmp_path.glob(".partial-*"))
    _, training = start(tmp_path)
    training._resume()
    assert training.record.step == 2


def test_no_gain_stops_early_and_the_best_weights_stay(start):
    trainee, training = start(steps=40, evaluate_every=2, patience=2)
    values = iter([0.1, 0.3, 0.2, 0.2, 0.2, 0.2])
    seen = {}

    def judged(vectors):
        seen[training.record.step] = weights_of(trainee)
        return next(values)

    training._judge.ndcg = judged
    record = training.run()
    assert (record.stopped, record.best_step, record.step) == ("early", 2, 6)
    assert same(weights_of(trainee), seen[2])


def test_a_head_starts_as_nothing_and_learns(tuned):
    data = tuned.data
    inputs = tuned.result.arms["half-whitened"].ranking.apply(tuned.result.vectors[None])
    head = LinearHead(inputs)
    rows = np.arange(10)
    assert np.abs(head.vectors(rows) - inputs[rows]).max() < 1e-6
    record = begin_training(head, data, dataclasses.replace(HEAD_SCHEDULE, steps=60)).run()
    assert np.mean(record.losses[-5:]) < np.mean(record.losses[:5])
    moved = inputs[rows] @ head.affine().weight.T
    assert np.abs(moved / np.linalg.norm(moved, axis=1, keepdims=True) - head.vectors(rows)).max() < 1e-5
