"""uicgpu: user behaviour and item texts in, interest clusters, profiles and recommendations out.

Names are imported on first use, so that ``import uicgpu`` stays fast and needs no GPU library.

>>> import uicgpu as uic
>>> uic.__version__
'0.1.0'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from uicgpu.version import __version__

if TYPE_CHECKING:
    from uicgpu.cluster import DBSCAN, HDBSCAN, Hierarchical, KMeans, MiniBatchKMeans
    from uicgpu.encode import Encoder
    from uicgpu.interests import InterestPooler
    from uicgpu.pipeline.execute import run
    from uicgpu.pipeline.finished import evaluate
    from uicgpu.pipeline.formats import log_to_mlflow
    from uicgpu.recommend import Recommender
    from uicgpu.runs import Run, open_run
    from uicgpu.settings import Settings

_HOMES = {
    "DBSCAN": "uicgpu.cluster",
    "HDBSCAN": "uicgpu.cluster",
    "Hierarchical": "uicgpu.cluster",
    "KMeans": "uicgpu.cluster",
    "MiniBatchKMeans": "uicgpu.cluster",
    "Encoder": "uicgpu.encode",
    "evaluate": "uicgpu.pipeline.finished",
    "InterestPooler": "uicgpu.interests",
    "Recommender": "uicgpu.recommend",
    "Run": "uicgpu.runs",
    "Settings": "uicgpu.settings",
    "log_to_mlflow": "uicgpu.pipeline.formats",
    "open_run": "uicgpu.runs",
    "run": "uicgpu.pipeline.execute",
}

__all__ = [
    "DBSCAN",
    "HDBSCAN",
    "Encoder",
    "Hierarchical",
    "InterestPooler",
    "KMeans",
    "MiniBatchKMeans",
    "Recommender",
    "Run",
    "Settings",
    "__version__",
    "evaluate",
    "log_to_mlflow",
    "open_run",
    "run",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'uicgpu' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
