"""How sure a mean, or a difference of two means over the same users, is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.workers import one_blas_thread
from uicgpu.randomness import generator

RESAMPLES_PER_CHUNK: Final = 64
LOW, HIGH = 2.5, 97.5
DETECTABLE_ERRORS: Final = 1.959964 + 0.841621
"""Normal quantiles of 97.5 % and 80 %."""
FEW_BEYOND: Final = 10
"""Fewer resampled means than this beyond 0 say only "about that small": 1,000 resamples cannot show a p below .002,
which times a hundred comparisons looks like chance."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval.

    Attributes
    ----------
    p
        Two-sided p value of "the mean is 0": twice the smaller share of resampled means on either side of 0. Where
        fewer than ``FEW_BEYOND`` means lie there, the normal tail by the resampled means' standard deviation.
    """

    mean: float
    low: float
    high: float
    p: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def bootstrap(
    values: Mapping[str, NDArray[np.float64]], resamples: int, seed: int, stream: str = "bootstrap"
) -> dict[str, Interval]:
    """Percentile bootstrap of means over users; every name is resampled with the same users (paired).

    Parameters
    ----------
    values
        Per name float64 [users]; for a paired comparison the differences per user.
    resamples
        Number of resamples.
    stream
        Name of the random stream.

    Notes
    -----
    A resample is a multinomial count per user, so a chunk of resampled means is one product counts x values; memory is
    64 x users however many resamples there are.
    """
    if not values:
        return {}
    table = np.stack(list(values.values()), axis=1)
    users = table.shape[0]
    if users == 0:
        nothing = float("nan")
        return dict.fromkeys(values, Interval(nothing, nothing, nothing, nothing))
    random = generator(seed, stream)
    means = np.empty((resamples, table.shape[1]), np.float64)
    even = np.full(users, 1.0 / users)
    for start in range(0, resamples, RESAMPLES_PER_CHUNK):
        number = min(RESAMPLES_PER_CHUNK, resamples - start)
        counts = random.multinomial(users, even, size=number)
        with one_blas_thread():
            means[start : start + number] = counts.astype(np.float64) @ table / users
    low, high = np.percentile(means, [LOW, HIGH], axis=0)
    below = ((means <= 0).sum(axis=0) + 1.0) / (resamples + 1.0)
    above = ((means >= 0).sum(axis=0) + 1.0) / (resamples + 1.0)
    p = np.minimum(1.0, 2 * np.minimum(below, above))
    centre = table.mean(axis=0)
    spread = means.std(axis=0)
    few = (np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0)) < FEW_BEYOND) & (spread > 0)
    tails = [math.erfc(abs(float(z)) / math.sqrt(2)) for z in centre[few] / spread[few]]
    p[few] = np.minimum(p[few], tails)
    return {
        name: Interval(float(centre[place]), float(low[place]), float(high[place]), float(p[place]))
        for place, name in enumerate(values)
    }


def smallest_detectable_difference(differences: NDArray[np.float64]) -> float | None:
    """The mean difference that so many users show with a power of 80 % at 5 % (two-sided): 2.8 standard errors."""
    if differences.size < 2:
        return None
    return float(DETECTABLE_ERRORS * differences.std(ddof=1) / np.sqrt(differences.size))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction for several comparisons, in the order given.

    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}
    """
    order = sorted(p_values, key=lambda name: p_values[name])
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
