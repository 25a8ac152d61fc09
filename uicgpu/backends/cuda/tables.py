"""Run Polars plans on the cuDF engine, or on the CPU engine where cuDF refuses.

Not executed on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl

from uicgpu.backends.cpu import tables as host
from uicgpu.backends.probe import library_failure

_log = logging.getLogger(__name__)


def collect(plans: Sequence[pl.LazyFrame], number: int) -> tuple[list[pl.DataFrame], str]:
    """Run the plans one after the other and return the frames and the engine that ran: ``cudf`` or ``polars-cpu``.

    Polars runs no several plans together on a GPU. Without ``raise_on_fail`` it would run an unsupported plan on the
    CPU and not say so; with it, the first failure is logged here and all plans run on the CPU engine.
    """
    failure = library_failure("polars", number)
    if not failure:
        engine = pl.GPUEngine(device=number, raise_on_fail=True, executor="in-memory")
        try:
            return [plan.collect(engine=engine) for plan in plans], "cudf"
        except Exception as error:  # cuDF, RMM and Polars share no exception class
            failure = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
    _log.warning("event plans run on the CPU engine of Polars: %s", failure)
    return host.collect(plans), "polars-cpu"
