"""Predicted time of a kernel on named hardware: a roofline with four ceilings. Standard library only.

EVERY NUMBER THAT COMES OUT OF HERE IS A PREDICTION. None was compared with a measurement on a GPU; take ratios as good
to about 1.5 either way.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """What a device can do at best, in units per second.

    Attributes
    ----------
    architecture
        80 for sm_80.
    memory
        Bytes from device memory.
    cache
        Bytes from the L2 cache. Assumed: makers do not state it.
    tensor_half
        Operations of the tensor cores on float16, dense, as achieved and not as printed. Assumed.
    lanes
        Instructions of single lanes outside the tensor cores.
    doubles
        Fused float64 operations, two each, outside the tensor cores.
    """

    name: str
    architecture: int
    memory: float
    cache: float
    tensor_half: float
    lanes: float
    doubles: float


H100 = Hardware("H100 SXM (assumed figures)", 90, 3.0e12, 5.5e12, 790e12, 132 * 128 * 1.755e9, 34e12)
A100 = Hardware("A100 SXM (assumed figures)", 80, 1.8e12, 4.0e12, 250e12, 108 * 64 * 1.41e9, 9.7e12)
RTX_4090 = Hardware("RTX 4090 (assumed figures)", 89, 0.95e12, 4.0e12, 140e12, 128 * 128 * 2.5e9, 1.3e12)
HARDWARE = {"h100": H100, "a100": A100, "rtx4090": RTX_4090}


@dataclass(frozen=True)
class Prediction:
    """A predicted time and what it is made of.

    Attributes
    ----------
    seconds
        The largest of the ceilings.
    bound_by
        The ceiling that is the largest: ``arithmetic``, ``cache`` or ``memory``.
    operations
        Floating-point operations, a fused one counted twice.
    bytes_moved
        Bytes from and to device memory, each counted once.
    ceilings
        Seconds per ceiling.
    """

    hardware: str
    seconds: float
    bound_by: str
    operations: float
    bytes_moved: float
    ceilings: dict[str, float]

    def __str__(self) -> str:
        """One line that says what it is."""
        return f"predicted {self.seconds * 1e3:.3g} ms on {self.hardware}, bound by {self.bound_by}"


def predict(
    hardware: Hardware, operations: float, arithmetic_seconds: float, cache_bytes: float, memory_bytes: float
) -> Prediction:
    """Return the prediction for work that overlaps its kinds of traffic perfectly."""
    ceilings = {
        "arithmetic": arithmetic_seconds,
        "cache": cache_bytes / hardware.cache,
        "memory": memory_bytes / hardware.memory,
    }
    bound_by = max(ceilings, key=lambda name: ceilings[name])
    return Prediction(hardware.name, ceilings[bound_by], bound_by, operations, memory_bytes, ceilings)
