"""One seed per run; every stage draws from a child that is derived by name.

Deriving by name instead of by order of calls means that a new stage changes the numbers of no other. Nothing here
touches the global generators of NumPy, Python or torch.
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(seed: int, name: str) -> int:
    """Return the 32-bit seed of the stream called ``name``.

    >>> seed_of(0, "cluster") == seed_of(0, "cluster") != seed_of(0, "evaluate")
    True
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def generator(seed: int, name: str) -> np.random.Generator:
    """Return an independent generator for the stream called ``name`` of a run with ``seed``."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed_of(seed, name)])))
