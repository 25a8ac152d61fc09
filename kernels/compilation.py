"""How CPU kernels are compiled: Numba, without the GIL, without value-changing float flags, cached if possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile ``function`` at its first call; it then runs without the GIL.

    The machine code is cached beside the source, or in the user's cache folder when the installation is read-only.
    Where neither can be written the function is compiled anew in each process. Parallelism comes from the caller, which
    runs a kernel on fixed parts in several host threads; so there is no ``parallel=True``, whose thread pool cannot be
    entered from two threads at once on every platform, and compilation stays short. No fastmath: NaN must be seen, and
    sums keep the order that is written.
    """
    return _compile(function, False)


def compiled_maximum(function: Kernel) -> Kernel:
    """Compile a function that only takes maxima of finite floats, in any order: it becomes vector instructions.

    The result of such a function does not depend on the order, but without being told that no NaN comes the compiler
    must keep it.
    """
    return _compile(function, {"nnan", "nsz"})


def compiled_bound(function: Kernel) -> Kernel:
    """Compile a sum of finite floats that may run in any order: it may exclude, with a margin, but never decide."""
    return _compile(function, {"nnan", "nsz", "reassoc", "contract"})


def _compile(function: Kernel, flags: bool | set[str]) -> Kernel:
    try:
        return cast(Kernel, numba.njit(function, nogil=True, cache=True, fastmath=flags))
    except RuntimeError:  # no place to cache
        return cast(Kernel, numba.njit(function, nogil=True, fastmath=flags))
