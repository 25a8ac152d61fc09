"""The self-test covers every operation of a backend: each one is compared, or exempt with a reason."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Assignment, Backend
from uicgpu.backends.self_test import EXEMPT, run_self_test

PROTOCOL = {"__init__", "__subclasshook__", "__class_getitem__"}  # what typing.Protocol itself puts there
OPERATIONS = sorted(name for name, value in vars(Backend).items() if callable(value) and name not in PROTOCOL)


def wrong(result):
    """Return the same kind of result with other content."""
    if isinstance(result, Assignment):
        return Assignment(*(wrong(getattr(result, field.name)) for field in dataclasses.fields(result)))
    if isinstance(result, pl.DataFrame):
        return result.head(1)
    if isinstance(result, list | tuple):
        return type(result)(wrong(each) for each in result)
    if callable(result):
        return lambda *arguments: wrong(result(*arguments))
    if result is None:
        return np.zeros(400, np.int32), np.zeros((5, 6), np.float32)
    return result * 0


def test_the_protocol_has_operations_and_the_exempt_ones_exist():
    assert len(OPERATIONS) >= 18
    assert set(EXEMPT) <= set(OPERATIONS)
    assert all(len(reason) > 20 for reason in EXEMPT.values())


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in EXEMPT])
def test_a_wrong_result_of_any_operation_is_noticed(operation):
    """Fails for an operation that ``run_self_test`` does not compare: compare it, or exempt it with a reason."""
    backend = choose_backend("cpu", threads=1)
    right = getattr(backend, operation)
    setattr(backend, operation, lambda *arguments: wrong(right(*arguments)))
    failed = {check.name: check.told for check in run_self_test(backend) if not check.passed}
    assert failed, f"run_self_test does not notice that {operation} is wrong"


def test_a_missing_or_wrong_engine_is_noticed_on_a_device(gpu):
    backend = choose_backend("cuda")
    right = backend.kmeans_engine
    for broken in (lambda *arguments: None, lambda *arguments: wrong(right(*arguments))):
        backend.kmeans_engine = broken
        assert [check.name for check in run_self_test(backend) if not check.passed] == ["kmeans_engine"]


def test_a_result_that_depends_on_earlier_calls_is_noticed():
    backend = choose_backend("cpu", threads=1)
    right = backend.repeated_sum

    def stale(points, weights, count):
        sums, kept = right(points, weights, count), []

        def remember(labels):
            kept.append(sums(labels))
            return kept[0]

        return remember

    backend.repeated_sum = stale
    assert [check.name for check in run_self_test(backend) if not check.passed] == ["repeated_sum"]
