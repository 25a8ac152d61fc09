"""Training throughput against sentence-transformers' own trainer on the same job.

Both train the same weights on the same pairs once, in batches of 64 pairs: multiple negatives at temperature .05,
AdamW without weight decay, gradient norm clipped at 1, linear decay, at most 64 tokens per text, no dropout, fp32, one
thread.
Each is measured whole, as a user runs it: loop, loss, optimiser, tokenising and (there) the data loader.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.bench.train_sets import load
from uicgpu.encode.encoder import Encoder
from uicgpu.encode.folders import Model
from uicgpu.finetune.behaviour import distinct
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.pairs import Pairs
from uicgpu.finetune.schedule import Schedule
from uicgpu.finetune.trainer import Training
from uicgpu.runs.folder import write_json

BATCH: Final = 64
TEMPERATURE: Final = 0.05
RATE: Final = 2e-5
TOKENS: Final = 64
RESULTS: Final = Path(__file__).parent / "results" / "train.json"


@dataclass(frozen=True)
class Straight:
    """Draws the pairs in their order: texts ``i`` and ``i + n`` belong together."""

    pairs: int

    def draw(self, step: int) -> Pairs:
        """Return the batch of a step."""
        rows = np.arange(step * BATCH, (step + 1) * BATCH)
        queries = np.eye(BATCH, 2 * BATCH, dtype=np.float32)
        no_user = np.zeros((BATCH, BATCH), np.bool_)
        columns = np.arange(BATCH, 2 * BATCH)
        return Pairs(np.concatenate([rows, rows + self.pairs]), queries, columns, no_user, np.zeros(BATCH, np.float32))


def ours(model: Model, left: list[str], right: list[str]) -> tuple[float, float, int]:
    """Train with this package; returns CPU seconds, the first loss, and tokens."""
    started = time.process_time()
    trainee = TrainableEncoder(model, left + right)
    schedule = Schedule(
        steps=len(left) // BATCH,
        block=2 * BATCH,
        learning_rate=RATE,
        weight_decay=0.0,
        temperature=TEMPERATURE,
        popularity=0.0,
        warm_up=0.0,
    )
    record = Training(trainee, Straight(len(left)), None, schedule, "pairs").run()
    return time.process_time() - started, record.losses[0], trainee.tokens(np.arange(len(left) + len(right)))


def theirs(model: Model, left: list[str], right: list[str]) -> tuple[float, float]:
    """Train with sentence-transformers' trainer; returns CPU seconds and the first loss."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    pairs = Dataset.from_dict({"anchor": left, "positive": right})
    started = time.process_time()
    peer = SentenceTransformer(str(model.folder), device="cpu")
    peer.max_seq_length = TOKENS
    for module in peer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = MultipleNegativesRankingLoss(peer, scale=1 / TEMPERATURE)
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_drop_last=True,
        )
        SentenceTransformerTrainer(model=peer, args=arguments, train_dataset=pairs, loss=loss).train()
    seconds = time.process_time() - started
    fresh = SentenceTransformer(str(model.folder), device="cpu").eval()
    fresh.max_seq_length = TOKENS
    first = MultipleNegativesRankingLoss(fresh, scale=1 / TEMPERATURE)
    with torch.no_grad():
        value = float(first([fresh.preprocess(part[:BATCH]) for part in (left, right)], torch.zeros(BATCH)))
    return seconds, value


def measure(texts: list[str], model: Model, rounds: int, steps: int) -> dict[str, Any]:
    """Interleave both; medians of tokens per CPU second after one round that warms up."""
    import torch

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    rates: dict[str, list[float]] = {"uicgpu": [], "sentence-transformers": []}
    per_text = 0.0
    for turn in range(rounds + 1):
        chosen: NDArray[np.int64] = random.choice(len(texts), 2 * BATCH * steps, replace=False)
        left, right = ([texts[row] for row in part] for part in np.split(chosen, 2))
        seconds, loss, tokens = ours(model, left, right)
        peer_seconds, peer_loss = theirs(model, left, right)
        if abs(loss - peer_loss) > 1e-3:
            raise SystemExit(f"not the same job: first losses {loss} and {peer_loss}")
        if turn:
            rates["uicgpu"].append(tokens / seconds)
            rates["sentence-transformers"].append(tokens / peer_seconds)
        per_text = tokens / chosen.size
    ratios = np.array(rates["uicgpu"]) / np.array(rates["sentence-transformers"])
    return {
        "tokens_per_cpu_second": {name: round(float(np.median(values)), 1) for name, values in rates.items()},
        "ratio": round(float(np.median(ratios)), 3),
        "ratios": [round(float(ratio), 3) for ratio in ratios],
        "mean_tokens_per_text": round(per_text, 1),
        "pairs_per_step": BATCH,
        "steps": steps,
    }


def main() -> None:
    """Measure on film titles and merge the figures into the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    texts = distinct(load("films", given.data)[1]).texts
    model = Encoder("minilm", device="cpu", threads=1).model
    results = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    results["throughput"] = measure(texts, model, given.rounds, given.steps)
    write_json(given.out, results)


if __name__ == "__main__":
    main()
