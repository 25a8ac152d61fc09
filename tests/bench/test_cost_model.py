"""Predictions grow with the work, name what bounds them, and call themselves predictions."""

from __future__ import annotations

import dataclasses

import pytest

from uicgpu.bench.cost_model import HARDWARE, Hardware, Work, estimate_run, predict


def seconds_of(work: Work, hardware: Hardware) -> dict[str, float]:
    return {stage: max(seconds.values()) for stage, (seconds, _) in predict(work, hardware).items()}


@pytest.mark.parametrize("name", HARDWARE)
@pytest.mark.parametrize("field", ["users", "items", "items_per_user", "tokens", "clusters"])
def test_more_work_never_takes_less_time_or_memory(name, field):
    small = Work(10_000, 10_000)
    large = dataclasses.replace(small, **{field: 3 * getattr(small, field)})
    before, after = predict(small, HARDWARE[name]), predict(large, HARDWARE[name])
    for stage in before:
        assert max(after[stage][0].values()) >= max(before[stage][0].values())
        assert after[stage][1] >= before[stage][1]
    longer = sum(seconds_of(large, HARDWARE[name]).values()) > sum(seconds_of(small, HARDWARE[name]).values())
    assert longer or field == "clusters", "few clusters cost what reading the vectors costs"


def test_few_tokenising_cores_bound_a_fast_device():
    starved = dataclasses.replace(HARDWARE["H100"], cores=1)
    told, _ = predict(Work(10, 10**6), starved)["encode"]
    assert told["tokeniser"] > told["matrix products"]


def test_k_means_is_bound_by_memory_for_few_clusters_and_by_products_for_many():
    few, _ = predict(Work(10**6, 10, clusters=8), HARDWARE["H100"])["cluster"]
    many, _ = predict(Work(10**6, 10, clusters=4096), HARDWARE["H100"])["cluster"]
    assert few["memory"] > few["matrix products"]
    assert many["memory"] < many["matrix products"]


def test_it_says_when_a_stage_does_not_fit():
    told = estimate_run(users=200_000_000, items=1000)["hardware"]
    assert told["L4"]["cluster"]["fits"] is False
    assert estimate_run(users=1000, items=1000)["hardware"]["L4"]["cluster"]["fits"] is True


def test_every_figure_is_called_a_prediction():
    result = estimate_run(users=1000, items=1000)
    assert "predicted" in result["status"]
    for machine in result["hardware"].values():
        for stage in ("encode", "pool", "cluster"):
            assert {"predicted_seconds", "predicted_bytes", "bound_by", "fits"} == set(machine[stage])
