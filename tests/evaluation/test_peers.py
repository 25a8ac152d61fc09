"""Our metrics beside those of RecTools and LensKit on random lists.

Both packages pin versions that this one does not take, so they live in an environment of their own:
``pip install --no-deps --target PEERS rectools lenskit`` with what they import, and ``PYTHONPATH=PEERS``.
"""

from importlib import import_module

import numpy as np
import pytest

from uicgpu.bench.evaluate import random_lists
from uicgpu.bench.ranking_peers import lenskit_metrics, rectools_metrics
from uicgpu.evaluation.beyond_accuracy import coverage, diversity, gini
from uicgpu.evaluation.debiased import thin_out
from uicgpu.evaluation.ranking import hits_of, ranking_metrics


def peer(name, module=""):
    pytest.importorskip(name, reason=f"{name} is not installed: it needs an environment of its own")
    return import_module(f"{name}{module}")


def lists_and_values(users, items, seed):
    """Random lists, one in twenty of them short, and our metrics per user."""
    lists, truth = random_lists(users, items, seed)
    per_user = ranking_metrics(hits_of(lists, truth), truth.sizes)
    return lists, truth, per_user


@pytest.mark.parametrize("name", ["rectools", "lenskit"])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_a_peer(name, seed):
    peer(name)
    lists, truth, per_user = lists_and_values(300, 2000, seed)
    maker = {"rectools": rectools_metrics, "lenskit": lenskit_metrics}[name]
    theirs = maker(lists, truth.users, truth.offsets, truth.items)()
    assert len(theirs) >= 2
    for metric, value in theirs.items():
        assert value == pytest.approx(per_user[metric].mean(), abs=1e-9), metric


@pytest.mark.parametrize("k", [10, 20])
def test_lenskit_where_only_the_denominator_differs(k):
    theirs, item_list = peer("lenskit", ".metrics"), peer("lenskit", ".data").ItemList
    average = peer("lenskit", ".metrics.ranking._map").AveragePrecision
    lists, truth, per_user = lists_and_values(200, 900, 3)
    given = [item_list(item_ids=row[row >= 0], ordered=True) for row in lists]
    wanted = [item_list(item_ids=truth.items[a:b]) for a, b in zip(truth.offsets, truth.offsets[1:], strict=False)]

    def measured(metric):
        return np.array([metric.measure_list(own, held) for own, held in zip(given, wanted, strict=True)])

    lengths = np.minimum((lists >= 0).sum(axis=1), k)
    # Told to discount the second rank as well, their NDCG is ours.
    discounted = theirs.NDCG(n=k, discount=lambda ranks: np.log2(np.asarray(ranks) + 1))
    np.testing.assert_allclose(measured(discounted), per_user[f"ndcg@{k}"], atol=1e-9)
    # Precision over what is shown, ours over K; recall over min(K, held out), ours over all held out.
    np.testing.assert_allclose(measured(theirs.Precision(n=k)) * lengths / k, per_user[f"precision@{k}"], atol=1e-9)
    most = np.minimum(truth.sizes, k)
    np.testing.assert_allclose(measured(theirs.Recall(n=k)) * most / truth.sizes, per_user[f"recall@{k}"], atol=1e-9)
    theirs_most = np.minimum(truth.sizes, lengths)
    np.testing.assert_allclose(measured(average(n=k)) * theirs_most / most, per_user[f"map@{k}"], atol=1e-9)


def test_lenskit_gini():
    theirs, item_list = peer("lenskit", ".metrics"), peer("lenskit", ".data").ItemList
    lists, _ = random_lists(300, 400, 5)
    metric = theirs.ListGini(n=10, items=400)
    parts = [metric.compute_list_data(item_list(item_ids=row[row >= 0], ordered=True), None) for row in lists]
    assert gini(lists[:, :10], np.ones(400, bool)) == pytest.approx(metric.global_aggregate(parts), abs=1e-12)


@pytest.mark.parametrize("k", [10, 20])
def test_rectools_map_coverage_and_diversity(k):
    theirs, pd, columns = peer("rectools", ".metrics"), peer("pandas"), peer("rectools").Columns
    lists, truth, per_user = lists_and_values(150, 600, 4)
    rows, places = np.nonzero(lists >= 0)
    given = pd.DataFrame({columns.User: truth.users[rows], columns.Item: lists[rows, places], columns.Rank: places + 1})
    held = pd.DataFrame({columns.User: np.repeat(truth.users, truth.sizes), columns.Item: truth.items})
    by_k = theirs.MAP(k=k, divide_by_k=True).calc_per_user(given, held).sort_index().to_numpy()
    by_all = theirs.MAP(k=k).calc_per_user(given, held).sort_index().to_numpy()
    most = np.minimum(truth.sizes, k)
    np.testing.assert_allclose(by_k * k / most, per_user[f"map@{k}"], atol=1e-9)
    np.testing.assert_allclose(by_all * truth.sizes / most, per_user[f"map@{k}"], atol=1e-9)
    shown = theirs.CatalogCoverage(k=k, normalize=True).calc(given, range(600))
    assert coverage(lists[:, :k], np.ones(600, bool)) == pytest.approx(shown, abs=1e-12)

    vectors = np.random.default_rng(0).normal(size=(600, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    class Cosine(theirs.PairwiseDistanceCalculator):
        def _get_distances_for_item_pairs(self, items_0, items_1):
            pairs = vectors[np.asarray(items_0)].astype(float), vectors[np.asarray(items_1)].astype(float)
            return 1 - (pairs[0] * pairs[1]).sum(axis=1)

    varied = theirs.IntraListDiversity(k=k, distance_calculator=Cosine()).calc(given)
    assert diversity(lists[:, :k], vectors)[0] == pytest.approx(varied, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_rectools_thins_out_the_same_number_of_every_item(seed):
    theirs, pd, columns = peer("rectools", ".metrics"), peer("pandas"), peer("rectools").Columns
    _, truth = random_lists(400, 60, seed)
    held = pd.DataFrame({columns.User: np.repeat(truth.users, truth.sizes), columns.Item: truth.items})
    thinned = theirs.debias_interactions(held, theirs.DebiasConfig(random_state=0))
    thin = thin_out(truth, seed)
    assert (np.bincount(thin.items, minlength=60) == np.bincount(thinned[columns.Item], minlength=60)).all()


def test_popular_test_items_are_thinned_out_to_the_border():
    _, truth = random_lists(400, 60, 0)
    thin = thin_out(truth, 0)
    counts = np.bincount(truth.items)
    first, third = np.quantile(counts[counts > 0], [0.25, 0.75])
    kept = np.bincount(thin.items, minlength=counts.size)
    assert (kept == np.minimum(counts, int(third + 1.5 * (third - first)))).all()
    assert (thin.sizes > 0).all() and set(thin.users) <= set(truth.users)
