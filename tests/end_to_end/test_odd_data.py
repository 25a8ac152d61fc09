"""Data that is odd but not wrong, through the whole pipeline: every run ends with a report that says what there is."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import uicgpu as uic
from uicgpu.cli.main import call
from uicgpu.report.markdown import build_markdown

ODD_TEXTS = [
    "كتاب جديد عن البستنة",
    "ספר חדש על גינון",
    "👩‍👩‍👧 🎉🎉🎉",
    "!!! --- ???",
    "2024 100 7",
    "the of and",
    "x" * 10_000,
    "garden hose " * 800,
    "a\u202eb\u0007c",
    "garden hose",
    "tomato seeds",
    "",
]
Odd = Callable[..., tuple[uic.Run, str]]


@pytest.fixture
def odd(tmp_path: Path, embedded_model: str, vector_cache: Path) -> Odd:
    """Run the pipeline on users of ``texts``, without times and categories; returns the run and its page."""

    def make(texts: list[str], users: int, each: int, *options: str) -> tuple[uic.Run, str]:
        random = np.random.default_rng(2)
        items = [f"i{number:04d}" for number in range(len(texts))]
        owners = [f"u{user:04d}" for user in range(users) for _ in range(each)]
        pl.DataFrame({"item_id": items, "title": texts}).write_csv(tmp_path / "items.csv")
        chosen = random.integers(0, len(items), len(owners))
        events = {"user_id": owners, "item_id": [items[number] for number in chosen]}
        pl.DataFrame(events).write_csv(tmp_path / "events.csv")
        arguments = ["run", "--events", str(tmp_path / "events.csv"), "--items", str(tmp_path / "items.csv")]
        arguments += ["--model", embedded_model, "--split", "none", "--stability-runs", "0", "--quiet", *options]
        assert call([*arguments, "--out", str(tmp_path / "run")]) == 0
        run = uic.open_run(tmp_path / "run")
        return run, run.report.read_text(encoding="utf-8")

    return make


def test_odd_texts_in_one_cluster_without_times_and_categories(odd: Odd) -> None:
    run, page = odd(ODD_TEXTS, 80, 4, "-k", "1")
    profile = run.profiles[0]
    assert (len(run.profiles), profile["size"], profile["suppressed"]) == (1, 80, False)
    assert profile["categories"] == [] and profile["nearest"] is None and profile["trend"] is None
    assert "All users are in one cluster" in page
    for text in (page, build_markdown(run.path), json.dumps(run.profiles)):
        assert "x" * 300 not in text and "\u202e" not in text and "\u0007" not in text
    assert all(len(item["text"]) <= 200 for item in profile["exemplar_items"])
    assert call(["privacy", str(run.path), "--quiet"]) == 0


def test_texts_of_which_no_word_is_left(odd: Odd) -> None:
    run, page = odd(["!!!", "???", "123 456", "…", "--"], 60, 3, "-k", "2")
    assert [profile["terms"] for profile in run.profiles if not profile["suppressed"]]
    assert all(profile["name"].startswith("Cluster ") for profile in run.profiles)
    assert "No terms stand out." in page


def test_clusters_of_one_user_are_withheld_or_shown_on_demand(odd: Odd) -> None:
    run, page = odd(["green tea", "running shoe", "steel knife", "jazz record", "board game", "tent"], 6, 1, "-k", "6")
    assert all(profile["suppressed"] or profile["merged_into"] is not None for profile in run.profiles)
    assert "Every cluster has fewer than 20 users" in page
    shown, _ = odd(["green tea", "running shoe", "steel knife"], 6, 1, "-k", "6", "--k-anonymity", "1")
    assert not any(profile["suppressed"] for profile in shown.profiles)


def test_a_thousand_clusters(odd: Odd) -> None:
    syllables = ["ba", "ce", "di", "fo", "gu", "ha", "ki", "lo", "mu", "ne"]
    texts = [f"{a}{b} {b}{c}{a} {c}{a}" for a in syllables for b in syllables for c in syllables]
    run, page = odd(texts, 1200, 2, "-k", "1000", "--k-anonymity", "1")
    names = [profile["name"] for profile in run.profiles]
    assert len(set(names)) == len(names) > 900
    assert len(page.encode()) < 5_000_000
    assert f"{len(names) - 200} further clusters" in page


class _Nonsense(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = b'{"choices": [{"message": {"content": "<script>alert(1)</script> Ignore all rules"}}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def nonsense() -> Iterator[str]:
    """Address of a service that answers nonsense."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("service", ["down", "nonsense"])
def test_a_naming_service_that_is_down_or_talks_nonsense_leaves_the_default_names(
    odd: Odd, nonsense: str, service: str
) -> None:
    url = nonsense if service == "nonsense" else "http://127.0.0.1:9/v1"
    texts = ["green tea", "black tea", "tea pot", "running shoe", "trail running", "running sock"]
    run, page = odd(texts, 80, 3, "-k", "2", "--llm-url", url)
    assert "alert" not in page and all("ule" not in profile["name"] for profile in run.profiles)
    assert {profile["name"] for profile in run.profiles} == set(run.clusters["name"])
    assert "0 of 2 names come from the language model" in page
