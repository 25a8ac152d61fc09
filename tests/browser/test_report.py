from __future__ import annotations

import asyncio

import pytest

DRAWN = "document.documentElement.dataset.map === 'drawn'"
SETTLED = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(1), 250))))"
)
COLOURED = """(() => {
  const seen = new Set();
  const walk = (node) => {
    for (const child of node.querySelectorAll("*")) {
      if (child.tagName === "CANVAS" && child.width) {
        const data = child.getContext("2d").getImageData(0, 0, child.width, child.height).data;
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] > 200) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
        }
      }
      if (child.shadowRoot) walk(child.shadowRoot);
    }
  };
  walk(document.getElementById("data-map"));
  return seen.size;
})()"""
"""Number of different opaque colours on the map."""

MAP_AFTER_PAGE = """performance.getEntriesByName("map drawn")[0].startTime
  >= performance.getEntriesByType("navigation")[0].loadEventEnd"""


def _quiet(tab, url):
    assert tab.errors == []
    assert tab.dialogs == []
    assert [asked for asked in tab.requests if asked != url and not asked.startswith("data:")] == []


def test_the_map_is_drawn_and_answers(browser, report):
    url = report()

    async def look():
        async with browser.open_page(url) as tab:
            await tab.until(DRAWN)
            await tab.evaluate(SETTLED)
            assert await tab.evaluate(MAP_AFTER_PAGE), "the page must not wait for the map"
            assert await tab.evaluate("document.title") == "User interest report"
            assert await tab.evaluate(COLOURED) > 8

            # Search: cards of other clusters go, and come back.
            shown = "[...document.querySelectorAll('.card')].filter(card => !card.hidden).length"
            await tab.evaluate("search.value = 'starship'; search.dispatchEvent(new Event('input'))")
            assert await tab.evaluate(shown) == 1
            assert await tab.evaluate("found.textContent") == "1 of 8 clusters match."
            await tab.evaluate("search.value = 'zzz'; search.dispatchEvent(new Event('input'))")
            assert await tab.evaluate(shown) == 0
            await tab.evaluate("clear.click()")
            assert await tab.evaluate(shown) == 8

            # Selection in the legend.
            await tab.evaluate("document.querySelector('.key[data-cluster=\"2\"]').click()")
            assert await tab.evaluate("document.querySelector('.card.focus').dataset.cluster") == "2"
            await tab.evaluate(SETTLED)
            await tab.evaluate("clear.click()")
            assert await tab.evaluate("document.querySelector('.card.focus')") is None

            # Hover and tap: the middle of the largest cluster, as the map itself places it.
            await tab.evaluate("document.getElementById('map').scrollIntoView({behavior: 'instant'})")
            await tab.evaluate(SETTLED)
            x, y = await tab.evaluate("""(() => {
              const view = Object.values(Bokeh.index.roots ? [...Bokeh.index.roots] : Bokeh.index)[0];
              const layer = view.model.renderers[0], data = layer.data_source.data;
              const at = [...data.cluster].indexOf(0);
              const box = view.el.getBoundingClientRect(), frame = view.frame;
              return [box.left + frame.x_scale.compute(data.x[at]), box.top + frame.y_scale.compute(data.y[at])];
            })()""")
            await tab.move(x - 3, y)
            await tab.move(x, y)
            await tab.until("!tip.hidden")
            assert await tab.evaluate("tip.textContent") == await tab.evaluate(
                "document.querySelector('.key[data-cluster=\"0\"]').dataset.hover"
            )
            await tab.click(x, y)
            await tab.until("document.querySelector('.key[aria-pressed=\"true\"]')")
            assert await tab.evaluate("document.querySelector('.key[aria-pressed=\"true\"]').dataset.cluster") == "0"
            _quiet(tab, url)

    asyncio.run(look())


@pytest.mark.parametrize(("language", "dark", "width"), [("en", True, 1280), ("zh", False, 390)])
def test_languages_themes_phones_and_paper(browser, report, language, dark, width):
    url = report(language=language, clusters=4, users=300)

    async def look():
        async with browser.open_page(url, width=width, dark=dark) as tab:
            await tab.until(DRAWN)
            assert await tab.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
            page = "getComputedStyle(document.body).backgroundColor"
            before = await tab.evaluate(page)
            await tab.evaluate("document.getElementById('theme').click()")
            await tab.evaluate(SETTLED)
            assert await tab.evaluate(page) != before
            assert await tab.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
            await tab.evaluate("document.getElementById('theme').click()")
            await tab.evaluate("dispatchEvent(new Event('beforeprint'))")
            assert await tab.evaluate("document.querySelectorAll('#print-map canvas').length") == 1
            assert await tab.evaluate("document.documentElement.dataset.theme") == "light", "paper is white"
            await tab.evaluate("dispatchEvent(new Event('afterprint'))")
            assert await tab.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
            title = "用户兴趣报告" if language == "zh" else "User interest report"
            assert await tab.evaluate("document.querySelector('h1').textContent") == title
            _quiet(tab, url)

    asyncio.run(look())


def test_payloads_do_not_run(browser, report, payloads):
    url = report(users=400, clusters=4, payloads=payloads, raw_ids=True)

    async def look():
        async with browser.open_page(url) as tab:
            await tab.until(DRAWN)
            await tab.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
            await tab.evaluate("for (const key of document.querySelectorAll('.key')) key.click()")
            await tab.evaluate(
                "for (const n of document.querySelectorAll('*')) n.dispatchEvent(new Event('mouseover'))"
            )
            await tab.evaluate(SETTLED)
            assert await tab.evaluate("window.hacked") is None
            _quiet(tab, url)

    asyncio.run(look())


def test_a_picture_is_taken_of_the_page(browser, report, tmp_path):
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    from uicgpu.report.picture import take_picture

    page = Path(unquote(urlsplit(report(users=300, clusters=4)).path))
    data = take_picture(page, tmp_path / "report.png").read_bytes()
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (1280, 2000)
    assert len(data) > 60_000, "a blank page is smaller"
