"""The encoder's benchmark runs on a tiny input and says what it compared; its parts do what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from uicgpu.bench import BENCHMARKS, encode, peers
from uicgpu.bench.corpus import fingerprint, mixed_texts
from uicgpu.bench.encode import LIMIT, OURS, PLAIN_LIMIT, bench_encode, check_same_work
from uicgpu.bench.fidelity import fidelity
from uicgpu.bench.measure import Arm, summary, take_turns
from uicgpu.encode.models import find_model
from uicgpu.errors import MissingExtraError, UicError


def test_arms_take_turns():
    order = []
    arms = [Arm(name, lambda name=name: order.append(name) or name, lambda: order.append("warm")) for name in "AB"]
    seconds, results = take_turns(arms, 3, 1, "wall")
    assert order == ["warm", "warm", *"ABABAB"]
    assert results == {"A": "A", "B": "B"}
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_the_ratio_is_taken_round_by_round():
    told = summary({"ours": [1.0, 10.0, 2.0], "peer": [2.0, 20.0, 4.0]}, "ours")
    assert told["peer"]["times_reference"] == 2.0
    assert told["ours"] == {
        "median_seconds": 2.0,
        "least_seconds": 1.0,
        "most_seconds": 10.0,
        "times_reference": 1.0,
    }


def test_fidelity_notices_a_wrong_neighbour():
    vectors = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert fidelity(vectors, vectors)["top10_overlap"] == 1.0
    other = vectors.copy()
    other[0] = -other[0]
    seen = fidelity(other, vectors)
    assert seen["cosine_least"] < -0.99
    assert seen["top10_overlap"] < 1.0
    assert seen["top1_agreement"] < 1.0


@pytest.fixture(scope="module")
def texts():
    try:
        return mixed_texts(40)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_the_texts_are_distinct_mixed_and_always_the_same(texts):
    assert len(texts) == len(set(texts)) == 40
    assert fingerprint(mixed_texts(40)) == fingerprint(texts)
    assert min(map(len, texts)) < 60 < 120 < max(map(len, texts))


def test_a_tiny_run_without_peers(texts):
    try:
        find_model("minilm")
    except MissingExtraError as error:
        pytest.skip(str(error))
    result = bench_encode(texts, rounds=1, peers=(), wall=True)
    json.dumps(result)
    assert set(result["processor_time_1_thread"]) - {PLAIN_LIMIT} == {OURS, LIMIT}
    assert result["fidelity_to_one_by_one"][OURS]["cosine_least"] > 0.99999
    assert result["fidelity_to_one_by_one"][OURS]["top10_overlap"] > 0.999
    assert result["padding"]["packed"] < 1.01
    assert abs(sum(result["profile"].values()) - 1) < 0.01
    assert result["texts"]["sha256"] == fingerprint(texts)


def test_a_missing_peer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(peers.PEERS, "openvino", ("no_such_module_here", "openvino"))
    with pytest.raises(MissingExtraError) as caught:
        peers.require("openvino")
    assert "pip install openvino" in (caught.value.fix or "")
    assert caught.value.exit_code == 4


def test_every_benchmark_has_its_function():
    module, _, name = BENCHMARKS["encode"].partition(":")
    assert (module, getattr(encode, name)) == (encode.__name__, bench_encode)


def test_the_speed_of_wrong_vectors_is_not_reported():
    check_same_work({"a": {"cosine_least": 0.99999}})
    with pytest.raises(UicError, match=r"b \(0\.0104\)"):
        check_same_work({"a": {"cosine_least": 1.0}, "b": {"cosine_least": 0.0104}})


@pytest.mark.parametrize("peer", ["onnxruntime", "openvino"])
def test_exported_graphs_give_the_vectors_of_one_text_at_a_time(peer, texts):
    for module in ("onnxscript", peer):
        pytest.importorskip(module, reason="the peers have an environment of their own")
    model = find_model("minilm")
    found = peers.exported_graphs(model, 1, [peer])[peer](texts)
    assert fidelity(found, peers.one_by_one(model)(texts))["cosine_least"] > 0.99999
