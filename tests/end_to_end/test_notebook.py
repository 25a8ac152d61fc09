"""The blocks of docs/notebook.md run as they stand, in order, in one namespace."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"


class BaseEmbedder:
    """What BERTopic recognises a backend by; words are embedded as documents are."""

    def __init__(self, embedding_model=None, word_embedding_model=None):
        self.embedding_model = embedding_model
        self.word_embedding_model = word_embedding_model

    def embed_words(self, words, verbose=False):
        return self.embed(words, verbose)


class BaseDimensionalityReduction:
    def fit(self, X=None):
        return self

    def transform(self, X):
        return X


class BERTopic:
    """Calls its parts the way BERTopic's ``fit_transform`` does, and makes no topics of its own."""

    def __init__(self, *, embedding_model, umap_model, hdbscan_model):
        assert isinstance(embedding_model, BaseEmbedder)
        self.backend, self.reduction, self.clusters = embedding_model, umap_model, hdbscan_model

    def fit_transform(self, documents):
        vectors = self.backend.embed(np.array(documents, dtype=object), verbose=False)
        assert vectors.shape[0] == len(documents) and isinstance(vectors, np.ndarray)
        assert self.backend.embed_words(["coffee", "bike"], verbose=False).shape == (2, vectors.shape[1])
        reduced = self.reduction.fit(vectors).transform(vectors)
        self.clusters.fit(reduced, y=None)
        return self.clusters.labels_.tolist(), None

    def transform(self, documents):
        return self.clusters.predict(self.backend.embed(documents, verbose=False))


class Mlflow(types.ModuleType):
    """Takes what is logged; ``tests/report`` looks at it."""

    def __init__(self):
        super().__init__("mlflow")
        self.calls: list[str] = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: self.calls.append(name)

    @contextlib.contextmanager
    def start_run(self):
        yield types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubles of the packages that the page uses and the tests do not install."""
    monkeypatch.setitem(sys.modules, "mlflow", Mlflow())
    parts: dict[str, dict[str, Any]] = {
        "bertopic": {"BERTopic": BERTopic},
        "bertopic.backend": {"BaseEmbedder": BaseEmbedder},
        "bertopic.dimensionality": {"BaseDimensionalityReduction": BaseDimensionalityReduction},
    }
    for name, members in parts.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)


def test_the_page_runs_from_top_to_bottom(
    generated: Any,
    embedded_model: str,
    vector_cache: Path,
    peers: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(generated.events, tmp_path / "events.csv")
    shutil.copy(generated.items, tmp_path / "items.csv")
    monkeypatch.chdir(tmp_path)
    # The page shows the defaults; these only save time.
    for name, value in {"K": "4", "BOOTSTRAP": "100", "TUNE": "off", "STABILITY_RUNS": "1"}.items():
        monkeypatch.setenv(f"UICGPU_{name}", value)
    text = PAGE.read_text(encoding="utf-8")
    seen: dict[str, Any] = {"__name__": "notebook"}
    for found in re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        # As many empty lines before the block as lines stand before it: a failure then shows the page's line.
        above = text[: found.start(1)].count("\n")
        exec(compile("\n" * above + found[1], str(PAGE), "exec"), seen)

    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(seen["run"].profiles) == seen["clusters"].height == 4
    assert seen["users"].height == 240 == seen["vectors"].shape[0]
    assert seen["suggested"]["rank"].to_list() == list(range(1, 11))
    assert 0 < seen["quality"]["ranking.blend.ndcg@10"] <= 1
    assert seen["frame"].startswith("<iframe srcdoc=") and '<html lang="en"' not in seen["frame"]
    assert seen["logged"] == "r1"
    assert sys.modules["mlflow"].calls[0] == "set_experiment" and sys.modules["mlflow"].calls[-1] == "log_artifacts"
    coffee = {"espresso", "coffee", "moka", "kettle", "milk"}
    assert all(coffee & set(text.split()) for text in seen["best"])
    assert len(set(seen["groups"])) == 4 and seen["nearest"][0] != seen["nearest"][1]
    assert seen["outside"].shape == (120,)
    assert seen["labels"] == seen["groups"].tolist()
    assert seen["topics"].transform(["lock for a bicycle"]).tolist() == seen["nearest"][:1].tolist()
