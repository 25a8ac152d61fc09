"""Checks of estimator parameters; the message names the parameter and the value seen, as in scikit-learn."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as int, or raise ValueError unless it is an integer from ``low`` to ``high``."""
    if not isinstance(value, Integral) or int(value) < low or (high is not None and int(value) > high):
        above = f" and <= {high}" if high is not None else ""
        raise ValueError(f"{name}={value!r} should be an integer >= {low}{above}")
    return int(value)


def check_number(name: str, value: Any, *, positive: bool = False) -> float:
    """Return ``value`` as float, or raise ValueError unless it is finite and not negative (or positive)."""
    if not isinstance(value, Real) or not 0 <= float(value) < float("inf") or (positive and float(value) == 0):
        raise ValueError(f"{name}={value!r} should be a number {'> 0' if positive else '>= 0'}")
    return float(value)


def seed_from(random_state: Any) -> int:
    """Return one integer from anything that scikit-learn accepts as a seed; None draws fresh entropy."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    return check_integer("random_state", random_state, 0)
