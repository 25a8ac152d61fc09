"""Other programs that turn texts into vectors, each behind the same call: texts in, float32 [texts, dim] out."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.batches import Tokens, cut_packs
from uicgpu.encode.encoding import unit_rows
from uicgpu.encode.folders import Model
from uicgpu.encode.language import load_tokenizer
from uicgpu.errors import MissingExtraError

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
PADDED_TOKENS = 2048
"""Padded tokens per batch of the exported graphs, texts sorted by length: 3 % of padding."""
PEERS = {
    "sentence-transformers": ("sentence_transformers", "sentence-transformers"),
    "onnxruntime": ("onnxruntime", "onnxruntime onnx onnxscript"),
    "openvino": ("openvino", "openvino onnx onnxscript"),
}


def require(peer: str) -> Any:
    """Import a peer.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    module, packages = PEERS[peer]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the benchmark compares with {peer}, which is not installed",
            fix=f"pip install {packages}   (in an environment of its own, after torch)",
        ) from error


def sentence_transformers(model: Model, batch_size: int) -> Embed:
    """Return ``SentenceTransformer.encode`` with a batch size."""
    network = require("sentence-transformers").SentenceTransformer(str(model.folder), device="cpu")
    network.max_seq_length = model.max_tokens

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = network.encode(
            list(texts), batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True
        )
        return vectors

    return embed


def exported_graphs(model: Model, threads: int, peers: Sequence[str]) -> dict[str, Embed]:
    """Export the network once and return it as run by onnxruntime and openvino, on batches sorted by token length."""
    found: dict[str, Embed] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for peer in peers:
            require(peer)
        _export(model, path)
        for peer in peers:
            infer = _onnxruntime(path, threads) if peer == "onnxruntime" else _openvino(path, threads)
            found[peer] = _padded(model, infer)
    return found


def one_by_one(model: Model) -> Embed:
    """Return the slow reference: transformers' own network, float32, one text per call, no padding."""
    network = plain_network(model)
    tokenizer = load_tokenizer(model)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        tokens = tokenizer.tokenise(texts)
        rows = []
        with torch.inference_mode():
            for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False):
                ids = torch.from_numpy(tokens.ids[start:end].astype(np.int64))[None]
                rows.append(network(input_ids=ids).last_hidden_state[0].mean(0).numpy())
        return unit_rows(np.stack(rows))

    return embed


def plain_network(model: Model) -> Any:
    """Return the encoder as transformers loads it, without anything of ours."""
    import transformers

    network = getattr(transformers, model.family.network).from_pretrained(
        str(model.folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return network.eval()


def _padded(model: Model, infer: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]) -> Embed:
    tokenizer = load_tokenizer(model)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        tokens = tokenizer.tokenise(texts)
        vectors = np.zeros((len(texts), model.dim), dtype=np.float32)
        for pack in cut_packs(tokens.lengths, PADDED_TOKENS, padded=True):
            ids, mask = _batch(tokens, pack)
            hidden = infer(ids, mask)
            weights = mask[:, :, None].astype(np.float32)
            vectors[pack] = (hidden * weights).sum(1) / weights.sum(1)
        return unit_rows(vectors)

    return embed


def _batch(tokens: Tokens, pack: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = tokens.lengths[pack]
    ids = np.zeros((len(pack), int(lengths.max())), dtype=np.int64)
    for row, text in enumerate(pack):
        ids[row, : lengths[row]] = tokens.ids[tokens.offsets[text] : tokens.offsets[text + 1]]
    return ids, (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)


def _export(model: Model, path: Path) -> None:
    import torch

    class Hidden(torch.nn.Module):
        """The network with two inputs and one output."""

        def __init__(self) -> None:
            super().__init__()
            self.network = plain_network(model)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return hidden

    # two tensors: one tensor given twice is exported as one input, and the graph would read the mask as token ids
    ids, mask = torch.arange(48, dtype=torch.int64).reshape(3, 16), torch.ones((3, 16), dtype=torch.int64)
    axes = {0: torch.export.Dim("texts", min=1, max=4096), 1: torch.export.Dim("tokens", min=2, max=512)}
    torch.onnx.export(
        Hidden().eval(),
        (ids, mask),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["hidden"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        dynamo=True,
        verbose=False,
    )


def _onnxruntime(path: Path, threads: int) -> Callable[..., NDArray[np.float32]]:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def infer(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        hidden: NDArray[np.float32] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return hidden

    return infer


def _openvino(path: Path, threads: int) -> Callable[..., NDArray[np.float32]]:
    openvino = require("openvino")
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)

    def infer(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        hidden: NDArray[np.float32] = compiled([ids, mask])[0]
        return hidden

    return infer
