"""Our metrics beside those of RecTools and LensKit on random lists, user by user in the mean."""

import numpy as np
import pytest

from uicgpu.bench.evaluate import random_lists
from uicgpu.bench.ranking_peers import lenskit_metrics, rectools_metrics
from uicgpu.evaluation.debiased import thin_out
from uicgpu.evaluation.ranking import hits_of, ranking_metrics


@pytest.mark.parametrize("peer", ["rectools", "lenskit"])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_a_peer(peer, seed):
    pytest.importorskip(peer, reason=f"{peer} is not installed: it needs an environment of its own")
    lists, truth = random_lists(300, 2000, seed)
    ours = {name: value.mean() for name, value in ranking_metrics(hits_of(lists, truth), truth.sizes).items()}
    maker = {"rectools": rectools_metrics, "lenskit": lenskit_metrics}[peer]
    theirs = maker(lists, truth.users, truth.offsets, truth.items)()
    assert len(theirs) >= 2
    for name, value in theirs.items():
        assert value == pytest.approx(ours[name], abs=1e-9), name


def test_popular_test_items_are_thinned_out_to_the_border():
    _, truth = random_lists(400, 60, 0)
    thin = thin_out(truth, 0)
    counts = np.bincount(truth.items)
    first, third = np.quantile(counts[counts > 0], [0.25, 0.75])
    kept = np.bincount(thin.items, minlength=counts.size)
    assert (kept == np.minimum(counts, int(third + 1.5 * (third - first)))).all()
    assert (thin.sizes > 0).all() and set(thin.users) <= set(truth.users)
