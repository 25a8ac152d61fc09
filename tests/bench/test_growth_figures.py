"""The charts in docs/figures are what the result files say, and can be read by everybody."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from uicgpu.bench.growth_figures import CHARTS, GUIDE, HEIGHT, STYLE, WIDTH, Panel, draw

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def measured(name):
    return json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def paths(document, kind):
    return [element.get("d") for element in ElementTree.fromstring(document).iter(f"{SVG}path") if kind(element)]


@pytest.mark.parametrize("name", CHARTS)
def test_the_file_is_drawn_from_the_result_of_now(name):
    drawn = (ROOT / "docs" / "figures" / f"{name}-growth.svg").read_text(encoding="utf-8")
    assert drawn == CHARTS[name](measured(name)), "python -m uicgpu.bench.growth_figures draws it again"


@pytest.mark.parametrize("name", CHARTS)
def test_the_page_shows_it_and_says_what_is_to_be_seen(name):
    page = (ROOT / "docs" / "clustering.md").read_text(encoding="utf-8")
    (told,) = re.findall(rf"!\[([^\]]+)\]\(figures/{name}-growth\.svg\)", page)
    assert len(told.split()) > 15


def test_what_the_page_says_of_the_charts():
    grown, tree = measured("kmeans")["growth"], measured("hdbscan")["growth"]

    def times(kind, program):
        figures = sorted((int(size), told[program]) for size, told in grown[kind].items())
        return figures[-1][1] / figures[0][1]

    assert all(3 < times("rows", program) < 5.5 for program in ("uicgpu", "faiss", "scikit-learn"))
    for peer in ("faiss", "scikit-learn"):
        assert times("clusters", "uicgpu") < times("clusters", peer) and times("columns", "uicgpu") < 1.5
        assert times("columns", peer) > 2
    assert all(told["exponent"] < 2 for told in tree.values() if "exponent" in told)
    peaks = [tree[size]["peak_bytes"] / 2**30 for size in ("4000", "100000")]
    assert [f"{peak:.2f}" for peak in peaks] == ["0.94", "1.21"]


def test_every_measured_point_is_drawn():
    for name, points in (("kmeans", 3 * 9), ("hdbscan", 2 * 5)):
        document = CHARTS[name](measured(name))
        lines = paths(document, lambda element: element.get("class") == "line")
        legend = 2 * len([told for told in ("uicgpu", "faiss", "scikit-learn") if f">{told}<" in document])
        assert sum(1 + line.count("L") for line in lines) == points + legend


def test_axes_are_logarithmic():
    """By hand: ten times the size is half the width, ten times the figure half the height of 1 to 100."""
    document = draw("x < y", [Panel("size", "s", {"a": [(1, 1), (10, 10), (100, 100)], GUIDE: [(1, 100), (100, 1)]})])
    *_, line = paths(document, lambda element: element.get("class") == "line")
    assert line == f"M0.0 {HEIGHT:.1f}L{WIDTH / 2:.1f} {HEIGHT / 2:.1f}L{WIDTH:.1f} 0.0"
    *_, guide = paths(document, lambda element: element.get("class") == "guide")
    assert guide == f"M0.0 0.0L{WIDTH:.1f} {HEIGHT:.1f}"
    words = [element.text for element in ElementTree.fromstring(document).iter(f"{SVG}text")]
    assert words[0] == "x < y" and words[3:] == ["1", "2", "5", "10", "20", "50", "100", "1", "10", "100", "size", "s"]


@pytest.mark.parametrize(
    ("figures", "wanted"),
    [((0.53, 0.89), ["0.5", "1"]), ((3, 3), ["2", "5"]), ((5, 5), ["5", "10"]), ((0.04, 0.3), "0.02 0.05 0.1 0.2 0.5")],
)
def test_the_upright_axis_begins_and_ends_at_round_figures(figures, wanted):
    document = draw("t", [Panel("n", "s", {"a": list(zip((1, 2), figures, strict=True))})])
    texts = ElementTree.fromstring(document).iter(f"{SVG}text")
    shown = [element.text for element in texts if element.get("text-anchor") == "end"]
    assert shown == (wanted.split() if isinstance(wanted, str) else wanted)


def test_panels_of_one_unit_share_their_axis():
    low, high = Panel("n", "s", {"a": [(1, 1), (2, 2)]}), Panel("n", "s", {"a": [(1, 100), (2, 100)]})
    document = draw("t", [low, high, Panel("n", "GiB", {"a": [(1, 5), (2, 9)]})])
    texts = ElementTree.fromstring(document).iter(f"{SVG}text")
    shown = [element.text for element in texts if element.get("text-anchor") == "end"]
    axis = ["1", "2", "5", "10", "20", "50", "100"]
    assert shown == [*axis, *axis, "5", "10"]


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_is_fetched_and_nothing_runs(name):
    root = ElementTree.fromstring(CHARTS[name](measured(name)))
    assert root.find(f"{SVG}title").text
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "text", "g", "path", "circle")
    }
    assert not [value for element in root.iter() for value in element.attrib.values() if "//" in value]


def test_lines_and_words_stand_out_on_light_and_dark():
    """Contrast of WCAG 2: 4.5 for words, 3 for lines; and no two lines share colour or marker."""
    light, dark = STYLE.split("@media (prefers-color-scheme:dark)")
    for sheet in (light, dark):
        page = luminance(re.search(r"\.page\{fill:(#\w+)", sheet)[1])
        assert contrast(luminance(re.search(r"text\{[^}]*fill:(#\w+)", sheet)[1]), page) >= 4.5
        lines = [re.search(rf"\.{kind}\{{stroke:(#\w+)", sheet)[1] for kind in ("s0", "s1", "s2", "guide")]
        assert all(contrast(luminance(line), page) >= 3 for line in lines)
        assert all(one != other for one, other in itertools.combinations(lines, 2))


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
