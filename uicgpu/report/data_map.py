"""Where do the clusters lie? A two-dimensional map of a sample of users, as a Bokeh document with stable ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uicgpu.randomness import generator

MOST_POINTS: Final = 50_000
ROWS_PER_BLOCK: Final = 65_536
MAP_TARGET: Final = "data-map"
MOST_LABELS: Final = 14


@dataclass(frozen=True)
class DataMap:
    """A sample of users in the plane.

    Attributes
    ----------
    points
        float32 [sample, 2].
    rows
        int64 [sample], ascending rows of the sampled users.
    explained
        Share of the variance that the two directions hold.
    """

    points: NDArray[np.float32]
    rows: NDArray[np.int64]
    explained: float


@dataclass(frozen=True)
class MapCluster:
    """What the map shows of a cluster: its id, its short label, and its colour's number (-1 for grey)."""

    cluster: int
    label: str
    colour: int


def sample_rows(users: int, seed: int, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Return ascending rows of at most ``most`` users."""
    if users <= most:
        return np.arange(users, dtype=np.int64)
    return np.sort(generator(seed, "report map").choice(users, most, replace=False)).astype(np.int64)


def map_users(vectors: NDArray[np.floating], seed: int, most: int = MOST_POINTS) -> DataMap:
    """Project a sample of interest vectors onto its first two principal axes.

    Computed in float64 on one BLAS thread over blocks of fixed size. The sign of an axis is fixed by its largest
    absolute entry being positive. Coordinates are rounded to four significant decimals of the map's width.

    Parameters
    ----------
    vectors
        float [users, dim]; may be memory-mapped.
    """
    rows = sample_rows(int(vectors.shape[0]), seed, most)
    dim = int(vectors.shape[1]) if vectors.ndim == 2 else 0
    if not rows.size or not dim:
        return DataMap(np.zeros((rows.size, 2), np.float32), rows, 0.0)
    blocks = [rows[start : start + ROWS_PER_BLOCK] for start in range(0, rows.size, ROWS_PER_BLOCK)]
    with threadpool_limits(limits=1):
        mean = sum((_rows(vectors, block).sum(axis=0) for block in blocks), np.zeros(dim)) / rows.size
        covariance = np.zeros((dim, dim))
        for block in blocks:
            centred = _rows(vectors, block) - mean
            covariance += centred.T @ centred
        values, axes = np.linalg.eigh(covariance / rows.size)
        first = axes[:, ::-1][:, :2]
        signs = np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])
        first = first * np.where(signs == 0, 1.0, signs)
        points = np.concatenate([(_rows(vectors, block) - mean) @ first for block in blocks])
    if points.shape[1] < 2:
        points = np.column_stack([points, np.zeros(rows.size)])
    total = float(values.clip(min=0).sum())
    width = float(np.abs(points).max()) or 1.0
    rounded = np.round(points / width, 4).astype(np.float32)
    explained = float(values.clip(min=0)[::-1][:2].sum()) / total if total > 1e-12 else 0.0
    return DataMap(rounded, rows, explained)


def _rows(vectors: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(vectors[rows], np.float64))


def place_labels(
    points: NDArray[np.float32], labels: NDArray[np.int32], clusters: Sequence[MapCluster]
) -> list[tuple[float, float, str]]:
    """Return (x, y, text) at the medians of the largest clusters, as long as labels do not run into each other."""
    if not points.size:
        return []
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    placed: list[tuple[float, float, float]] = []
    result: list[tuple[float, float, str]] = []
    for entry in clusters:
        members = points[labels == entry.cluster]
        if not members.size or len(result) >= MOST_LABELS:
            continue
        x, y = (float(value) for value in np.median(members, axis=0))
        # A letter takes about 0.009 of a wide screen's map, a line 0.05 of its height.
        half = 0.0048 * sum(1.9 if ord(letter) > 0x2E7F else 1.0 for letter in entry.label) + 0.012
        u, v = (x - float(low[0])) / float(span[0]), (y - float(low[1])) / float(span[1])
        if all(abs(u - other) > half + width or abs(v - height) > 0.055 for other, height, width in placed):
            placed.append((u, v, half))
            result.append((x, y, entry.label))
    return result


def map_document(
    data: DataMap, labels: NDArray[np.int32], clusters: Sequence[MapCluster], colours: int
) -> dict[str, Any]:
    """Build the map as a Bokeh JSON item whose ids depend on nothing but its content.

    One layer holds all points: position, cluster and number of the colour. ``report.js`` gives the theme's colours,
    dims clusters and shows their names; a layer per cluster would cost seconds with 200 of them. No user id is in it.

    Parameters
    ----------
    labels
        int32 [sample], cluster of each point.
    clusters
        In the order of drawing: small clusters should come last, so that they lie on top.
    colours
        Colours of the palette; the one after them is grey.
    """
    from bokeh.core.properties import value  # half a second that only the report pays for
    from bokeh.embed import json_item
    from bokeh.models import (
        BoxZoomTool,
        ColumnDataSource,
        DataRange1d,
        HoverTool,
        LinearColorMapper,
        PanTool,
        Plot,
        ResetTool,
        Scatter,
        TapTool,
        Text,
        Title,
        WheelZoomTool,
    )

    tap = TapTool(visible=False)
    plot = Plot(
        title=Title(text="", visible=False),
        x_range=DataRange1d(range_padding=0.16),
        y_range=DataRange1d(range_padding=0.12),
        sizing_mode="stretch_both",
        min_border=0,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        lod_threshold=4000,
        toolbar_location="above",
        tools=[PanTool(), WheelZoomTool(), BoxZoomTool(), ResetTool(), tap, HoverTool(tooltips=None, visible=False)],
    )
    plot.toolbar.logo = None
    plot.toolbar.group = False
    plot.toolbar.active_drag = None
    plot.toolbar.active_scroll = None
    plot.toolbar.active_tap = tap
    drawn = {entry.cluster: number for number, entry in enumerate(clusters)}
    order = np.argsort(np.array([drawn.get(int(label), 0) for label in labels], np.int64), kind="stable")
    colour = {entry.cluster: entry.colour % (colours + 1) for entry in clusters}
    size = 7.0 if data.rows.size <= 2_000 else 5.0 if data.rows.size <= 10_000 else 3.5
    plot.add_glyph(
        ColumnDataSource(
            {
                "x": data.points[order, 0],
                "y": data.points[order, 1],
                "cluster": labels[order].astype(np.int16 if labels.size and labels.max() < 2**15 else np.int32),
                "colour": np.array([colour.get(int(label), colours) for label in labels[order]], np.uint8),
            }
        ),
        Scatter(
            x="x",
            y="y",
            size=size,
            line_color=None,
            fill_alpha=0.62,
            fill_color={
                "field": "colour",
                "transform": LinearColorMapper(palette=["#888888"] * (colours + 1), low=-0.5, high=colours + 0.5),
            },
            marker="circle",
        ),
        tags=["points"],
        nonselection_glyph=None,
        selection_glyph=None,
        hover_glyph=None,
    )
    placed = place_labels(data.points, labels, sorted(clusters, key=lambda entry: entry.cluster))
    if placed:
        xs, ys, texts = zip(*placed, strict=True)
        plot.add_glyph(
            ColumnDataSource({"x": list(xs), "y": list(ys), "text": list(texts)}),
            Text(
                x="x",
                y="y",
                text="text",
                text_align="center",
                text_baseline="middle",
                text_font_size="12px",
                text_font_style="bold",
                text_font=value("system-ui, sans-serif"),
                text_color="#222222",
                background_fill_color="#ffffff",
                background_fill_alpha=0.84,
                border_radius=6,
                padding=4,
            ),
            tags=["labels"],
            nonselection_glyph=None,
            selection_glyph=None,
        )
    # Hovering and tapping look for points only.
    for tool in plot.tools[4:]:
        tool.renderers = plot.renderers[:1]
    return stable_ids(dict(json_item(plot, target=MAP_TARGET)))


def stable_ids(item: dict[str, Any]) -> dict[str, Any]:
    """Renumber the model ids of a Bokeh JSON item in the order in which they occur.

    Bokeh counts models over the life of the process. Ids stand only under the keys ``id`` and in the list of roots, so
    a text that happens to look like an id is left alone.
    """
    numbers: dict[str, str] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: new_id(entry) if _is_id(key, entry) else walk(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [walk(entry) for entry in value]
        return value

    def new_id(old: str) -> str:
        return numbers.setdefault(old, f"m{len(numbers)}")

    def _is_id(key: str, entry: Any) -> bool:
        return key in ("id", "root_id") and isinstance(entry, str)

    doc = walk(item["doc"])
    return {
        "target_id": item["target_id"],
        "root_id": new_id(item["root_id"]),
        "doc": {**doc, "title": "map"},
        "version": item.get("version", doc.get("version")),
    }
