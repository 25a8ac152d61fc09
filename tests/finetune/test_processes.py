from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from uicgpu.encode.folders import read_folder
from uicgpu.errors import MissingExtraError
from uicgpu.finetune import network as network_room
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.processes import ALONE, Processes, several_processes

TEXTS = [
    "red bike",
    "blue boat hat",
    "lamp",
    "green chair table phone",
    "shoe hat book",
    "red red",
    "phone",
    "book hat",
]


class Threads(Processes):
    """Stands in for processes: the sum goes round between threads."""

    def __init__(self, rank, size, shared):
        super().__init__(rank, size)
        self._barrier, self._places = shared

    def sum(self, tensor):
        self._places[self.rank] = tensor
        self._barrier.wait(60)
        total = torch.stack(self._places).sum(0)
        self._barrier.wait(60)
        return total


def loss_of(vectors):
    target = torch.linspace(-1, 1, vectors.numel()).view_as(vectors)
    return ((vectors - target) ** 2).sum() + (vectors @ vectors.T).sum()


@pytest.mark.parametrize(("kind", "cached"), [("bert", False), ("bert", True), ("mpnet", False)])
def test_each_process_runs_its_packs_and_all_get_the_whole_gradient(build, tmp_path, monkeypatch, kind, cached):
    monkeypatch.setattr(network_room, "PACK_TOKENS", 10)
    model = read_folder(build.folder(tmp_path, kind))
    rows = np.arange(len(TEXTS))
    alone = TrainableEncoder(model, TEXTS)
    expected = alone.step(rows, loss_of)
    shared = (threading.Barrier(2), [None, None])
    encoders = [TrainableEncoder(model, TEXTS, processes=Threads(rank, 2, shared)) for rank in range(2)]
    packs = [0, 0]
    found = [None, None]

    def work(rank):
        pooled = encoders[rank]._pooled

        def counted(*given):
            packs[rank] += 1
            return pooled(*given)

        encoders[rank]._pooled = counted
        found[rank] = (encoders[rank].step(rows, loss_of, cached=cached), encoders[rank].vectors(rows))

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert packs[0] > 1 and packs[1] > 1
    vectors = alone.vectors(rows)
    for rank in range(2):
        assert found[rank][0] == pytest.approx(expected, rel=1e-6)
        assert np.abs(found[rank][1] - vectors).max() < 1e-6
        for name, value in alone.parameters().items():
            gradient = encoders[rank].parameters()[name].grad
            assert (gradient is None) == (value.grad is None), name
            assert gradient is None or torch.allclose(gradient, value.grad, atol=1e-4, rtol=1e-4), name


def test_one_process_needs_no_library(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert several_processes(cpu=True) is ALONE
    assert ALONE.main and list(ALONE.mine(3)) == [0, 1, 2]


def test_several_processes_without_accelerate_name_the_install_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        several_processes(cpu=True)
    assert "uicgpu[train]" in caught.value.fix


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="pip install 'uicgpu[train]'")
def test_two_processes_train_what_one_does(files, toy_folder, tmp_path):
    """The real thing: two processes with gloo on the CPU, started as accelerate launch and torchrun start them."""
    from safetensors.numpy import load_file

    given = ["train", *files, "--model", str(toy_folder), "--recipe", "full", "--steps", "6", "--block", "32"]
    given += ["--device", "cpu", "--threads", "1", "--json", "-q", "--learning-rate", "0.003"]

    def run(out, **extra):
        command = [sys.executable, "-m", "uicgpu", *given, "--out", str(tmp_path / out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **extra}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = [
        run(
            "two",
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    alone = run("one")
    assert alone.communicate(timeout=300) and alone.returncode == 0
    assert json.loads(said[0][0])["ships"]
    assert said[1][0] == ""
    facts = [json.loads((tmp_path / out / "training.json").read_text()) for out in ("one", "two")]
    assert facts[0]["records"]["full"]["losses"] == pytest.approx(facts[1]["records"]["full"]["losses"], abs=1e-4)
    tables = [{row["arm"]: row["ndcg"] for row in fact["gate"]["table"]} for fact in facts]
    assert tables[0] == pytest.approx(tables[1], abs=0.02)
    weights = [load_file(tmp_path / out / "model.safetensors") for out in ("one", "two")]
    assert all(np.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])
