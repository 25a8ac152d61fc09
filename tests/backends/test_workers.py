"""Threads: order, exceptions, nesting, and who may use BLAS threads."""

import sys
import threading
import time
import types

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from uicgpu.backends import choose_backend
from uicgpu.backends.workers import one_blas_thread, run_in_order


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def three_blas_threads():
    with threadpool_limits(limits=3, user_api="blas"):
        yield


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_parts(threads):
    def slow_first(part):
        time.sleep(0.02 if part == 0 else 0)
        return part, threading.current_thread() is threading.main_thread()

    results = run_in_order(slow_first, iter(range(9)), threads)
    assert [part for part, _ in results] == list(range(9))
    assert all(inline == (threads == 1) for _, inline in results)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_exception_in_order_is_raised_and_the_rest_dropped(threads):
    started = []

    def fail(part):
        started.append(part)
        time.sleep(0.01)
        if part in (2, 4):
            raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match="part 2"):
        run_in_order(fail, range(1000), threads)
    assert len(started) < 30


def test_inside_a_worker_everything_runs_there():
    def outer(part):
        inside = run_in_order(lambda _: threading.get_ident(), range(4), 2)
        return set(inside) == {threading.get_ident()}

    assert run_in_order(outer, range(4), 2) == [True] * 4


def test_two_threads_work_at_once():
    barrier = threading.Barrier(2, timeout=20)
    run_in_order(lambda _: barrier.wait(), range(2), 2)


def test_blas_is_held_at_one_thread_and_given_back(three_blas_threads):
    assert blas_threads() == {3}
    assert run_in_order(lambda _: blas_threads(), range(3), 2) == [{1}] * 3
    assert run_in_order(lambda _: blas_threads(), range(3), 1) == [{1}] * 3
    with one_blas_thread():
        assert blas_threads() == {1}
        with one_blas_thread():
            pass
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_a_backend_holds_blas_while_it_is_entered(three_blas_threads):
    with choose_backend("cpu", threads=2) as backend:
        assert blas_threads() == {1}
        backend.map(str, range(3))
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_a_library_that_is_loaded_later_is_held_too(three_blas_threads, monkeypatch):
    with one_blas_thread():
        threadpool_limits(limits=3, user_api="blas")  # as if a new BLAS had come with the module
        monkeypatch.setitem(sys.modules, "a_module_of_this_test", types.ModuleType("a_module_of_this_test"))
        assert run_in_order(lambda _: blas_threads(), range(2), 2) == [{1}] * 2
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_an_error_gives_blas_back(three_blas_threads):
    with pytest.raises(ZeroDivisionError):
        run_in_order(lambda part: 1 // part, range(3), 2)
    assert blas_threads() == {3}


def test_threads_do_not_change_a_byte():
    """Every operation of the CPU with one and with three threads, and entered or not."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9000, 24)).astype(np.float32)
    counts = rng.integers(0, 60, size=5000)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = rng.integers(0, 9000, size=offsets[-1]).astype(np.int32)
    weights = rng.random(offsets[-1], np.float32)

    def everything(backend):
        assigned = backend.assign(x, x[:50])
        return [
            assigned.labels,
            assigned.scores,
            assigned.second_scores,
            backend.segment_sum(offsets, indices, weights, x),
            backend.segment_pool(offsets, indices, weights, x, unit=True),
            *backend.top_k(x[:600], x, 12),
            backend.gram(offsets[:501], indices[: offsets[500]] % 300, weights[: offsets[500]], 300),
            *backend.principal_axes(x, 6),
            *backend.hdbscan(x[:800, :4], 20, 5)[:2],
            *backend.dbscan(x[:2500, :4], 0.5, 6),
            backend.agglomerative(x[:300], 7, "ward"),
            backend.invert_positive_definite((x.T @ x).astype(np.float64) + np.eye(24)),
        ]

    wanted = everything(choose_backend("cpu", threads=1))
    for threads in (2, 3):
        with choose_backend("cpu", threads=threads) as backend:
            got = everything(backend)
        for ours, theirs in zip(got, wanted, strict=True):
            assert ours.tobytes() == theirs.tobytes()
