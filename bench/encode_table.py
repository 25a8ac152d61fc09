"""The encoder's figures as the tables that the documentation shows; a test compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uicgpu.bench.encode import LIMIT, OURS


def speed_table(result: Mapping[str, Any]) -> str:
    """Return speed and fidelity of every arm as a Markdown table."""
    lines = [
        "| program | processor time | x uicgpu | least cosine | same 10 nearest |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, figures in result["processor_time_1_thread"].items():
        close = result["fidelity_to_one_by_one"].get(name)
        exact = f"{close['cosine_least']:.6f} | {close['top10_overlap']:.4f}" if close else "- | -"
        label = f"**{name}**" if name == OURS else name
        lines.append(f"| {label} | {figures['median_seconds']:.1f} s | {figures['times_reference']:.2f} | {exact} |")
    return "\n".join(lines)


def facts_table(result: Mapping[str, Any]) -> str:
    """Return what is behind the speed as a Markdown table."""
    warm = result["warm_cache"]
    rows = {
        f"share of the limit ({LIMIT})": f"{result['share_of_limit']:.0%}",
        "computed / real tokens, packed": f"{result['padding']['packed']:.3f}",
        "computed / real tokens, padded path": f"{result['padding']['padded']:.3f}",
        "tokenising": f"{result['tokenising_share']:.1%} of the processor time",
        "warm cache, same encoder": f"{warm['same_encoder_ratio']:.0f} times faster",
        "warm cache, new encoder": f"{warm['new_encoder_ratio']:.0f} times faster",
        "tokens per second and thread": f"{result['tokens_per_processor_second']:,}",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| figure | value |", "| --- | --- |", *lines])


def profile_line(result: Mapping[str, Any]) -> str:
    """Return where the time goes, largest part first."""
    parts = sorted(result["profile"].items(), key=lambda part: (-part[1], part[0]))
    return ", ".join(f"{kind} {share:.1%}" for kind, share in parts)
