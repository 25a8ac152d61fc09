"""What every test shares: real data when it is there, and a machine that is not touched."""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

# One BLAS thread, as the command line sets it: results must not depend on the machine's cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data sets: ``$UICGPU_TEST_DATA``, else ``../shared/data``; skips when there is none."""
    named = os.environ.get("UICGPU_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data here: set UICGPU_TEST_DATA to a folder with the data sets")
    return folder


UMAP_SIGNATURE = (
    "n_neighbors=15, n_components=2, metric='euclidean', metric_kwds=None, output_metric='euclidean', "
    "output_metric_kwds=None, n_epochs=None, learning_rate=1.0, init='spectral', min_dist=0.1, spread=1.0, "
    "low_memory=True, n_jobs=-1, set_op_mix_ratio=1.0, local_connectivity=1.0, repulsion_strength=1.0, "
    "negative_sample_rate=5, transform_queue_size=4.0, a=None, b=None, random_state=None, angular_rp_forest=False, "
    "target_n_neighbors=-1, target_metric='categorical', target_metric_kwds=None, target_weight=0.5, "
    "transform_seed=42, transform_mode='embedding', force_approximation_algorithm=False, verbose=False, "
    "tqdm_kwds=None, unique=False, densmap=False, dens_lambda=2.0, dens_frac=0.3, dens_var_shift=0.1, "
    "output_dens=False, disconnection_distance=None, precomputed_knn=(None, None, None)"
)
"""Of ``umap.UMAP`` in umap-learn 0.5.12; a test compares it where that is installed."""


class UmapStandIn:
    """Takes what ``umap.UMAP`` takes, demands what it silently relies on, and leaves points where they start, nearly.

    Attributes
    ----------
    calls
        Arguments of every fit so far, and the points, under ``points``.
    """

    def __init__(self) -> None:
        names = [(part.partition("=")[0], part) for part in re.split(r", (?=[a-z]\w*=)", UMAP_SIGNATURE)]
        self.names = {name for name, _ in names}
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **given: Any) -> UmapStandIn:
        assert given.keys() <= self.names
        self.given = given
        return self

    def fit_transform(self, points: Any) -> Any:
        rows, distances = self.given["precomputed_knn"]
        start, count = self.given["init"], self.given["n_neighbors"]
        assert points.dtype == start.dtype == distances.dtype == np.float32 and count < len(points)
        assert rows.shape == distances.shape == (len(points), count) and np.issubdtype(rows.dtype, np.integer)
        assert (rows[:, 0] == np.arange(len(points))).all() and (np.diff(distances) >= 0).all()
        assert start.shape == (len(points), self.given["n_components"]) and (np.ptp(start, axis=0) > 0).all()
        assert self.given["n_jobs"] == 1, "anything else is overridden with a warning, given a seed"
        self.calls.append({**self.given, "points": points})
        jitter = np.random.default_rng(self.given["random_state"]).standard_normal(start.shape)
        return (start * (1 + 1e-3 * jitter)).astype(np.float32)


@pytest.fixture
def umap(monkeypatch: pytest.MonkeyPatch) -> UmapStandIn:
    """A stand-in for the package umap-learn, which need not be installed."""
    module: Any = ModuleType("umap")
    module.__spec__ = ModuleSpec("umap", None)
    module.UMAP = UmapStandIn()
    monkeypatch.setitem(sys.modules, "umap", module)
    stand_in: UmapStandIn = module.UMAP
    return stand_in


@pytest.fixture
def no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if umap-learn were not installed."""
    monkeypatch.setitem(sys.modules, "umap", None)
