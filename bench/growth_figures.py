"""The charts of ``docs/clustering.md``: how time and memory grow. Small SVG files, drawn from the result files.

``python -m uicgpu.bench.growth_figures`` draws them again after a measurement. Both axes are logarithmic, so that a
power of the size is a straight line. Colours follow the reader's light or dark scheme; every line has its own marker.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH: Final = 250
HEIGHT: Final = 190
"""Pixels of one panel's axes."""
LEFT: Final = 52
TOP: Final = 70
BELOW: Final = 46
STEPS: Final = (1, 2, 5)
GUIDE: Final = "square of the size"
MARKERS: Final = (
    '<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
    '<rect x="{left:.1f}" y="{top:.1f}" width="7" height="7"/>',
    '<path d="M{left:.1f} {bottom:.1f}h8l-4 -8z"/>',
)
STYLE: Final = """text{font:12px system-ui,sans-serif;fill:#1f2328}
.page{fill:#ffffff}.grid{stroke:#d1d9e0}.line{fill:none;stroke-width:2}.guide{stroke:#59636e;stroke-dasharray:5 4}
.s0{stroke:#0550ae;fill:#0550ae}.s1{stroke:#a04100;fill:#a04100}.s2{stroke:#116329;fill:#116329}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.page{fill:#0d1117}.grid{stroke:#3d444d}.guide{stroke:#9198a1}
.s0{stroke:#79c0ff;fill:#79c0ff}.s1{stroke:#ffa657;fill:#ffa657}.s2{stroke:#7ee787;fill:#7ee787}}"""


class Panel(NamedTuple):
    """One pair of axes: names of what they show, and for each line its points (size, figure), all above 0."""

    across: str
    up: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def kmeans_chart(result: Mapping[str, Any]) -> str:
    """Seconds of each program as points, clusters and columns grow, one at a time; an SVG document."""
    panels = []
    for kind, label in (("rows", "points"), ("clusters", "clusters"), ("columns", "columns")):
        told = sorted((int(size), seconds) for size, seconds in result["growth"][kind].items())
        names = ("uicgpu", "faiss", "scikit-learn")
        panels.append(Panel(label, "seconds", {name: [(size, each[name]) for size, each in told] for name in names}))
    return draw("How the time of 20 KMeans iterations grows", panels)


def hdbscan_chart(result: Mapping[str, Any]) -> str:
    """Seconds and peak memory of the spanning tree as points grow, beside quadratic growth; an SVG document."""
    told = sorted((int(size), each) for size, each in result["growth"].items())
    seconds = [(float(size), each["seconds"]) for size, each in told]
    (first, start), last = seconds[0], seconds[-1][0]
    square = [(first, start), (last, start * (last / first) ** 2)]
    peaks = [(float(size), each["peak_bytes"] / 2**30) for size, each in told]
    panels = [Panel("points", "seconds", {"uicgpu": seconds, GUIDE: square}), Panel("points", "GiB", {"uicgpu": peaks})]
    return draw("How time and memory of the HDBSCAN tree grow", panels)


CHARTS: Final = {"kmeans": kmeans_chart, "hdbscan": hdbscan_chart}
"""Result file → what draws its chart, ``docs/figures/<name>-growth.svg``."""


def draw(title: str, panels: Sequence[Panel]) -> str:
    """Draw panels side by side; those with the same unit share the range of their upright axis."""
    step = WIDTH + LEFT + 16
    width, height = step * len(panels) + 8, TOP + HEIGHT + BELOW
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text x="{LEFT}" y="20" font-weight="600">{escape(title)}</text>',
    ]
    for position, name in enumerate(names):
        x = LEFT + 130 * position
        parts += [*_line(name, position, [(x, 38), (x + 24, 38)]), f'<text x="{x + 32}" y="42">{escape(name)}</text>']
    for number, panel in enumerate(panels):
        alike = [points for other in panels if other.up == panel.up for points in other.lines.values()]
        ticks = _ticks([figure for points in alike for _, figure in points])
        parts.append(f'<g transform="translate({LEFT + number * step} {TOP})">')
        parts += [*_panel(panel, names, ticks), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, names: Sequence[str], ticks: Sequence[float]) -> list[str]:
    sizes = sorted({size for points in panel.lines.values() for size, _ in points})
    low, high = ticks[0], ticks[-1]
    parts = []
    for tick in ticks:
        y = HEIGHT - _share(tick, low, high) * HEIGHT
        parts.append(f'<path class="grid" d="M0 {y:.1f}H{WIDTH}"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for size in sizes:
        x = _share(size, sizes[0], sizes[-1]) * WIDTH
        parts.append(f'<path class="grid" d="M{x:.1f} 0V{HEIGHT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT + 17}" text-anchor="middle">{size:,.0f}</text>')
    parts.append(f'<text x="{WIDTH / 2:.1f}" y="{HEIGHT + 37}" text-anchor="middle">{escape(panel.across)}</text>')
    parts.append(f'<text x="{-LEFT + 4}" y="-8">{escape(panel.up)}</text>')
    for name, points in panel.lines.items():
        places = [
            (_share(size, sizes[0], sizes[-1]) * WIDTH, HEIGHT - _share(figure, low, high) * HEIGHT)
            for size, figure in points
        ]
        parts += _line(name, names.index(name), places)
    return parts


def _line(name: str, number: int, places: Sequence[tuple[float, float]]) -> list[str]:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if name == GUIDE:
        return [f'<path class="guide" d="{path}"/>']
    marker = MARKERS[number]
    shapes = (marker.format(x=x, y=y, left=x - 3.5, top=y - 3.5, bottom=y + 4) for x, y in places)
    return [f'<g class="s{number}"><path class="line" d="{path}"/>', *shapes, "</g>"]


def _share(value: float, low: float, high: float) -> float:
    """Place of ``value`` between ``low`` (0) and ``high`` (1) on a logarithmic axis."""
    return math.log(value / low) / math.log(high / low) if high > low else 0.5


def _ticks(figures: Sequence[float]) -> list[float]:
    """Return 1, 2 and 5 times powers of ten, from the last one below all figures to the first one above them."""
    powers = range(math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures))) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in STEPS]
    first = max(place for place, tick in enumerate(ticks) if tick <= min(figures))
    last = min(place for place, tick in enumerate(ticks) if tick >= max(figures))
    return ticks[first : max(last, first + 1) + 1]


def main() -> None:
    """Draw every chart from the results of this source tree into its documentation."""
    root = Path(__file__).resolve().parents[1]
    (root / "docs" / "figures").mkdir(exist_ok=True)
    for name, chart in CHARTS.items():
        result = json.loads((root / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        (root / "docs" / "figures" / f"{name}-growth.svg").write_text(chart(result), encoding="utf-8")


if __name__ == "__main__":
    main()
