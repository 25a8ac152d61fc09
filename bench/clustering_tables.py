"""The tables of ``docs/clustering.md``, made from the result files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CLOCKS: Final = (("processor", "one thread, processor time"), ("wall_2_threads", "two threads, wall time"))


def kmeans_table(result: Mapping[str, Any], clock: str = "processor_1_thread") -> str:
    """Return seconds and how many times slower each program is, per number of clusters."""
    names = ("scikit-learn", "faiss", "superkmeans", *(("product alone",) if clock == "processor_1_thread" else ()))
    lines = ["| clusters | uicgpu, s | " + " | ".join(names) + " |", "| --- " * (len(names) + 2) + "|"]
    for clusters, told in sorted(result["clusters"].items(), key=lambda entry: int(entry[0])):
        figures = told[clock]
        cells = [f"{figures[name]['times_reference']:.2f}×" if name in figures else "–" for name in names]
        lines.append(f"| {clusters} | {figures['uicgpu']['median_seconds']:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kmeans_wall_table(result: Mapping[str, Any]) -> str:
    """Return the same of the wall time of two threads."""
    return kmeans_table(result, "wall_2_threads")


def kmeans_memory_table(result: Mapping[str, Any]) -> str:
    """Return by how much each program's process grew while it ran, in MB."""
    names = ("uicgpu", "faiss", "superkmeans", "scikit-learn")
    lines = ["| clusters | " + " | ".join(f"{name}, MB" for name in names) + " |", "| --- " * (len(names) + 1) + "|"]
    for clusters, told in sorted(result["clusters"].items(), key=lambda entry: int(entry[0])):
        peaks = told["peak_memory_mb"]
        lines.append(f"| {clusters} | " + " | ".join(str(peaks.get(name, "–")) for name in names) + " |")
    return "\n".join(lines)


def kmeans_growth_table(result: Mapping[str, Any]) -> str:
    """Return seconds of each program as points, clusters and columns grow, one at a time."""
    names = ("uicgpu", "faiss", "scikit-learn")
    lines = [
        "| what varies | | " + " | ".join(f"{name}, s" for name in names) + " |",
        "| --- " * (len(names) + 2) + "|",
    ]
    for kind, label in (("rows", "points"), ("clusters", "clusters"), ("columns", "columns")):
        for size, told in sorted(result["growth"][kind].items(), key=lambda entry: int(entry[0])):
            lines.append(f"| {label} | {size} | " + " | ".join(f"{told[name]:.2f}" for name in names) + " |")
    return "\n".join(lines)


def hdbscan_table(result: Mapping[str, Any]) -> str:
    """Return seconds and the peer's factor by both clocks, and how far labels agree; a dash where it did not run."""
    lines = [
        "| points × columns | uicgpu, s | hdbscan-rs | uicgpu, 2 threads, s | hdbscan-rs | agreement (ARI) |",
        "| --- " * 6 + "|",
    ]
    for size, told in result["sizes"].items():
        cells = [size.replace("x", " × ")]
        for clock, _ in CLOCKS:
            figures = told.get(clock, {})
            cells.append(f"{figures['uicgpu']['median_seconds']:.2f}" if figures else "–")
            cells.append(f"{figures['hdbscan-rs']['times_reference']:.2f}×" if "hdbscan-rs" in figures else "–")
        cells.append(f"{told['agreement']['hdbscan-rs']:.3f}" if "hdbscan-rs" in told["agreement"] else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def growth_table(result: Mapping[str, Any]) -> str:
    """Return seconds, exponent and peak memory of the spanning tree per number of points."""
    lines = ["| points × 384 | tree, s | exponent | peak, GiB |", "| --- " * 4 + "|"]
    for rows, told in sorted(result["growth"].items(), key=lambda entry: int(entry[0])):
        exponent = f"{told['exponent']:.2f}" if "exponent" in told else "–"
        lines.append(f"| {rows} | {told['seconds']:.2f} | {exponent} | {told['peak_bytes'] / 2**30:.2f} |")
    return "\n".join(lines)


def pool_table(result: Mapping[str, Any]) -> str:
    """Return seconds and the factors of the other programs, for sums and for unit vectors, by every clock that ran."""
    lines = ["| result | time | uicgpu, ms | scipy | torch |", "| --- " * 5 + "|"]
    for clock, label in (("processor_1_thread", CLOCKS[0][1]), ("wall_2_threads", CLOCKS[1][1])):
        for kind, told in result.get(clock, {}).items():
            factors = " | ".join(f"{told[name]['times_reference']:.2f}×" for name in ("scipy", "torch"))
            lines.append(f"| {kind} | {label} | {1000 * told['uicgpu']['median_seconds']:.1f} | {factors} |")
    return "\n".join(lines)


def topk_table(result: Mapping[str, Any]) -> str:
    """Return seconds and the factors of FAISS and of the product alone, by every clock that ran."""
    lines = [f"| {result['queries']} × {result['points']} | uicgpu, s | faiss | product alone |", "| --- " * 4 + "|"]
    for clock, label in CLOCKS:
        if clock in result:
            told = result[clock]
            factors = " | ".join(f"{told[name]['times_reference']:.2f}×" for name in ("faiss", "product alone"))
            lines.append(f"| {label} | {told['uicgpu']['median_seconds']:.2f} | {factors} |")
    return "\n".join(lines)
