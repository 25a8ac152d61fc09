"""What a run would need on hardware that is not at hand: time and memory per stage, predicted by arithmetic.

Every figure is a prediction. The rates of GPUs are data-sheet peaks times an assumed share; no GPU has confirmed them.
Those of the CPU were measured on one machine. A stage takes as long as its slowest resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DIMENSIONS = 384
LINEAR_FLOP_PER_TOKEN = 21.23e6
"""MiniLM: 6 layers of 2 x (4 x 384 x 384 + 2 x 384 x 1536)."""
ATTENTION_FLOP_PER_TOKEN_SQUARED = 9216.0
"""MiniLM: 6 layers of 4 x 384, per token and token of its text."""
ENCODER_SHARE = 0.5
"""Share of the matrix rate that a small network reaches on a GPU (assumed); on a CPU its rate was measured as such."""
TOKENISER_RATE = 0.5e6
"""Tokens per second and core (measured)."""
ITERATIONS = 25
"""Lloyd iterations of one k-means run."""
WEIGHT_BYTES = 23e6 * 2
ACTIVATION_BYTES_PER_TOKEN = 1536 * 2 * 3


@dataclass(frozen=True)
class Hardware:
    """Rates of a machine.

    Attributes
    ----------
    matrix_flops
        Matrix products, floating-point operations per second, as reached by large ones.
    bandwidth
        Main memory of the device, bytes per second.
    memory
        Of the device, bytes.
    cores
        CPU cores that tokenise.
    source
        Where the rates come from.
    """

    matrix_flops: float
    bandwidth: float
    memory: float
    cores: int
    on_gpu: bool
    source: str


HARDWARE = {
    "2 CPU cores": Hardware(2 * 86e9, 20e9, 8e9, 2, False, "matrix rate measured (AVX2); bandwidth assumed"),
    "L4": Hardware(0.8 * 121e12, 0.9 * 300e9, 24e9, 8, True, "data sheet, 80 % and 90 % of peak assumed"),
    "A100": Hardware(0.8 * 312e12, 0.9 * 2.0e12, 80e9, 16, True, "data sheet, 80 % and 90 % of peak assumed"),
    "H100": Hardware(0.8 * 989e12, 0.9 * 3.35e12, 80e9, 16, True, "data sheet, 80 % and 90 % of peak assumed"),
}
"""The named hardware."""


@dataclass(frozen=True)
class Work:
    """Size of a run: users, items, distinct items per user, tokens per item text, clusters."""

    users: int
    items: int
    items_per_user: float = 50.0
    tokens: float = 64.0
    clusters: int = 100


def estimate_run(*, users: int, items: int) -> dict[str, Any]:
    """Predict each stage on each named hardware.

    Returns
    -------
    dict
        ``status``, ``work``, and per hardware and stage: seconds, what bounds it, bytes on the device, whether it fits.
    """
    work = Work(users, items)
    return {
        "status": "predicted by arithmetic, not measured; expect a factor of two either way",
        "work": {**vars(work), "stages": "encode items, pool users, one k-means run"},
        "hardware": {
            name: {
                "rates": hardware.source,
                **{stage: _told(figures, hardware) for stage, figures in predict(work, hardware).items()},
            }
            for name, hardware in HARDWARE.items()
        },
    }


def predict(work: Work, hardware: Hardware) -> dict[str, tuple[dict[str, float], float]]:
    """Return per stage the seconds that each resource would need alone, and the bytes on the device.

    Examples
    --------
    >>> seconds, _ = predict(Work(1000, 10_000_000), HARDWARE["H100"])["encode"]
    >>> 30 < seconds["matrix products"] < 40
    True
    """
    width = 2 if hardware.on_gpu else 4
    rate = hardware.matrix_flops
    tokens = work.items * work.tokens
    flop = tokens * (LINEAR_FLOP_PER_TOKEN + ATTENTION_FLOP_PER_TOKEN_SQUARED * work.tokens)
    pack = 65536 if hardware.on_gpu else 1024
    pairs = work.users * work.items_per_user
    vector = DIMENSIONS * width
    centroid_work = 2.0 * work.users * work.clusters * DIMENSIONS
    return {
        "encode": (
            {
                "matrix products": flop / (rate * (ENCODER_SHARE if hardware.on_gpu else 0.85)),
                "tokeniser": tokens / (TOKENISER_RATE * hardware.cores),
            },
            WEIGHT_BYTES * width / 2 + pack * ACTIVATION_BYTES_PER_TOKEN * width / 2,
        ),
        "pool": (
            {"memory": (pairs * (vector + 8) + work.users * vector) / hardware.bandwidth},
            work.items * vector + pairs * 8 + work.users * vector,
        ),
        "cluster": (
            {
                "matrix products": ITERATIONS * centroid_work / rate,
                "memory": ITERATIONS * work.users * (2 * vector + 8) / hardware.bandwidth,
            },
            work.users * (vector + 12) + work.clusters * vector,
        ),
    }


def _told(figures: tuple[dict[str, float], float], hardware: Hardware) -> dict[str, Any]:
    seconds, size = figures
    bound = max(seconds, key=lambda name: seconds[name])
    return {
        "predicted_seconds": float(f"{seconds[bound]:.3g}"),
        "bound_by": bound,
        "predicted_bytes": int(size),
        "fits": size <= hardware.memory,
    }
