"""The encoder beside its peers: speed at equal vectors, the limit of the machine, and where the time goes.

Every arm gets the same texts and gives unit vectors; tokenising is part of each. The limit is what the network's matrix
products alone take on the very packs that the encoder computes: nothing that computes them can be faster.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.bench.corpus import fingerprint, mixed_texts
from uicgpu.bench.fidelity import fidelity
from uicgpu.bench.measure import Arm, machine, summary, take_turns, torch_threads
from uicgpu.bench.peers import Embed, exported_graphs, one_by_one, sentence_transformers
from uicgpu.encode.batches import cut_packs
from uicgpu.encode.encoder import Encoder
from uicgpu.encode.engine import CPU_PACK_TOKENS
from uicgpu.encode.language import load_tokenizer
from uicgpu.encode.network import load_network
from uicgpu.encode.prepacked import PrepackedLinear, can_prepack
from uicgpu.encode.texts import clean_text
from uicgpu.errors import UicError

OURS = "uicgpu"
LIMIT = "matrix products alone"
PLAIN_LIMIT = "matrix products alone, not prepacked"
"""The same with torch's ordinary layers: slower where prepacking pays, and the limit that other programs have."""
BATCH_SIZES = (32, 128)
PROFILED_TEXTS = 256
WARM_UP_TEXTS = 64
LEAST_COSINE = 0.999
"""An arm whose vectors are further from the reference does other work; its speed is not reported."""
KINDS = {
    "matrix products": ("addmm", "aten::mm", "bmm", "linear", "baddbmm", "mkldnn::"),
    "attention": ("scaled_dot_product", "flash_attention", "softmax"),
    "gelu": ("gelu",),
    "layer norm": ("layer_norm",),
    "copies": ("copy_", "clone", "contiguous", "cat", "index", "embedding"),
    "additions": ("add_", "aten::add", "aten::sum", "aten::div"),
}
"""Kinds of operations in the profile, by parts of their names; the first that fits counts."""


