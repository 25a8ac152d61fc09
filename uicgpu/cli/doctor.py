"""``uicgpu doctor``: what a bug report needs."""

from __future__ import annotations

import os
import platform
from typing import Any

import click

from uicgpu.cli.options import output_options, setting_options
from uicgpu.cli.output import print_result
from uicgpu.settings import resolve_settings
from uicgpu.version import __version__
from uicgpu.vocabulary import ExitCode


@click.command("doctor", short_help="Versions, devices, threads, and which backend would be used and why.")
@click.option("--self-test", is_flag=True, help="Compare the chosen device with the float64 references.")
@setting_options(("device", "threads", "memory"))
@output_options
def command(self_test: bool, as_json: bool, quiet: bool, verbose: int, **flags: Any) -> int:
    """Print versions, devices, threads and the backend; with --self-test run the parity checks on this machine.

    The GPU is asked in a process of its own, which survives a library that aborts on a broken driver.

    \b
    Examples:
      uicgpu doctor
      uicgpu doctor --self-test --device cuda
    """
    from uicgpu.backends import choose_backend
    from uicgpu.backends.probe import probe_in_child
    from uicgpu.pipeline.execute import versions

    settings = resolve_settings(flags).settings
    number = int(settings.device.partition(":")[2] or 0)
    probe = None if settings.device == "cpu" else probe_in_child(number)
    backend = choose_backend(settings.device, settings.threads, settings.memory, probe)
    told: dict[str, Any] = {
        "uicgpu": __version__,
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)),
        "backend": f"{backend.name} ({backend.device})",
        "because": backend.reason,
        **{f"GPU in {name}": answer for name, answer in (probe.libraries if probe else {}).items()},
        "threads": backend.threads,
        "memory budget": backend.memory,
        "cache folder": str(_cache_folder()),
        **versions(),
    }
    if backend.name == "cuda":
        told["note"] = "the GPU code was tested on stand-ins and compiled, but not executed on a GPU by its authors"
    failed = 0
    if self_test:
        from uicgpu.backends.self_test import run_self_test

        checks = run_self_test(backend)
        failed = sum(not check.passed for check in checks)
        told |= {f"self-test {check.name}": check.told for check in checks}
        told["self-test"] = f"{len(checks) - failed} passed, {failed} failed"
    print_result(told, as_json=as_json)
    return ExitCode.FAILED if failed else ExitCode.DONE


def _cache_folder() -> Any:
    from uicgpu.runs.folder import cache_folder

    return cache_folder()
