"""Packed equals one text at a time, for every architecture that runs packed; and the control that must fail."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from uicgpu.encode.architectures import FAMILIES
from uicgpu.encode.attention import (
    PACKED_ATTENTION,
    PackLayout,
    first_position,
    layout_of,
    packed_attention,
    register_packed_attention,
)
from uicgpu.encode.engine import Engine
from uicgpu.encode.folders import read_folder

PACKED = ["bert", "electra", "distilbert", "roberta", "xlm-roberta", "camembert", "modernbert", "qwen3", "gemma3_text"]
PACKED += ["nomic_bert", "eurobert"]
PADDED = ["mpnet", "deberta-v2", "albert"]
LENGTHS = [3, 17, 5, 5, 30, 3, 9, 17, 1, 5]


def one_by_one(folder, kind, tokens, pooling):
    """The oracle: the library's own eager attention, one unpadded text per call, pooled in float64."""
    network = getattr(transformers, FAMILIES[kind].network).from_pretrained(folder, attn_implementation="eager").eval()
    rows = []
    for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False):
        ids = torch.from_numpy(tokens.ids[start:end].astype(np.int64))[None]
        with torch.inference_mode():
            hidden = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].double().numpy()
        rows.append({"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling])
    return np.stack(rows)


@pytest.mark.parametrize("kind", PACKED)
def test_packed_equals_one_text_at_a_time(kind, toys, tmp_path):
    model = read_folder(toys.write(tmp_path, kind))
    tokens = toys.tokens(LENGTHS)
    alone = one_by_one(tmp_path, kind, tokens, model.pooling)
    engine = Engine(model)
    packed = engine.embed(tokens)
    assert engine.packed
    assert np.abs(packed - alone).max() < 2e-5

    # The control: without the boundaries between texts the result must differ, or this test could not fail.
    def torn_attention(module, query, key, value, mask, pack_layout=None, **options):
        pack_layout.calls += 1
        whole = PackLayout(((0, 1, pack_layout.tokens),), pack_layout.tokens)
        return packed_attention(module, query, key, value, mask, pack_layout=whole, **options)

    transformers.AttentionInterface.register(PACKED_ATTENTION, torn_attention)
    try:
        torn = engine.embed(tokens)
    finally:
        register_packed_attention()
    assert np.abs(torn - alone).max() > 1e-3
    assert np.array_equal(engine.embed(tokens), packed)


@pytest.mark.parametrize("kind", PADDED)
def test_padded_fallback_equals_one_text_at_a_time(kind, toys, tmp_path):
    model = read_folder(toys.write(tmp_path, kind))
    tokens = toys.tokens(LENGTHS)
    engine = Engine(model, batch_tokens=64)
    assert not engine.packed
    assert np.abs(engine.embed(tokens) - one_by_one(tmp_path, kind, tokens, model.pooling)).max() < 2e-5
    assert sum(LENGTHS) < engine.computed_tokens < 2 * sum(LENGTHS)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling(pooling, toys, toy_folder, toy_model):
    tokens = toys.tokens(LENGTHS)
    vectors = Engine(dataclasses.replace(toy_model, pooling=pooling)).embed(tokens)
    assert np.abs(vectors - one_by_one(toy_folder, "bert", tokens, pooling)).max() < 2e-5


def test_every_accepted_architecture_is_tested():
    assert sorted(PACKED + PADDED) == sorted(FAMILIES)
    assert [kind for kind in PACKED + PADDED if FAMILIES[kind].packed] == PACKED


def test_first_position_is_two_in_the_roberta_family_only(toys):
    assert {kind: first_position(toys.network(kind)) for kind in ("bert", "roberta", "xlm-roberta", "camembert")} == {
        "bert": 0,
        "roberta": 2,
        "xlm-roberta": 2,
        "camembert": 2,
    }


def naive_attention(query, key, value, lengths, scale, window, causal):
    """Float64 loops over texts, heads and tokens."""
    output = np.zeros((query.shape[2], query.shape[1], query.shape[3]))
    share = query.shape[1] // key.shape[1]
    start = 0
    for length in lengths:
        for head in range(query.shape[1]):
            for i in range(length):
                seen = [
                    j for j in range(length) if (not causal or j <= i) and (window is None or abs(i - j) <= window - 1)
                ]
                keys = key[0, head // share, [start + j for j in seen]].double().numpy()
                scores = keys @ query[0, head, start + i].double().numpy() * scale
                weights = np.exp(scores - scores.max())
                values = value[0, head // share, [start + j for j in seen]].double().numpy()
                output[start + i, head] = weights @ values / weights.sum()
        start += length
    return output


@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_attention_against_loops(window, causal, key_heads):
    random = torch.Generator().manual_seed(3)
    lengths = np.array([7, 7, 4, 1, 1])
    query = torch.randn(1, 4, 20, 8, generator=random)
    key, value = torch.randn(2, 1, key_heads, 20, 8, generator=random)
    module = torch.nn.Module()
    module.is_causal = causal
    output, weights = packed_attention(
        module, query, key, value, None, scaling=0.3, sliding_window=window, pack_layout=layout_of(lengths)
    )
    assert weights is None
    assert np.abs(output[0].numpy() - naive_attention(query, key, value, lengths, 0.3, window, causal)).max() < 1e-5


def test_attention_refuses_to_run_without_a_layout_or_with_a_wrong_one():
    part = torch.zeros(1, 1, 4, 8)
    with pytest.raises(RuntimeError, match="needs a pack layout"):
        packed_attention(torch.nn.Module(), part, part, part, None)
    with pytest.raises(RuntimeError, match="does not fit"):
        packed_attention(torch.nn.Module(), part, part, part, None, pack_layout=layout_of(np.array([3])))


def test_layout_groups_equal_lengths():
    layout = layout_of(np.array([5, 5, 3, 1, 1, 1]))
    assert layout.groups == ((0, 2, 5), (10, 1, 3), (13, 3, 1))
    assert layout.tokens == 16


def test_variable_length_branch_gets_the_same_texts(monkeypatch):
    """The GPU kernel is replaced by its documented meaning: causal or windowed attention between boundaries."""
    import torch.nn.attention.varlen as varlen

    def stand_in(query, key, value, cu_q, cu_k, max_q, max_k, *, scale, window_size, enable_gqa):
        assert cu_q.dtype == torch.int32
        assert int(max_q) == 7
        left, right = window_size
        causal = right == 0
        window = None if left < 0 else left + 1
        lengths = np.diff(cu_q.numpy())
        parts = [part.transpose(0, 1)[None] for part in (query, key, value)]
        assert enable_gqa
        return torch.from_numpy(naive_attention(*parts, lengths, scale, window, causal)).float()

    monkeypatch.setattr(varlen, "varlen_attn", stand_in)
    random = torch.Generator().manual_seed(3)
    query = torch.randn(1, 4, 20, 8, generator=random)
    key, value = torch.randn(2, 1, 2, 20, 8, generator=random)
    lengths = np.array([7, 7, 4, 1, 1])
    module = torch.nn.Module()
    for causal in (False, True):
        module.is_causal = causal
        for window in (None, 3):
            plain, _ = packed_attention(
                module, query, key, value, None, scaling=0.3, sliding_window=window, pack_layout=layout_of(lengths)
            )
            with_kernel, _ = packed_attention(
                module,
                query,
                key,
                value,
                None,
                scaling=0.3,
                sliding_window=window,
                pack_layout=layout_of(lengths, "cpu"),
            )
            assert torch.allclose(plain, with_kernel, atol=1e-5)
