"""How the command line speaks: results on stdout, words and progress on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from uicgpu.errors import UicError
from uicgpu.runs.progress import Advance


class _Rate(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "")
        return Text(f"{speed:,.0f} {unit}/s" if speed else "", style="progress.data.speed")


class TerminalProgress:
    """Progress bars on a terminal; plain lines elsewhere.

    Parameters
    ----------
    verbosity
        -1 shows errors only, 0 the lines a user wants to read, 1 every line.
    """

    def __init__(self, verbosity: int = 0) -> None:
        self._verbosity = verbosity
        plain = bool(os.environ.get("NO_COLOR"))
        self._console = Console(stderr=True, no_color=plain, highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Show one task with rate and time left."""
        if self._verbosity < 0 or not self._console.is_terminal:
            yield lambda count: None
            return
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
        if total is None:
            columns += [TimeElapsedColumn()]
        else:
            columns += [BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(compact=True)]
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(description, total=total, unit=unit)
            yield lambda count: bars.advance(task, count)

    def say(self, message: str, *, detail: bool = False) -> None:
        """Show one line, unless ``--quiet``; a ``detail`` only with ``-v``."""
        if self._verbosity >= (1 if detail else 0):
            self._console.print(message, markup=False)


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result: one JSON object, or ``name: value`` lines aligned for reading."""
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, sort_keys=True))
        return
    width = max((len(name) for name in result), default=0)
    for name, value in result.items():
        click.echo(f"{name + ':':<{width + 1}} {value}")


def print_error(error: UicError) -> None:
    """Print what happened, where, and what to type."""
    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")), highlight=False, soft_wrap=True)
    console.print(f"error: {error.message}", style="bold red", markup=False)
    if error.where:
        console.print(f"where: {error.where}", markup=False)
    if error.fix:
        console.print(f"do:    {error.fix}", markup=False)
    sys.stderr.flush()
