"""What long work reports while it runs; the command line decides how to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units finished since the last call."""


class Progress(Protocol):
    """Shows tasks and one-line messages."""

    def task(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """Begin a task of ``total`` units; yields the function that counts finished ones."""
        ...

    def say(self, message: str, *, detail: bool = False) -> None:
        """Show one line; a ``detail`` only to those who asked for more."""
        ...


class SilentProgress:
    """Shows nothing: the default in library use."""

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield lambda count: None

    def say(self, message: str, *, detail: bool = False) -> None:
        """Drop the message."""
