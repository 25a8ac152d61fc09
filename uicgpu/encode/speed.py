"""How fast encoding went, in words: texts and tokens per second, padding, cache hits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REPORT_SECONDS = 15.0
"""Work shorter than this is not worth a line."""


class Speed:
    """Counts finished work and says at the end how fast it was; on the way a bar shows it, where there is a terminal.

    Parameters
    ----------
    total
        Texts to do, if known.
    say
        Told one line when work that took a while is finished.
    clock
        Seconds, for tests.
    """

    def __init__(
        self, total: int | None, say: Callable[[str], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.texts = self.tokens = self.computed_tokens = self.cache_hits = 0
        self._total = total
        self._say = say
        self._clock = clock
        self._start = clock()

    def finish(self) -> None:
        """Say the line, if the work took long enough for anybody to wonder."""
        if self._clock() - self._start >= REPORT_SECONDS:
            self._say(self.line())

    def line(self) -> str:
        """Return the figures so far.

        >>> seconds = iter([0.0, 2.0])
        >>> speed = Speed(30, print, lambda: next(seconds))
        >>> speed.texts, speed.tokens, speed.computed_tokens, speed.cache_hits = 20, 400, 404, 5
        >>> speed.line()
        'encoded 20 of 30 texts: 10 texts/s, 200 tokens/s, padding 1.01, 5 from the cache'
        """
        seconds = max(self._clock() - self._start, 1e-9)
        of = f" of {self._total:,}" if self._total is not None else ""
        parts = [f"encoded {self.texts:,}{of} texts: {self.texts / seconds:,.0f} texts/s"]
        parts.append(f"{self.tokens / seconds:,.0f} tokens/s")
        parts.append(f"padding {self.computed_tokens / self.tokens if self.tokens else 1.0:.2f}")
        parts.append(f"{self.cache_hits:,} from the cache")
        return ", ".join(parts)


@contextmanager
def progress_bar(total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr for callers of the library who ask for one; yields what counts finished texts."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("encode"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("encode", total=total)
        yield lambda count: bars.advance(task, count)
