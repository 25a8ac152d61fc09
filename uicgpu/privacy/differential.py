"""Centres and counts of clusters under differential privacy: Lloyd's iterations on noisy sums.

Two data sets that differ by one user give nearly the same centres and counts, whatever that user did. Covered are the
centres and the counts that this module returns, and nothing else: not the users' labels, not profiles, not
recommendations.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import SettingsError
from uicgpu.randomness import generator

ITERATIONS: Final = 5
SKETCH: Final = 24
"""Dimensions in which the iterations run: noise grows with the root of the dimensions, and random directions chosen
without looking at the data keep distances well enough."""
CENTRE_PART: Final = 0.5
"""Part of the budget for the centres in full dimensions; the iterations share the rest."""
SUM_PART: Final = 0.85
"""Part of each step's budget for the sums; the counts get the rest."""
ROWS_PER_BLOCK: Final = 65_536

Noise = Callable[[tuple[int, ...]], NDArray[np.float64]]


@dataclass(frozen=True)
class PrivateCentres:
    """Centres and counts that may be released.

    Attributes
    ----------
    centroids
        float64 [k, dim], of length at most 1.
    counts
        float64 [k], noisy numbers of users, not below 0.
    statement
        epsilon, delta, rho, unit, noise and what is covered, for the manifest.
    """

    centroids: NDArray[np.float64]
    counts: NDArray[np.float64]
    statement: dict[str, Any]


def rho_of(epsilon: float, delta: float) -> float:
    """The zCDP budget whose guarantee implies (epsilon, delta)-DP.

    ``epsilon = rho + 2 sqrt(rho log(1 / delta))`` solved for rho.

    References
    ----------
    M. Bun, T. Steinke, "Concentrated Differential Privacy", TCC 2016, proposition 1.3.

    Examples
    --------
    >>> rho = rho_of(1.0, 1e-6)
    >>> round(rho + 2 * math.sqrt(rho * math.log(1e6)), 9)
    1.0
    """
    logarithm = math.log(1 / delta)
    return (math.sqrt(logarithm + epsilon) - math.sqrt(logarithm)) ** 2


def secret_noise(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal numbers from the system's secure source (Box-Muller)."""
    size = int(np.prod(shape))
    words = np.frombuffer(os.urandom(16 * size), np.uint64).reshape(2, size)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    normal: NDArray[np.float64] = np.sqrt(-2 * np.log(uniform[0])) * np.cos(2 * math.pi * uniform[1])
    return normal.reshape(shape)


def private_centres(
    vectors: NDArray[np.floating],
    k: int,
    epsilon: float,
    delta: float,
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
    noise: Noise = secret_noise,
) -> PrivateCentres:
    """Cluster vectors under (epsilon, delta)-differential privacy for adding or removing one user.

    Every vector is clipped to length 1, so one user moves a sum by at most 1 and one count by 1. Initial centres and
    the directions of the iterations are drawn from ``seed`` without looking at the data. Each step releases the sums
    and counts of all clusters with Gaussian noise; ``rho = 1 / (2 sigma^2)`` per release adds up (zCDP).

    Parameters
    ----------
    vectors
        float [users, dim].
    epsilon
        Infinity gives the same algorithm without noise.
    noise
        Standard normal numbers; another source than the default is for tests only. The result differs from run to run:
        noise that could be drawn again could be taken off again.

    Raises
    ------
    SettingsError
        For an epsilon or delta outside its range.

    References
    ----------
    A. Blum et al., "Practical Privacy: the SuLQ Framework", PODS 2005 (Lloyd on noisy sums); the accounting as in
    :func:`rho_of`.
    """
    if not epsilon > 0 or not 0 < delta < 1 or k < 1:
        raise SettingsError(
            f"differential privacy needs epsilon > 0, 0 < delta < 1 and k >= 1: got {epsilon}, {delta}, {k}",
            fix="for example --epsilon 1 --delta 1e-6",
        )
    rho = math.inf if math.isinf(epsilon) else rho_of(epsilon, delta)
    dim = int(vectors.shape[1])
    public = generator(seed, "privacy/initial centres")
    narrow = min(SKETCH, dim)
    axes = np.linalg.qr(public.normal(size=(dim, narrow)))[0] * math.sqrt(dim / narrow)
    centres = public.normal(size=(k, narrow))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    step = rho * (1 - CENTRE_PART) / max(iterations, 1)
    for _ in range(iterations):
        sums, counts = _noisy_sums(vectors, axes, centres, step, noise, full=False)
        centres = _means(sums, counts, centres)
    sums, counts = _noisy_sums(vectors, axes, centres, rho * CENTRE_PART, noise, full=True)
    centroids = _means(sums, counts, np.zeros((k, dim)))
    statement = {
        "epsilon": None if math.isinf(epsilon) else epsilon,
        "delta": delta,
        "rho": None if math.isinf(rho) else rho,
        "unit": "one user added or removed",
        "covered": ["centres", "counts"],
        "not_covered": ["labels of the users", "profiles", "recommendations", "report"],
        "mechanism": "Lloyd on Gaussian sums and counts, zero-concentrated DP",
        "iterations": iterations,
        "noise_source": "operating system" if noise is secret_noise else "test",
        "reproducible": False,
    }
    return PrivateCentres(centroids, np.maximum(counts, 0.0), statement)


def nearest_centre(vectors: NDArray[np.floating], centroids: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nearest centre of each vector, ties to the lowest; for measuring utility, not for release."""
    return np.concatenate([_nearest(_clipped(block), centroids) for block in _blocks(vectors)])


def _noisy_sums(
    vectors: NDArray[np.floating],
    axes: NDArray[np.float64],
    centres: NDArray[np.float64],
    rho: float,
    noise: Noise,
    *,
    full: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    k = centres.shape[0]
    sums = np.zeros((k, axes.shape[0] if full else axes.shape[1]))
    counts = np.zeros(k)
    for block in _blocks(vectors):
        wide = _clipped(block)
        narrow = _clipped(wide @ axes)
        labels = _nearest(narrow, centres)
        np.add.at(sums, labels, wide if full else narrow)
        counts += np.bincount(labels, minlength=k)
    if math.isinf(rho):
        return sums, counts
    sums += noise(sums.shape) / math.sqrt(2 * rho * SUM_PART)
    counts += noise(counts.shape) / math.sqrt(2 * rho * (1 - SUM_PART))
    return sums, counts


def _means(sums: NDArray[np.float64], counts: NDArray[np.float64], former: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of length at most 1; a cluster whose noisy count is below 1 keeps its former centre."""
    return np.where(counts[:, None] >= 1, _clipped(sums / np.maximum(counts, 1.0)[:, None]), former)


def _blocks(vectors: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, vectors.shape[0], ROWS_PER_BLOCK):
        yield np.asarray(vectors[start : start + ROWS_PER_BLOCK], np.float64)


def _clipped(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
    return clipped


def _nearest(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = ((centres**2).sum(axis=1) - 2 * rows @ centres.T).argmin(axis=1)
    return nearest
