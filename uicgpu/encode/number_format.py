"""Which number format the encoder's weights are held in: fp32 on a CPU, half precision on a GPU."""

from __future__ import annotations

from pathlib import Path

from uicgpu.errors import SettingsError

FORMATS = ("float32", "float16", "bfloat16")
HALF_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""CPU flags without which half precision runs six to seven times slower than float32."""


def choose_dtype(requested: str, device: str, trained_dtype: str = "float32") -> tuple[str, str | None]:
    """Return the number format of the weights, and a warning or None.

    ``auto`` is float32 on a CPU (the specification: vectors within 1e-5 of one text at a time). On a GPU it is float16,
    or bfloat16 for models trained in it, whose values can leave the range of float16.

    Raises
    ------
    SettingsError
        For an unknown name.
    """
    if requested == "auto":
        if device == "cpu":
            return "float32", None
        return ("bfloat16" if trained_dtype == "bfloat16" else "float16"), None
    if requested not in FORMATS:
        raise SettingsError(f"unknown number format {requested!r}", fix=f"auto, {', '.join(FORMATS)}")
    if requested != "float32" and device == "cpu" and not HALF_FLAGS & cpu_flags():
        return (
            requested,
            f"{requested} is 6 to 7 times slower than float32 on this CPU: it lacks avx512_bf16 and amx_bf16",
        )
    return requested, None


def cpu_flags() -> frozenset[str]:
    """Return the CPU's feature flags as Linux lists them; empty elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()
