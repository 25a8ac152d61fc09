"""Packed weights compute the same function, in every architecture, whatever the number of rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from uicgpu.encode.engine import Engine
from uicgpu.encode.folders import read_folder
from uicgpu.encode.prepacked import PrepackedLinear, can_prepack, prepack

LENGTHS = [3, 17, 5, 5, 30, 3, 9, 17, 1, 5] * 10

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this build of torch has no oneDNN"
)


@pytest.fixture
def layer() -> nn.Linear:
    random = torch.Generator().manual_seed(1)
    made = nn.Linear(48, 80)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.3, generator=random)
    return made.requires_grad_(False)


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_product_is_that_of_float64(layer, gelu, bias):
    if not bias:
        layer.bias = None
    rows = torch.randn((1, 70, 48), generator=torch.Generator().manual_seed(2))
    expected = functional.linear(rows.double(), layer.weight.double(), layer.bias.double() if bias else None)
    expected = functional.gelu(expected) if gelu else expected
    with torch.inference_mode():
        found = PrepackedLinear(layer, gelu)(rows)
    assert found.shape == (1, 70, 80)
    assert (found - expected).abs().max() < 1e-5


def test_a_row_does_not_depend_on_the_number_of_rows(layer):
    packed = PrepackedLinear(layer)
    rows = torch.randn((1100, 48), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        together = packed(rows)
        for count in (64, 65, 127, 500, 1023, 1025):
            assert torch.equal(packed(rows[7 : 7 + count]), together[7 : 7 + count]), count


@pytest.mark.parametrize(
    "kind",
    ["bert", "electra", "distilbert", "roberta", "modernbert", "qwen3", "gemma3_text", "nomic_bert", "mpnet", "albert"],
)
def test_every_architecture_gives_the_vectors_of_its_ordinary_layers(kind, toys, tmp_path):
    model = read_folder(toys.write(tmp_path, kind))
    tokens = toys.tokens(LENGTHS)
    expected = Engine(model, batch_tokens=256, prepacked=False).embed(tokens)
    engine = Engine(model, batch_tokens=256, prepacked=True)
    found = engine.embed(tokens)
    assert any(isinstance(module, PrepackedLinear) for module in engine.network.modules())
    assert np.abs(found - expected).max() < 1e-4 * max(1.0, float(np.abs(expected).max()))


def test_the_exact_gelu_is_fused_and_no_other(toys):
    network = toys.network("bert")
    layers = sum(isinstance(module, nn.Linear) for module in network.modules())
    assert prepack(network) == layers
    assert isinstance(network.encoder.layer[0].intermediate.intermediate_act_fn, nn.Identity)
    other = toys.network("bert")
    for block in other.encoder.layer:
        block.intermediate.intermediate_act_fn = nn.GELU(approximate="tanh")
    prepack(other)
    assert isinstance(other.encoder.layer[0].intermediate.intermediate_act_fn, nn.GELU)


def test_bytes_do_not_depend_on_threads(toys, toy_model):
    tokens = toys.tokens(LENGTHS)
    one, two = (Engine(toy_model, threads=count, batch_tokens=128, prepacked=True).embed(tokens) for count in (1, 2))
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize(
    ("device", "dtype", "capability", "expected"),
    [
        ("cpu", "float32", "AVX512", True),
        ("cpu", "float32", "AVX2", False),
        ("cpu", "bfloat16", "AVX512", False),
        ("cuda:0", "float32", "AVX512", False),
    ],
)
def test_only_where_it_pays(device, dtype, capability, expected, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert can_prepack(device, dtype) is expected