def bench_encode(
    texts: Sequence[str] | None = None,
    *,
    count: int = 1500,
    rounds: int = 5,
    wall: bool = True,
    peers: Sequence[str] = ("sentence-transformers", "onnxruntime", "openvino"),
    model: str = "minilm",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the encoder and its peers.

    Parameters
    ----------
    texts
        Default: :func:`uicgpu.bench.corpus.mixed_texts`.
    count
        How many of those.
    rounds
        Measured rounds.
    wall
        Also measure the time that passes with two threads; only meaningful on a machine that does nothing else.
    peers
        Which to compare with.

    Raises
    ------
    MissingExtraError
        A peer is not installed.
    """
    texts = list(texts) if texts is not None else mixed_texts(count)
    before = machine()
    encoder = Encoder(model, device="cpu", threads=1)
    embeds: dict[str, Embed] = {OURS: encoder.encode}
    if "sentence-transformers" in peers:
        embeds |= {f"sentence-transformers {size}": sentence_transformers(encoder.model, size) for size in BATCH_SIZES}
    exported = [peer for peer in peers if peer != "sentence-transformers"]
    graphs = exported_graphs(encoder.model, 1, exported) if exported else {}
    arms = [arm_of(name, embed, texts) for name, embed in (embeds | graphs).items()]
    prepacked = can_prepack("cpu", "float32")
    limits = [(LIMIT, matrix_products(encoder, texts, prepacked))]
    if prepacked:
        limits.append((PLAIN_LIMIT, matrix_products(encoder, texts, False)))
    measured = [arms[0], *(Arm(name, limit, limit) for name, limit in limits), *arms[1:]]
    seconds, vectors = take_turns(measured, rounds, 1, "processor", say)
    with torch_threads(1):
        reference = one_by_one(encoder.model)(texts)
    close = {name: fidelity(vectors[name], reference) for name in (embeds | graphs)}
    check_same_work(close)
    tokens = load_tokenizer(encoder.model).tokenise([clean_text(text) for text in texts]).lengths
    result: dict[str, Any] = {
        "texts": {"count": len(texts), "distinct": len(set(texts)), "sha256": fingerprint(texts)},
        "tokens": int(tokens.sum()),
        "model": encoder.model.name,
        "padding": {"packed": round(encoder.work["padding"], 5), "padded": round(padded_padding(tokens), 5)},
        "fidelity_to_one_by_one": close,
        "processor_time_1_thread": summary(seconds, OURS),
        "share_of_limit": round(float(np.median(np.array(seconds[LIMIT]) / np.array(seconds[OURS]))), 4),
        "tokens_per_processor_second": round(int(tokens.sum()) / float(np.median(seconds[OURS]))),
        "tokenising_share": _tokenising_share(encoder, texts, seconds[OURS]),
        "warm_cache": warm_cache(model, texts),
        "profile": profile(encoder, texts[:PROFILED_TEXTS]),
        "machine_before": before,
        "machine": machine(),
    }
    if wall:
        result |= bench_wall(texts, rounds=rounds, peers=peers, model=model, say=say)
    return result


def bench_wall(
    texts: Sequence[str],
    *,
    rounds: int = 5,
    peers: Sequence[str] = ("sentence-transformers",),
    model: str = "minilm",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Wall-clock time with two threads beside sentence-transformers; on a machine that does nothing else.

    Returns
    -------
    dict
        ``wall_time_2_threads`` (seconds of every program) and ``machine_after_wall``.
    """
    ours = Encoder(model, device="cpu", threads=2)
    embeds: dict[str, Embed] = {OURS: ours.encode}
    if "sentence-transformers" in peers:
        embeds |= {f"sentence-transformers {size}": sentence_transformers(ours.model, size) for size in BATCH_SIZES}
    turns = [arm_of(name, embed, texts) for name, embed in embeds.items()]
    seconds, _ = take_turns(turns, rounds, 2, "wall", say)
    return {"wall_time_2_threads": summary(seconds, OURS), "machine_after_wall": machine()}


def check_same_work(close: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse to compare speeds of programs that do not give the same vectors.

    Raises
    ------
    UicError
        An arm's least cosine to the reference is below :data:`LEAST_COSINE`.
    """
    wrong = {name: figures["cosine_least"] for name, figures in close.items() if figures["cosine_least"] < LEAST_COSINE}
    if wrong:
        told = ", ".join(f"{name} ({cosine:.4f})" for name, cosine in wrong.items())
        raise UicError(f"these do not give the vectors of one text at a time, so their speed says nothing: {told}")


def arm_of(name: str, embed: Callable[..., Any], texts: Sequence[str]) -> Arm:
    """Return the arm that embeds all texts, warmed up with a few."""
    return Arm(name, lambda: embed(texts), lambda: embed(texts[:WARM_UP_TEXTS]))


def padded_padding(lengths: NDArray[np.int64]) -> float:
    """Return computed / real tokens of the path for architectures that cannot run packed."""
    packs = cut_packs(lengths, CPU_PACK_TOKENS, padded=True)
    return sum(len(pack) * int(lengths[pack].max()) for pack in packs) / int(lengths.sum())


def matrix_products(encoder: Encoder, texts: Sequence[str], prepacked: bool) -> Callable[[], object]:
    """Return a function that runs the network's linear layers, and nothing else, on the encoder's packs.

    Parameters
    ----------
    prepacked
        With weights packed as the engine packs them, but without the GELU that it fuses with some of them.
    """
    import torch

    network = load_network(encoder.model, "cpu", "float32")
    layers: list[Any] = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    if prepacked:
        layers = [PrepackedLinear(layer) for layer in layers]
    tokens = load_tokenizer(encoder.model).tokenise([clean_text(text) for text in texts])
    sizes = [int(tokens.lengths[pack].sum()) for pack in cut_packs(tokens.lengths, CPU_PACK_TOKENS)]
    widths = {layer.in_features for layer in layers}
    inputs = {(size, width): torch.full((size, width), 0.01) for size in sizes for width in widths}

    def run() -> None:
        with torch.inference_mode():
            for size in sizes:
                for layer in layers:
                    layer(inputs[size, layer.in_features])

    return run


def warm_cache(model: str, texts: Sequence[str]) -> dict[str, float]:
    """Measure a first run with an empty cache, and runs after it: with the same encoder, and with a new one."""
    with tempfile.TemporaryDirectory() as folder, torch_threads(1):
        first = Encoder(model, device="cpu", threads=1, cache=folder)
        cold = _processor_seconds(lambda: first.encode(texts))
        same = min(_processor_seconds(lambda: first.encode(texts)) for _ in range(5))
        again = min(
            _processor_seconds(lambda: Encoder(model, device="cpu", threads=1, cache=folder).encode(texts))
            for _ in range(5)
        )
    return {
        "first_seconds": round(cold, 4),
        "same_encoder_seconds": round(same, 4),
        "new_encoder_seconds": round(again, 4),
        "same_encoder_ratio": round(cold / same, 1),
        "new_encoder_ratio": round(cold / again, 1),
    }


def profile(encoder: Encoder, texts: Sequence[str]) -> dict[str, float]:
    """Return the share of each kind of operation in the processor time of the network."""
    from torch.profiler import ProfilerActivity, profile

    with torch_threads(1), profile(activities=[ProfilerActivity.CPU]) as seen:
        encoder.encode(texts)
    spent = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in seen.key_averages():
        kind = next((kind for kind, parts in KINDS.items() if any(part in event.key for part in parts)), "other")
        spent[kind] += event.self_cpu_time_total
    total = sum(spent.values())
    return {kind: round(value / total, 4) for kind, value in spent.items()}


def _tokenising_share(encoder: Encoder, texts: Sequence[str], ours: list[float]) -> float:
    tokenizer = load_tokenizer(encoder.model)
    clean = [clean_text(text) for text in texts]
    spent = float(np.median([_processor_seconds(lambda: tokenizer.tokenise(clean)) for _ in range(5)]))
    return round(spent / float(np.median(ours)), 5)


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
