import math

import numpy as np
import pytest

from uicgpu.evaluation.significance import FEW_BEYOND, bootstrap, holm
from uicgpu.randomness import generator


def test_against_a_naive_loop_over_the_same_resamples():
    random = np.random.default_rng(0)
    values = {"a": random.normal(0.3, 1, 60), "b": random.normal(0, 1, 60)}
    found = bootstrap(values, 150, seed=5)
    drawn = generator(5, "bootstrap")
    means = {name: [] for name in values}
    for start in range(0, 150, 64):
        for counts in drawn.multinomial(60, np.full(60, 1 / 60), size=min(64, 150 - start)):
            for name, value in values.items():
                means[name].append(np.repeat(value, counts).mean())
    for name in values:
        low, high = np.percentile(means[name], [2.5, 97.5])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-12)
        assert found[name].mean == pytest.approx(values[name].mean())
        drawn_means = np.array(means[name])
        beyond = min((drawn_means <= 0).sum(), (drawn_means >= 0).sum())
        p = min(1, 2 * (beyond + 1) / 151)
        if beyond < FEW_BEYOND:
            p = min(p, math.erfc(abs(values[name].mean()) / drawn_means.std() / math.sqrt(2)))
        assert found[name].p == pytest.approx(p)


def test_the_interval_covers_as_it_should():
    hits = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(1.0, 1.0, 50)
        interval = bootstrap({"x": sample}, 200, seed)["x"]
        hits += interval.low <= 1.0 <= interval.high
    assert 0.88 <= hits / 200 <= 0.99


def test_many_comparisons_leave_a_clear_difference_significant():
    sample = np.random.default_rng(3).normal(1.0, 1.0, 200)  # 14 standard errors above 0
    weak = np.random.default_rng(4).normal(0.25, 1.0, 200)
    found = bootstrap({"clear": sample, "weak": weak}, 1000, 0)
    assert 0 < found["clear"].p < 1e-30, "the count alone says .002, which times 100 comparisons is chance"
    assert holm({"clear": found["clear"].p, **{f"n{place}": 1.0 for place in range(99)}})["clear"] < 1e-25
    z = weak.mean() / (weak.std() / np.sqrt(200))
    assert found["weak"].p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.9)


def test_pairing_and_constants():
    base = np.random.default_rng(1).normal(size=40)
    found = bootstrap({"difference": (base + 0.1) - base, "same": base - base}, 100, 0)
    assert found["difference"].low == pytest.approx(0.1) and found["difference"].excludes_zero
    assert (found["same"].low, found["same"].high, found["same"].p) == (0, 0, 1) and not found["same"].excludes_zero


def test_nothing_to_resample():
    assert bootstrap({}, 100, 0) == {}
    assert np.isnan(bootstrap({"x": np.empty(0)}, 100, 0)["x"].low)


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "b": 0.06, "c": 0.06}
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
