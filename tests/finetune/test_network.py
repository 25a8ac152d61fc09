from __future__ import annotations

import numpy as np
import pytest
import torch

from uicgpu.encode.encoder import Encoder
from uicgpu.encode.folders import read_folder
from uicgpu.finetune import network as network_room
from uicgpu.finetune.network import TrainableEncoder

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


def loss_of(vectors):
    target = torch.linspace(-1, 1, vectors.numel()).view_as(vectors)
    return ((vectors - target) ** 2).sum() + (vectors @ vectors.T).sum()


def gradients(encoder, rows, **how):
    loss = encoder.step(rows, loss_of, **how)
    return loss, {name: None if p.grad is None else p.grad.clone() for name, p in encoder.parameters().items()}


@pytest.fixture(params=["bert", "mpnet", "qwen3"])
def folder(request, build, tmp_path):
    return build.folder(tmp_path, request.param)


def test_vectors_are_those_of_the_encode_room(folder):
    trainable = TrainableEncoder(read_folder(folder), TEXTS)
    expected = Encoder(folder, device="cpu", guard=False, threads=1).encode(TEXTS)
    assert np.abs(trainable.vectors(np.arange(len(TEXTS))) - expected).max() < 1e-5
    assert np.abs(trainable.encode(TEXTS[:3]) - expected[:3]).max() < 1e-5


def test_the_gradient_is_that_of_one_plain_backward(folder, monkeypatch):
    monkeypatch.setattr(network_room, "PACK_TOKENS", 10)
    encoder = TrainableEncoder(read_folder(folder), TEXTS)
    rows = np.array([3, 0, 6, 1, 5])
    loss, found = gradients(encoder, rows)
    for parameter in encoder.parameters().values():
        parameter.grad = None
    # the slow way: every text alone, everything in one graph
    with torch.enable_grad():
        alone = torch.cat([encoder._pooled(encoder._short, rows[[place]]) for place in range(rows.size)])
        slow = loss_of(torch.nn.functional.normalize(alone, dim=1))
        slow.backward()
    assert loss == pytest.approx(float(slow.detach()), rel=1e-4)
    for name, parameter in encoder.parameters().items():
        assert (parameter.grad is None) == (found[name] is None)
        if parameter.grad is not None:
            assert torch.allclose(found[name], parameter.grad, atol=1e-3, rtol=1e-3), name


def test_gradient_caching_and_threads_change_no_bit(toy_folder, monkeypatch):
    monkeypatch.setattr(network_room, "PACK_TOKENS", 10)
    rows = np.arange(len(TEXTS))
    results = []
    for threads, cached in ((1, False), (1, True), (2, False), (2, True)):
        encoder = TrainableEncoder(read_folder(toy_folder), TEXTS, threads=threads)
        results.append(gradients(encoder, rows, cached=cached))
    for loss, found in results[1:]:
        assert loss == results[0][0]
        assert all(torch.equal(found[name], value) for name, value in results[0][1].items() if value is not None)


def test_a_small_memory_budget_turns_caching_on(toy_folder, monkeypatch):
    encoder = TrainableEncoder(read_folder(toy_folder), TEXTS, memory=1)
    runs = []
    pooled = encoder._pooled
    monkeypatch.setattr(encoder, "_pooled", lambda *given: runs.append(torch.is_grad_enabled()) or pooled(*given))
    encoder.step(np.arange(4), loss_of)
    assert runs == [False, True]


def test_where_not_even_a_pack_fits_layers_run_again_and_no_bit_changes(folder, monkeypatch):
    rows = np.arange(len(TEXTS))
    results, runs = [], []
    for memory in (2**30, 1):
        encoder = TrainableEncoder(read_folder(folder), TEXTS, memory=memory)
        attention = next(
            module
            for name, module in encoder.network.named_modules()
            if name.endswith("layer.0.attention") or name.endswith("layers.0.self_attn")
        )
        count = [0]
        attention.register_forward_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        results.append(gradients(encoder, rows, cached=False))
        runs.append(count[0])
    assert runs[1] == 2 * runs[0]
    assert results[0][0] == results[1][0]
    assert all(value is None or torch.equal(value, results[1][1][name]) for name, value in results[0][1].items())


@pytest.mark.parametrize(
    ("device", "knows", "expected"),
    [("cuda:0", True, ("cuda", torch.bfloat16)), ("cuda:0", False, None), ("cpu", True, None)],
)
def test_the_device_chooses_the_precision(toy_folder, monkeypatch, device, knows, expected):
    """Doubles stand for the GPU: what is asked for is seen, nothing runs on a device."""
    asked = []
    load = network_room.load_network
    monkeypatch.setattr(
        network_room, "load_network", lambda model, _, dtype: asked.append(dtype) or load(model, "cpu", dtype)
    )
    monkeypatch.setattr(network_room, "knows_bf16", lambda: knows)
    monkeypatch.setattr(torch, "autocast", lambda *given: given)
    encoder = TrainableEncoder(read_folder(toy_folder), TEXTS, device=device, threads=4)
    assert asked == ["float32"]  # weights stay in it everywhere
    found = encoder._autocast()
    assert (found if isinstance(found, tuple) else None) == expected
    assert encoder.threads == (4 if device == "cpu" else 1)


def test_half_precision_forward_keeps_whole_gradients(toy_folder, monkeypatch):
    """The forward in bf16, as on a GPU that has it, executed by the CPU's own autocast."""
    rows = np.arange(len(TEXTS))
    whole, half = (TrainableEncoder(read_folder(toy_folder), TEXTS) for _ in range(2))
    monkeypatch.setattr(half, "_autocast", lambda: torch.autocast("cpu", torch.bfloat16))
    loss, expected = gradients(whole, rows)
    near, found = gradients(half, rows)
    assert near == pytest.approx(loss, rel=0.02) and near != loss
    for name, value in found.items():
        if value is not None and expected[name].norm() > 1e-3:
            assert value.dtype == torch.float32
            assert torch.nn.functional.cosine_similarity(value.flatten(), expected[name].flatten(), dim=0) > 0.97, name
