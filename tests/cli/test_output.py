"""What reaches the user's eyes at each verbosity."""

from __future__ import annotations

import pytest

from uicgpu.cli.output import TerminalProgress
from uicgpu.runs.progress import SilentProgress


@pytest.mark.parametrize(
    ("verbosity", "shown"), [(-1, []), (0, ["a line"]), (1, ["a line", "a detail"]), (2, ["a line", "a detail"])]
)
def test_details_are_for_those_who_ask(verbosity, shown, capsys):
    progress = TerminalProgress(verbosity)
    progress.say("a line")
    progress.say("a detail", detail=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == shown


def test_the_library_says_nothing(capsys):
    SilentProgress().say("a line")
    SilentProgress().say("a detail", detail=True)
    told = capsys.readouterr()
    assert told.out == told.err == ""
