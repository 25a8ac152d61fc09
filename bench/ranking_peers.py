"""Ranking metrics and recommenders of other programs, each behind the same call as ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

PEERS: Final = ("rectools", "implicit", "lenskit")


def installed() -> list[str]:
    """Peers that can be imported here."""
    return [name for name in PEERS if importlib.util.find_spec(name) is not None]


def rectools_metrics(
    lists: NDArray[np.int32], users: NDArray[np.int32], offsets: NDArray[np.int64], items: NDArray[np.int32]
) -> Callable[[], dict[str, float]]:
    """Return a call of ``rectools.metrics.calc_metrics`` for the metrics that both define alike.

    Tables are built outside of the call, so that only the metrics are measured.
    """
    pd, columns, theirs = import_module("pandas"), _columns(), import_module("rectools.metrics")
    given = pd.DataFrame(
        {
            columns.User: np.repeat(users, lists.shape[1]),
            columns.Item: lists.ravel(),
            columns.Rank: np.tile(np.arange(1, lists.shape[1] + 1), len(users)),
        }
    )
    given = given[given[columns.Item] >= 0]
    truth = pd.DataFrame({columns.User: np.repeat(users, np.diff(offsets)), columns.Item: items, columns.Weight: 1.0})
    truth[columns.Datetime] = pd.Timestamp("2020-01-01")
    metrics: dict[str, Any] = {}
    for k in (10, 20):
        metrics[f"ndcg@{k}"] = theirs.NDCG(k=k, divide_by_achievable=True)
        metrics[f"recall@{k}"] = theirs.Recall(k=k)
        metrics[f"precision@{k}"] = theirs.Precision(k=k)
        metrics[f"hit_rate@{k}"] = theirs.HitRate(k=k)
        metrics[f"mrr@{k}"] = theirs.MRR(k=k)

    def run() -> dict[str, float]:
        return {name: float(value) for name, value in theirs.calc_metrics(metrics, given, truth).items()}

    return run


def lenskit_metrics(
    lists: NDArray[np.int32], users: NDArray[np.int32], offsets: NDArray[np.int64], items: NDArray[np.int32]
) -> Callable[[], dict[str, float]]:
    """Return a call of LensKit's list metrics, user by user, for the metrics that both define alike.

    Its NDCG does not discount the second rank and its recall divides by at most n, so neither is among them.
    """
    item_list, theirs = import_module("lenskit.data").ItemList, import_module("lenskit.metrics")
    given = [item_list(item_ids=row[row >= 0], ordered=True) for row in lists]
    truth = [item_list(item_ids=items[start:stop]) for start, stop in pairwise(offsets)]
    metrics: dict[str, Any] = {}
    for k in (10, 20):
        metrics |= {f"mrr@{k}": theirs.RecipRank(n=k), f"hit_rate@{k}": theirs.Hit(n=k)}

    def run() -> dict[str, float]:
        told: dict[str, list[float]] = {name: [] for name in metrics}
        for own, wanted in zip(given, truth, strict=True):
            for name, metric in metrics.items():
                told[name].append(float(metric.measure_list(own, wanted)))
        return {name: float(np.mean(values)) for name, values in told.items()}

    return run


def rectools_ease(matrix: sparse.csr_array, penalty: float, top: int) -> Callable[[], object]:
    """Return a call that fits RecTools' EASE on binary events and recommends unseen items to everybody."""
    data, users = _dataset(matrix)

    def run() -> object:
        model = import_module("rectools.models").EASEModel(regularization=penalty)
        model.fit(data)
        return model.recommend(users=users, dataset=data, k=top, filter_viewed=True)

    return run


def implicit_item_item(matrix: sparse.csr_array, neighbours: int, top: int) -> Callable[[], object]:
    """Return a call that fits implicit's cosine item-item model on one thread and recommends unseen items."""
    from implicit.nearest_neighbours import CosineRecommender

    table = sparse.csr_matrix(matrix)
    everyone = np.arange(table.shape[0])

    def run() -> object:
        model = CosineRecommender(K=neighbours + 1, num_threads=1)
        model.fit(table, show_progress=False)
        return model.recommend(everyone, table, N=top, filter_already_liked_items=True)

    return run


def _columns() -> Any:
    return import_module("rectools").Columns


def _dataset(matrix: sparse.csr_array) -> tuple[Any, NDArray[np.int64]]:
    pd, columns = import_module("pandas"), _columns()
    users, items = matrix.nonzero()
    frame = pd.DataFrame({columns.User: users, columns.Item: items, columns.Weight: 1.0})
    frame[columns.Datetime] = pd.Timestamp("2020-01-01")
    return import_module("rectools.dataset").Dataset.construct(frame), np.unique(users)
