from __future__ import annotations

import json
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from uicgpu.errors import RunFolderError
from uicgpu.report import build_report
from uicgpu.report.artefacts import base_name, read_artefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.glance import glance_section
from uicgpu.vocabulary import Artefact, Column

PAYLOADS = json.loads(Path(__file__).with_name("payloads.json").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """Counts elements and keeps every attribute; scripts' and styles' text apart from the rest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in ("script", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if not self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(fake_run):
    return build_report(fake_run())


def test_two_builds_are_byte_equal(fake_run, page):
    assert build_report(fake_run()) == page


def test_the_page_is_small_and_complete(page):
    assert len(page.encode()) < 2_000_000
    parsed = Page(page)
    assert parsed.elements["section"] == 8
    ids = {value for _, name, value in parsed.attributes if name == "id"}
    assert {"glance", "map", "clusters", "quality", "ranking", "data", "cost", "making"} <= ids
    assert "User interest report" in parsed.text
    assert parsed.elements["article"] == 8 + 4


def test_numbers_are_those_of_the_artefacts(fake_run, page):
    text = Page(page).text
    users = pl.read_parquet(fake_run() / Artefact.USERS)
    clusters = pl.read_parquet(fake_run() / Artefact.CLUSTERS)
    sizes = [f"{5 * int(size / 5 + 0.5):,}" for size in clusters[Column.SIZE] if size >= 20]
    run = read_artefacts(fake_run())
    tiles = [tile["value"] for tile in glance_section(run, Words("en"))["tiles"]]
    assert tiles == ["1,500", "240", f"{users[Column.EVENTS].sum():,}", str(len(run.published))]
    for told in (*tiles, *sizes):
        assert told in text
    assert "nDCG@10 0.118" in text and "0.109 to 0.128" in text
    assert "1,469" in text, "rejected rows"
    assert "Catalogue coverage" in text and "0.426" in text
    assert "k was chosen by the knee of the inertia" in text


def test_nothing_of_the_machine_is_told(fake_run):
    page = build_report(fake_run(), measured=False)
    assert "from the cache" not in Page(page).text and "41.0" not in Page(page).text
    text = page.lower()
    for secret in ("/home/someone", "no cuda device answers", "u000001", "sample 1"):
        assert secret not in text
    parsed = Page(page)
    assert "events.csv" in parsed.text
    for name in ("threads", "memory", "device", "out"):
        assert f"<code>{name}</code>" not in page


def test_the_cost_tells_seconds_memory_tokens_and_cache_hits_unless_the_run_itself_writes_it(fake_run, page, tmp_path):
    text = Page(page).text.replace("\u202f", " ")
    for told in (
        "44.2 s in all, at most 1.50 GB of memory",
        "41.0 s",
        "3,120 tokens",
        "12 of 231 distinct texts from the",
    ):
        assert told in text
    other = tmp_path / "run"
    shutil.copytree(fake_run(), other)
    manifest = json.loads((other / Artefact.MANIFEST).read_text())
    manifest["stages"]["encode"] |= {"seconds": 4000.0, "cache_hits": 231, "peak_bytes": 3_000_000_000}
    (other / Artefact.MANIFEST).write_text(json.dumps(manifest))
    slower = build_report(other)
    assert "1 h 6 min" in slower.replace("\u202f", " ") and slower != page
    pure = build_report(other, measured=False)
    assert pure == build_report(fake_run(), measured=False)
    assert "uicgpu report RUN --measured adds them" in Page(pure).text
    for entry in manifest["stages"].values():
        entry.pop("seconds", None)
    (other / Artefact.MANIFEST).write_text(json.dumps(manifest))
    assert "Measured while it ran" not in Page(build_report(other)).text


def test_nothing_is_loaded_from_outside(page):
    for _, name, value in Page(page).attributes:
        if name in ("src", "href", "action", "srcset", "data", "poster", "background"):
            assert value.startswith("#") or value == "data:,"


def test_payloads_stay_text(fake_run):
    assert len(PAYLOADS) == 40
    plain = Page(build_report(fake_run(users=400, clusters=4)))
    hostile = Page(build_report(fake_run(users=400, clusters=4, payloads=tuple(PAYLOADS), raw_ids=True)))
    for forbidden in ("iframe", "object", "embed", "form", "base", "svg", "math", "img", "video", "marquee"):
        assert hostile.elements[forbidden] == 0
    for alike in ("script", "style", "link", "meta", "title", "body", "input", "head"):
        assert hostile.elements[alike] == plain.elements[alike]
    names = {(tag, name) for tag, name, _ in hostile.attributes}
    assert not [name for _, name in names if name.startswith("on")]
    assert names <= {(tag, name) for tag, name, _ in plain.attributes}
    assert "onerror" in hostile.text, "the payloads are in the page, as text"


@pytest.mark.parametrize("payload", [*PAYLOADS[:6], PAYLOADS[35]])
def test_payloads_in_names_settings_and_facts(fake_run, tmp_path, payload):
    folder = tmp_path / "run"
    shutil.copytree(fake_run(users=60, clusters=2), folder)
    manifest = json.loads((folder / Artefact.MANIFEST).read_text())
    manifest["settings"]["label_column"] = payload
    manifest["uicgpu_version"] = manifest["versions"]["numpy"] = payload
    manifest["inputs"][0]["path"] = f"/tmp/{payload}"
    manifest["stages"]["clean"]["facts"]["columns"]["user"] = payload
    manifest["stages"][payload] = {"facts": {"rows": 1}, "outputs": {payload: {"bytes": 1}}}
    (folder / Artefact.MANIFEST).write_text(json.dumps(manifest))
    profiles = json.loads((folder / Artefact.PROFILES).read_text())
    profiles[0]["name"] = payload
    profiles[0]["terms"] = [{"term": payload, "weight": 1.0, "lift": 2.0, "users": 9, "items": 1}]
    (folder / Artefact.PROFILES).write_text(json.dumps(profiles))
    metrics = json.loads((folder / Artefact.METRICS).read_text())
    metrics[f"ranking.{payload}.ndcg@10"] = 0.9
    (folder / Artefact.METRICS).write_text(json.dumps(metrics))
    plain, hostile = Page(build_report(fake_run(users=60, clusters=2))), Page(build_report(folder))
    assert hostile.elements["script"] == plain.elements["script"]
    assert hostile.elements["img"] == 0
    assert ("{{ 7*7 }}" in hostile.text) == (payload == PAYLOADS[35])
    assert not [name for _, name, _ in hostile.attributes if name.startswith("on")]


def test_chinese(fake_run):
    text = Page(build_report(fake_run(language="zh", clusters=4))).text
    assert "用户兴趣报告" in text and "科幻" in text and "优于热门" in text
    assert "Clusters" not in text
    assert "3,120 个词元" in text and not [word for word in ("rows read", "distinct", "events kept") if word in text]
    assert "用户兴趣报告" in Page(build_report(fake_run(), language="zh")).text


@pytest.mark.parametrize(
    "options",
    [
        {"users": 1, "clusters": 1},
        {"users": 2, "clusters": 2, "categories": False, "timed": False, "evaluated": False, "attributes": False},
        {"users": 300, "clusters": 1, "evaluated": False},
    ],
)
def test_small_runs(fake_run, options):
    text = Page(build_report(fake_run(**options))).text
    assert "undefined" not in text and "None" not in text and "nan" not in text.lower().split()


def test_many_clusters_stay_within_the_limit(fake_run):
    page = build_report(fake_run(users=52_000, clusters=200, activity=1.0))
    assert len(page.encode()) < 5_000_000
    parsed = Page(page)
    assert "A sample of 50,000 of 52,000 users" in parsed.text
    profiles = json.loads((fake_run(users=52_000, clusters=200, activity=1.0) / Artefact.PROFILES).read_text())
    own = sum(profile["merged_into"] is None for profile in profiles)
    assert own < 200 and f"{own - 24} more clusters" in parsed.text
    assert f"{200 - own} clusters of fewer than 20 users are shown as part of the nearest one." in parsed.text


def test_only_the_required_artefacts(fake_run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (Artefact.MANIFEST, Artefact.USERS, Artefact.CLUSTERS, Artefact.PROFILES):
        shutil.copy(fake_run() / name, folder / name)
    text = Page(build_report(folder)).text
    assert "nothing is claimed" in text and "too few interest vectors" in text
    (folder / Artefact.MANIFEST).write_text("{}")
    assert "User interest report" in Page(build_report(folder)).text


def test_a_missing_or_broken_artefact_is_named(fake_run, tmp_path):
    with pytest.raises(RunFolderError, match=r"profiles\.json is missing"):
        build_report(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(fake_run(users=60, clusters=2), folder)
    for name in (Artefact.USERS, Artefact.INTEREST_VECTORS, Artefact.METRICS):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(b"not what it says")
        with pytest.raises(RunFolderError, match=name.replace(".", r"\.")):
            build_report(folder)
        (folder / name).write_bytes(kept)


def test_odd_texts_and_broken_vectors(fake_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(fake_run(users=60, clusters=2), folder)
    items = pl.read_parquet(folder / Artefact.ITEMS)
    odd = ["x" * 10_000, "كتاب جديد عن البستنة", "👩‍👩‍👧 🎉", "a\u202eb\x00c", "word " * 5_000]
    texts = [odd[number % len(odd)] for number in range(items.height)]
    items.with_columns(pl.Series(Column.TEXT, texts)).write_parquet(folder / Artefact.ITEMS)
    vectors = np.load(folder / Artefact.INTEREST_VECTORS)
    vectors[:5] = np.nan
    vectors[5:9] = 0
    np.save(folder / Artefact.INTEREST_VECTORS, vectors)
    text = Page(build_report(folder)).text
    assert "x" * 200 not in text
    assert "\u202e" not in text


def test_suppressed_clusters_say_so(fake_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(fake_run(users=60, clusters=2), folder)
    profiles = json.loads((folder / Artefact.PROFILES).read_text())
    profiles[1] = {"cluster": 1, "name": "Cluster 2", "share": 0.05, "size": 3, "suppressed": True}
    (folder / Artefact.PROFILES).write_text(json.dumps(profiles))
    text = Page(build_report(folder)).text
    assert "Details are withheld" in text and "fewer than 5" in text


def test_base_names():
    assert base_name("/a/b/events.csv") == base_name("C:\\x\\events.csv") == base_name("../events.csv") == "events.csv"
    assert base_name("data/*.csv") == "data/*.csv"


def test_both_levels_rhythm_trend_and_stability_are_shown(fake_run, page):
    parsed = Page(page)
    profiles = json.loads((fake_run() / Artefact.PROFILES).read_text(encoding="utf-8"))
    own = [profile for profile in profiles if not profile["suppressed"]]
    for family in {profile["super_cluster"]["name"] for profile in own}:
        assert family in parsed.text
    assert {profile["super_cluster"]["id"] for profile in own} == set(range(3))
    for told in ("Two levels", "Weekdays", "Hours of the day", "Trend", "Comes back"):
        assert told in parsed.text
    assert page.count('class="columns"') == 2 * len(own)
    zh = Page(build_report(fake_run(), language="zh")).text
    assert all(told in zh for told in ("两级群组", "星期", "趋势", "重现程度"))
