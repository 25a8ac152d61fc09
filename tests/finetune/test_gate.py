from __future__ import annotations

import numpy as np
import pytest

from uicgpu.finetune.behaviour import build_history, distinct
from uicgpu.finetune.gate import cold_ndcg, cold_task, decide, paired_gain


@pytest.fixture
def task(build):
    # texts 0-2 train, 3-5 cold; user 0 knows 0 1 2 and truly wants 3 and 5; user 1 has too short a history
    events = build.events([0, 0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 5, 0, 4], [1, 2, 3, 4, 5, 1, 2], 2, 6)
    everything = build_history(events, distinct([f"text {n}" for n in range(6)]))
    cold = np.array([False] * 3 + [True] * 3)
    return cold_task(everything.take(~cold[everything.texts]), everything, cold, 0)


def test_the_task_holds_what_it_should(task):
    assert task.users.tolist() == [0]
    assert task.candidates.tolist() == [3, 4, 5]
    assert task.truth.toarray().tolist() == [[1, 0, 1]]
    assert task.queries.toarray()[0].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    assert task.train_texts.tolist() == [0, 1, 2]


def test_ndcg_by_hand(task):
    # the centre is (2/3, 1/3); the query points along it, and texts 4, 3, 5 follow in this order
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.0, 0.2], [1, 0.1], [-1, 3]], np.float32)
    unit = vectors - vectors[:3].mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    order = np.argsort(-(unit[:3].mean(axis=0) @ unit[3:].T), kind="stable")
    gain = sum(1 / np.log2(2 + place) for place, text in enumerate(order) if text in (0, 2))
    assert cold_ndcg(task, vectors)[0] == pytest.approx(gain / (1 + 1 / np.log2(3)))


def test_a_better_arm_passes_and_noise_does_not():
    random = np.random.default_rng(0)
    base = random.uniform(0, 1, 400)
    verdict = decide(
        {"half-whitened": base, "noise": base + random.normal(0, 0.3, 400), "good": base + 0.1, "dear": base + 0.101},
        "half-whitened",
        0,
    )
    passed = {row["arm"]: row["passed"] for row in verdict.table}
    assert passed["good"] and not passed["noise"]
    # dearer and better by a hair on every user: certain, so it ships
    assert verdict.chosen == "dear"


def test_a_dearer_arm_that_is_not_certainly_better_does_not_replace_a_cheaper_one():
    random = np.random.default_rng(1)
    base = random.uniform(0, 1, 300)
    verdict = decide(
        {"half-whitened": base, "cheap": base + 0.2, "dear": base + 0.2 + random.normal(0, 0.3, 300)},
        "half-whitened",
        0,
    )
    assert verdict.chosen == "cheap"
    assert "cheap is better than half-whitened" in verdict.reason


def test_nothing_to_judge_ships_the_reference():
    nothing = np.empty(0)
    assert decide({"half-whitened": nothing, "head": nothing}, "half-whitened", 0).chosen == "half-whitened"


def test_an_arm_equal_to_the_reference_gains_nothing():
    base = np.linspace(0, 1, 50)
    gain = paired_gain(base, base, 0)
    assert (gain.gain, gain.low, gain.high) == (0, 0, 0)


def test_the_query_is_the_latest_texts_and_the_whole_history_where_there_are_no_times(build):
    from uicgpu.events.interactions import NO_TIME

    n = 25

    def queries(times):
        events = build.events([0] * (n + 1), list(range(n + 1)), times, 1, n + 1)
        everything = build_history(events, distinct([f"text {place:02}" for place in range(n + 1)]))
        cold = np.arange(n + 1) == n
        return cold_task(everything.take(~cold[everything.texts]), everything, cold, 0).queries.toarray()[0]

    latest, whole = queries(list(range(n + 1))), queries([NO_TIME] * (n + 1))
    assert np.flatnonzero(latest).tolist() == list(range(5, n))  # the last 20 of 25
    assert np.flatnonzero(whole).tolist() == list(range(n))
    assert latest.sum() == pytest.approx(1) and whole.sum() == pytest.approx(1)
