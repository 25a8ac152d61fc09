"""Host threads, and the one rule about BLAS threads: BLAS runs on one thread wherever a backend is at work.

Parallelism comes from :func:`run_in_order` alone, over parts that do not depend on the number of threads. BLAS and
OpenMP pools inside the workers would oversubscribe the cores, and a product that is split over another number of
threads may round differently. So ``with backend:`` (entered once around a run), every ``map`` and every operation that
calls BLAS hold the pools at one thread, and the last to leave restores them: a program that uses this package keeps its
own settings.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

In = TypeVar("In")
Out = TypeVar("Out")

_lock = threading.Lock()
_entered = 0
_limits: list[Any] = []
_controller: Any = None
_modules_seen = 0
_inside = threading.local()


def _stale() -> bool:
    """Whether modules were imported since the last scan: they may have brought a BLAS of their own."""
    return _controller is None or len(sys.modules) != _modules_seen


def _pools() -> Any:
    """Return the controller of all BLAS and OpenMP pools loaded so far; a scan takes 2 ms, so it is kept."""
    global _controller, _modules_seen
    if _stale():
        import scipy.linalg  # noqa: F401  Numba and LAPACK use SciPy's own BLAS: it must be loaded to be limited

        _modules_seen = len(sys.modules)
        _controller = ThreadpoolController()
    return _controller


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold the process's BLAS pools at one thread; may be entered many times and from several threads."""
    global _entered
    with _lock:
        if _entered == 0 or _stale():
            _limits.append(_pools().limit(limits=1, user_api="blas"))
            _limits[-1].__enter__()
        _entered += 1
    try:
        yield
    finally:
        with _lock:
            _entered -= 1
            while _entered == 0 and _limits:
                _limits.pop().__exit__(None, None, None)


def run_in_order(function: Callable[[In], Out], parts: Iterable[In], threads: int) -> list[Out]:
    """Apply ``function`` to each part on ``threads`` threads and return the results in the order of the parts.

    The first exception, in the order of the parts, is raised; parts that have not started are then dropped. With one
    thread, one part, or inside another ``run_in_order``, everything runs in the calling thread.
    """
    waiting = list(parts)
    with one_blas_thread():
        if getattr(_inside, "worker", False):
            return [function(part) for part in waiting]
        if threads <= 1 or len(waiting) <= 1:
            with _pools().limit(limits=1, user_api="openmp"):  # counts for the calling thread alone
                return [function(part) for part in waiting]
        pool = ThreadPoolExecutor(min(threads, len(waiting)), "uicgpu", _start_worker, (_pools(),))
        try:
            futures = [pool.submit(function, part) for part in waiting]
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(pools: Any) -> None:
    _inside.worker = True
    pools.limit(limits=1, user_api="openmp").__enter__()  # for this thread's life
