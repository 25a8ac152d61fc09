"""The cost model: what must hold of any prediction, and figures worked by hand."""

import itertools

import pytest

from uicgpu.kernels.assign.cost import predict_assign, predict_unfused
from uicgpu.kernels.roofline import HARDWARE
from uicgpu.kernels.segment_reduce.cost import predict_centroid_update, predict_segment_pool, predict_segment_sum

DEVICES = list(HARDWARE.values())


@pytest.mark.parametrize("hardware", DEVICES, ids=list(HARDWARE))
def test_more_work_never_takes_less_time(hardware):
    for d, k in itertools.product((50, 384, 768, 1024), (10, 100, 4096)):
        times = [predict_assign(n, d, k, hardware=hardware).seconds for n in (1, 1000, 10**5, 10**7)]
        assert times == sorted(times) and times[0] > 0
    for d in (50, 384):
        times = [predict_assign(10**6, d, k, hardware=hardware).seconds for k in (1, 64, 65, 1000, 10**4)]
        assert times == sorted(times)
        for predict in (predict_segment_sum, predict_segment_pool):
            times = [predict(e, e // 50, d, hardware=hardware).seconds for e in (10**3, 10**6, 10**9)]
            assert times == sorted(times)


@pytest.mark.parametrize("hardware", DEVICES, ids=list(HARDWARE))
def test_no_prediction_beats_the_device(hardware):
    for n, d, k in itertools.product((10**4, 10**7), (50, 384, 768, 1024), (10, 4096)):
        prediction = predict_assign(n, d, k, hardware=hardware)
        assert prediction.seconds >= prediction.operations / hardware.tensor_half
        assert prediction.seconds >= prediction.bytes_moved / hardware.memory
        assert prediction.seconds == max(prediction.ceilings.values())


def test_the_bound_changes_where_arithmetic_passes_memory():
    bounds = [predict_assign(10**7, 384, k).bound_by for k in (1, 100, 4096)]
    assert bounds[0] == "memory" or bounds[0] == "arithmetic"  # one tile of 64 centroids is computed in any case
    assert bounds[-1] == "arithmetic"
    assert predict_segment_sum(10**9, 10**7, 384).bound_by == "memory"
    assert predict_segment_sum(10**9, 10**7, 384, reuse=1.0).bound_by != "memory"


def test_pooling_spares_additions_in_double():
    """On a GeForce card double arithmetic is slow, and summing in it is bound by it; pooling stays bound by memory."""
    geforce = HARDWARE["rtx4090"]
    sums, pooled = (
        predict(10**9, 10**7, 384, hardware=geforce) for predict in (predict_segment_sum, predict_segment_pool)
    )
    assert sums.ceilings["arithmetic"] > 4 * pooled.ceilings["arithmetic"]
    assert pooled.bound_by == "memory" and pooled.bytes_moved > 10**9 * 384 * 4


def test_worked_by_hand():
    """2 x 10^7 x 4096 x 384 operations at 790e12 are 39.8 ms; 20 instructions per score at 2.97e13 are 27.6 ms."""
    prediction = predict_assign(10**7, 384, 4096)
    assert prediction.operations == pytest.approx(3.146e13, rel=1e-3)
    assert prediction.ceilings["arithmetic"] == pytest.approx(0.0398 + 0.0276, rel=0.01)
    assert prediction.bytes_moved == pytest.approx(7.68e9 + 0.2e9, rel=0.01)
    assert "predicted" in str(prediction)


def test_fused_is_predicted_to_beat_writing_all_scores():
    for k in (1000, 4096):
        assert predict_assign(10**7, 384, k).seconds < predict_unfused(10**7, 384, k).seconds


def test_a_centroid_update_is_a_gather_and_a_sort():
    update = predict_centroid_update(10**7, 384)
    assert update.seconds > predict_segment_sum(10**7, 0, 384).seconds
    assert update.bytes_moved > 10**7 * 384 * 4
