"""Windows of texts that are tokenised, encoded and stored together: what memory holds, what a kill can lose."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from uicgpu.encode.texts import distinct_texts

WINDOW_TEXTS = 16384
WINDOW_CHARACTERS = 2**20
"""Texts and characters of a window on a CPU (whichever is reached first): half a minute's work or less."""
GPU_WINDOWS = 4
"""So many times larger are the windows of a GPU, which finishes a small one before it is stored."""
AHEAD = 2
"""Windows that wait, tokenised, for the device."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Window:
    """Distinct texts that are encoded together.

    Attributes
    ----------
    texts
        Clean, distinct.
    keys
        V16 [texts]: their hashes.
    inverse
        int64 [input rows]: the text of each input row that the window stands for.
    """

    texts: Sequence[str]
    keys: NDArray[np.void]
    inverse: NDArray[np.int64]

    @property
    def repeats(self) -> NDArray[np.int64]:
        """Input rows of each text, int64 [texts]."""
        return np.bincount(self.inverse, minlength=len(self.texts))


def cut(lengths: Iterable[int], most_characters: int, times: int = 1) -> Iterator[slice]:
    """Cut texts of ``lengths`` characters into windows.

    Parameters
    ----------
    most_characters
        What a text counts at most: what is encoded of it.
    times
        Windows are larger by this factor.
    """
    start, position, characters = 0, -1, 0
    for position, length in enumerate(lengths):
        characters += min(length, most_characters)
        if characters >= times * WINDOW_CHARACTERS or position + 1 - start >= times * WINDOW_TEXTS:
            yield slice(start, position + 1)
            start, characters = position + 1, 0
    if start <= position:
        yield slice(start, position + 1)


def stream(texts: Iterable[object], most_characters: int, times: int = 1) -> Iterator[Window]:
    """Read windows from texts that need not fit into memory, in their order."""
    row, values, characters = 0, list[object](), 0
    for value in texts:
        values.append(value)
        characters += min(len(value), most_characters) if isinstance(value, str) else 0
        if characters >= times * WINDOW_CHARACTERS or len(values) >= times * WINDOW_TEXTS:
            yield _window(values, row)
            row, values, characters = row + len(values), [], 0
    if values:
        yield _window(values, row)


def _window(values: list[object], row: int) -> Window:
    distinct, inverse, keys = distinct_texts(values, row)
    return Window(distinct, keys, inverse)


def ahead(source: Iterable[Value], depth: int = AHEAD) -> Iterator[Value]:
    """Yield the values of ``source``, which another thread computes up to ``depth`` values in advance.

    An error of ``source`` is raised here; when the caller stops, so does the thread.
    """
    ready: Queue[tuple[str, Value | BaseException | None]] = Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: Value | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
            except Full:
                continue
            return True
        return False

    def fill() -> None:
        try:
            for value in source:
                if not put("value", value):
                    return
            put("end", None)
        except BaseException as error:  # carried over to the caller's thread
            put("error", error)

    thread = threading.Thread(target=fill, name="tokenise", daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = ready.get(timeout=1)
            except Empty:
                continue
            if kind == "end":
                return
            if isinstance(value, BaseException):
                raise value
            yield value  # type: ignore[misc]  # of kind "value"
    finally:
        stopped.set()
        thread.join()
